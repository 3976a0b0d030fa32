"""The all-or-nothing write: stage, apply, then commit or undo.

The protocol, and what each step establishes:
1. stage: backups and new contents lie durable in ``.lonelycat/tx/<id>``; the workspace is as it was;
2. INTENT, durable: from here on recovery undoes unless it finds COMMITTED;
3. apply: creates by rename that refuses to replace, updates by exchange, deletes by rename into the stage; what was
   displaced is hashed *afterwards*, so that an outsider's edit can be put back and is never overwritten;
4. readers are told that the tree is whole (``generation.py``); settle: what was applied is made durable, once it
   is known to be kept;
5. COMMITTED, durable: the commit point. The caller then records the result and calls :meth:`Transaction.clean_up`.

Failures between 2 and 5 are undone by ``rollback.py``, which works by identity and is the same code for a living
executor and for the recovery of a dead one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lonelycat.changes.changeset import FileChange
from lonelycat.changes.conflict import conflict_error
from lonelycat.changes.paths import printable
from lonelycat.durable import make_durable
from lonelycat.errors import ConflictError, LonelyCatError, StateError
from lonelycat.executor.conflicts import code_of_difference, difference
from lonelycat.executor.fence import FenceCheck
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.generation import Generation, Phase
from lonelycat.executor.journal import JournalWriter, RecordType
from lonelycat.executor.layout import Intent
from lonelycat.executor.new_files import BlobOpener
from lonelycat.executor.old_copies import OldCopies
from lonelycat.executor.operations import FileOperation, Kind, plan_operations, split
from lonelycat.executor.removal import empty_transaction, remove_transaction
from lonelycat.executor.rollback import undo
from lonelycat.executor.side_by_side import wait_and_work
from lonelycat.executor.staging import SmallContents, Stager
from lonelycat.executor.state_directory import open_state_directory
from lonelycat.executor.sweep import Version, sweep, version
from lonelycat.executor.tree import PinnedTree
from lonelycat.executor.undo_report import UndoReport


class Transaction:
    """One change set's way into the workspace. Use under the lock, from one thread.

    Args:
        filesystem: the system calls.
        root: the workspace.
        execution_id: names the transaction directory.
        fence: the lock's fence.
        open_blob: opens contents that the change set refers to.
        chunk: bytes of a large file held at once.
        locked_root: device and inode of the directory that is locked, or None.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        root: Path,
        execution_id: str,
        fence: int,
        open_blob: BlobOpener,
        chunk: int = 1024 * 1024,
        locked_root: tuple[int, int] | None = None,
    ) -> None:
        self._filesystem = filesystem
        self._root = root
        self._id = execution_id
        self._fence = fence
        self._open_blob = open_blob
        self._chunk = chunk
        self._locked_root = locked_root
        self._transactions = open_state_directory(filesystem, root, "tx")
        self._stage = -1
        self._tree: PinnedTree | None = None
        self._refuse_overtaken: FenceCheck | None = None
        self._generation: Generation | None = None
        self._journal: JournalWriter | None = None
        self._intent: Intent | None = None
        self._old_contents = SmallContents()
        self._copies = OldCopies(filesystem, self._stage, frozenset())
        self._displaced: dict[int, Version] = {}
        self._settled = False
        self._restarting: set[str] = set()

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._refuse_overtaken is not None:
            self._refuse_overtaken.close()
        if self._generation is not None:
            self._generation.close()
        if self._tree is not None:
            self._tree.close()
        if self._stage >= 0:
            self._filesystem.close(self._stage)
        self._filesystem.close(self._transactions)

    @property
    def intent(self) -> Intent:
        """The staged intent."""
        if self._intent is None:
            raise LonelyCatError("NOT_STAGED", "the transaction is not staged", "This is a defect in LonelyCat.")
        return self._intent

    @property
    def tree(self) -> PinnedTree:
        """The pinned workspace."""
        if self._tree is None:
            raise LonelyCatError("NOT_STAGED", "the transaction is not staged", "This is a defect in LonelyCat.")
        return self._tree

    @property
    def generation(self) -> Generation:
        """What readers are told."""
        if self._generation is None:
            raise LonelyCatError("NOT_STAGED", "the transaction is not staged", "This is a defect in LonelyCat.")
        return self._generation

    # -- 1 and 2 -------------------------------------------------------------------------------------------------

    def stage(
        self,
        changes: tuple[FileChange, ...],
        identity: dict[str, object],
        meanwhile: Callable[[], None] = lambda: None,
        stop: Callable[[], None] = lambda: None,
    ) -> Intent:
        """Stage ``changes`` and write INTENT. The workspace is untouched, whatever happens here.

        Args:
            meanwhile: called once everything is staged, while it is made durable; may look at what is staged, and
                ends the staging by raising.
            stop: called again and again; raises to stop.

        Raises:
            ConflictError, RefusedError: see ``staging.py``.
            OSError: no space, no rights, an I/O error.
        """
        self._filesystem.spread(self._transactions)
        self._filesystem.make_directory(self._transactions, self._id, 0o700)
        self._stage = self._filesystem.open_beneath(self._transactions, self._id)
        self._tree = PinnedTree(self._filesystem, self._root, self._chunk)
        self._tree.check_root(self._transactions, self._locked_root)
        self._generation = Generation(self._filesystem, self._tree.root, self._id)
        self._refuse_overtaken = FenceCheck(self._filesystem, self._tree.root, self._fence)
        if os.fstat(self._stage).st_dev != self._tree.device:
            raise StateError(
                "STATE_ON_ANOTHER_MOUNT",
                ".lonelycat/tx lies on another file system than the workspace",
                "Move it back; a rename between file systems is not atomic.",
            )
        stager = Stager(self._filesystem, self._tree, self._stage, self._open_blob, self._chunk, stop)
        self._old_contents = stager.old_contents
        intent = self._intent = stager.prepare(plan_operations(changes), identity)
        self._copies = stager.copies
        body: dict[str, object] = {}

        def beside_the_disk() -> None:
            meanwhile()
            body.update(intent.to_body())

        if stager.is_settled:
            beside_the_disk()
        else:
            wait_and_work(stager.settle, beside_the_disk)
        self._old_contents = SmallContents()  # who wanted them has looked
        stop()
        self._check_fence()
        journal = JournalWriter(self._filesystem, self._stage, self._fence)
        journal.begin(body)
        self._filesystem.fsync(self._stage)
        self._filesystem.fsync(self._transactions)
        self._journal = journal
        return intent

    def abandon(self) -> None:
        """Remove a transaction that changed nothing; what cannot be removed is left to recovery."""
        with self.abandoned():
            pass

    @contextmanager
    def abandoned(self) -> Iterator[None]:
        """Like :meth:`abandon`, but the empty directory stays for the block that records why.

        A death in it leaves the directory, for which recovery looks whether the record is whole.
        """
        if self._stage < 0:
            yield
            return
        with suppress(OSError):
            empty_transaction(self._filesystem, self._stage)
        yield
        with suppress(OSError):
            self._filesystem.remove_directory(self._transactions, self._id)

    def _check_fence(self, *, in_passing: bool = False) -> None:
        """Stop an executor that was overtaken: nothing of it may go into the tree or the journal any more."""
        if self._refuse_overtaken is not None:
            self._refuse_overtaken(in_passing=in_passing)

    # -- 3 -------------------------------------------------------------------------------------------------

    def apply(self, stop: Callable[[], None] = lambda: None) -> None:
        """Put the new contents in place.

        Args:
            stop: called before every operation; raises to stop the transaction.

        Raises:
            ConflictError: somebody else changed a path meanwhile; what they wrote is back in its place.
            StateError: ``FENCE_STALE``, as from every method below: another executor has taken over.
        """
        intent = self.intent
        self._check_fence()
        self.generation.mark(Phase.APPLYING)
        for operation in intent.early:
            stop()
            self._apply_one(operation)
        for directory in intent.rooms:
            self._remove_directory(directory.path, must=True)
        for path in intent.made:
            self._make_directory(path)
        for operation in intent.rest:
            stop()
            self._apply_one(operation)
        for directory in intent.pruned:
            self._remove_directory(directory.path, must=False)
        self.generation.mark(Phase.APPLIED)
        self.tree.check_pins()

    def _apply_one(self, operation: FileOperation) -> None:
        self._check_fence(in_passing=True)
        directory, name = split(operation.path)
        fs, stage = self._filesystem, self._stage
        try:
            parent = self.tree.directory(directory)
            if operation.kind is Kind.CREATE:
                fs.move(stage, operation.staged_name, parent, name)
                return
            if operation.kind is Kind.UPDATE:
                fs.exchange(stage, operation.staged_name, parent, name)
            else:
                fs.move(parent, name, stage, operation.staged_name)
        except FileExistsError as error:
            raise conflict_error([difference(operation.path, "FILE_EXISTS", None, "a file", "apply")]) from error
        except FileNotFoundError as error:
            raise conflict_error([difference(operation.path, "FILE_MISSING", operation.old, None, "apply")]) from error
        self._check_displaced(operation)

    def _check_displaced(self, operation: FileOperation) -> None:
        try:
            links = 1 if self._copies.has(operation) else 2  # its own name, and the backup
            found = self.tree.look_in(self._stage, operation.staged_name, operation.path, links=links)
        except LonelyCatError:
            found = None  # not a file at all: someone put it in the file's place, and undo puts it back
        if found is None or found.identity != operation.old:
            seen = "what is not a file" if found is None else found.identity
            code = "FILE_CHANGED" if found is None else code_of_difference(operation.old, found.identity)
            raise conflict_error([difference(operation.path, code, operation.old, seen, "apply")])
        self._displaced[operation.number] = version(found.status)

    def _make_directory(self, path: str) -> None:
        self._check_fence()
        directory, name = split(path)
        with suppress(FileExistsError):
            self._filesystem.make_directory(self.tree.directory(directory), name)

    def _remove_directory(self, path: str, *, must: bool) -> None:
        self._check_fence()
        directory, name = split(path)
        try:
            self._filesystem.remove_directory(self.tree.directory(directory), name)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                if must:
                    raise _not_empty(path) from error
                return
            if error.errno != errno.ENOENT:
                raise
        self.tree.forget(path)

    # -- 4, 5 and after ---------------------------------------------------------------------------------------------

    def note(self, type_: RecordType, body: dict[str, object]) -> None:
        """Append a frame to the journal, durably."""
        if self._journal is not None:
            self._check_fence()
            self._journal.append(type_, body)

    def note_restart(self, type_: RecordType, service: str) -> None:
        """Note durably that the restart of a service begins, or that it is done."""
        if type_ is RecordType.RESTART_BEGUN:
            self._restarting.add(service)
        self.note(type_, {"service": service})
        if type_ is RecordType.RESTART_DONE:
            self._restarting.discard(service)

    def settle(self) -> None:
        """Make what was applied durable, and with it, where :meth:`settles_all_on`, all else there, such as evidence.

        Nothing before this needs it: until COMMITTED, recovery takes back whatever of it outlived a crash.

        Raises:
            LonelyCatError: ``RESTART_UNFINISHED``: a restart was begun and is not done.
            OSError: it is not durable; take it back.
        """
        if self._restarting:
            raise LonelyCatError(
                "RESTART_UNFINISHED",
                f"the restart of {', '.join(sorted(self._restarting))} was begun and is not done",
                "This is a defect in LonelyCat.",
            )
        make_durable(self._filesystem, self._stage, lambda: self.tree.existing(sorted(self.intent.touched)))
        self._settled = True

    def settles_all_on(self, device: int) -> bool:
        """Whether :meth:`settle` covers everything on the file system with this device number."""
        return self._filesystem.syncs_whole and device == self.tree.device

    def commit(self, body: dict[str, object]) -> None:
        """Pass the commit point: after this returns the change stays. Settles first, if that was not done.

        Raises:
            OSError: it is not known whether COMMITTED is durable; the outcome is ``indeterminate``.
        """
        if not self._settled:
            self.settle()
        self.note(RecordType.COMMITTED, body)

    def old_content(self, operation: FileOperation, limit: int) -> bytes | None:
        """Return the bytes of a staged operation's old file from its backup, or None when there are over ``limit``.

        Valid from :meth:`stage` to :meth:`clean_up`.
        """
        if operation.old is None:
            return b""
        if operation.old.is_link:
            return self._filesystem.read_link(self._stage, operation.backup_name)
        held = self._old_contents.get(operation.path)
        if held is not None and len(held) <= limit:
            return held
        if self._copies.has(operation):
            data = self._copies.read(operation)
        else:
            with self._filesystem.closing(self._filesystem.open_file(self._stage, operation.backup_name)) as fd:
                data = self._filesystem.read(fd, limit + 1)
        return data if len(data) <= limit else None

    def old_chunks(self, operation: FileOperation) -> Iterator[bytes]:
        """Yield the bytes of a staged operation's old regular file from its backup, or its copy."""
        if self._copies.has(operation):
            yield self._copies.read(operation)
            return
        with self._filesystem.closing(self._filesystem.open_file(self._stage, operation.backup_name)) as fd:
            while data := self._filesystem.read(fd, self._chunk):
                yield data

    def undo(self) -> UndoReport:
        """Take back what was applied and verify that it is back; see ``rollback.py``."""
        self._check_fence()
        self.generation.mark_if_possible(Phase.UNDOING)
        report = undo(self._filesystem, self.tree, self._stage, self.intent, self._id)
        if not report.problems:
            self.generation.mark_if_possible(Phase.UNDONE)
        self.note(RecordType.UNDONE, report.to_body())
        return report

    def clean_up(self) -> tuple[str, ...]:
        """Remove the transaction directory; returns warnings about what outsiders wrote late and is kept."""
        self._check_fence()
        kept = sweep(self._filesystem, self.tree, self._stage, self.intent, self._id, self._displaced)
        remove_transaction(self._filesystem, self._transactions, self._stage, self._id)
        return tuple(
            f"a program wrote to the old {printable(path)} after it was replaced; its bytes are kept in {place}"
            for path, place in kept
        )


def _not_empty(path: str) -> ConflictError:
    return conflict_error(
        [difference(path, "DIRECTORY_NOT_EMPTY", None, "files that the change does not know", "apply")],
        f"{printable(path)} must make room for a file, but holds files that the change does not know",
        "Move those files away; then propose the change again.",
    )
