"""Staging: everything that can fail for want of space, rights or the expected base happens here, before any change.

Invariant: staging only reads the workspace and writes the transaction directory. When :meth:`Stager.settle` returns,
every old file has a hard link as backup, or a copy, every new file lies ready with its bytes hashed while written and
its mode set, and all of it is durable; the workspace is as it was.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from lonelycat.changes.conflict import Conflict, conflict_error
from lonelycat.durable import make_durable
from lonelycat.errors import ConflictError, LonelyCatError
from lonelycat.executor.conflicts import code_of_difference, difference
from lonelycat.executor.filesystem import FileStatus, FileSystem
from lonelycat.executor.layout import BALLAST, BALLAST_BYTES, Directory, Intent
from lonelycat.executor.new_files import BlobOpener, NewFiles
from lonelycat.executor.old_copies import OldCopies
from lonelycat.executor.operations import FileOperation, OperationPlan, split
from lonelycat.executor.tree import Found, PinnedTree, kept_attributes

SYNC_WHOLE_FROM = 8
"""From this many files on, one syncfs is cheaper than one fsync each (FACTS: 33 ms against 382 ms at 1000)."""
ENTRY_BYTES = 64
"""What the two names that undo gives an old file take in the stage's directory, and some room to spare."""
OldFileTaker = Callable[[FileOperation, Found, bytes | None], None]
"""Receives every old file as it was found, with all of its bytes if there are few."""


class Stager:
    """Fills one transaction directory."""

    def __init__(
        self,
        filesystem: FileSystem,
        tree: PinnedTree,
        stage: int,
        open_blob: BlobOpener,
        chunk: int,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._filesystem = filesystem
        self._tree = tree
        self._stage = stage
        self._open_blob = open_blob
        self._chunk = chunk
        self._stop = stop
        self.old_contents = SmallContents(stop)
        self.copies = OldCopies(filesystem, stage, frozenset())
        self._unsettled: list[FileOperation] = []

    def prepare(self, plan: OperationPlan, identity: dict[str, object]) -> Intent:
        """Check the base, copy or link the old files, write the new contents; :meth:`settle` makes all of it durable.

        Raises:
            ConflictError: the workspace is not what the change set was made against; names every path.
            RefusedError: an object that cannot be part of a transaction; a content that is not what was approved.
        """
        written = [operation for operation in plan.operations if operation.new is not None]
        each = len(written) < SYNC_WHOLE_FROM and self._filesystem.syncs_whole
        # What undo makes would get an access list where the directories hand one down, which the old file may not have.
        copying = not each and self._filesystem.syncs_whole and not kept_attributes(self._filesystem, self._stage)
        found = self._check_and_copy(plan.operations, copying=copying)
        old = [operation for operation in plan.operations if operation.old is not None]
        self._back_up([operation for operation in old if not self.copies.has(operation)], found)
        by_path = {operation.path: operation for operation in plan.operations}
        NewFiles(self._filesystem, self._stage, self._open_blob, self._chunk, self._stop, by_path, found).write(
            written, durable=each
        )
        with self._filesystem.closing(self._filesystem.create_file(self._stage, BALLAST)) as fd:
            self._filesystem.allocate(fd, BALLAST_BYTES + ENTRY_BYTES * len(self.copies))
        self._unsettled = [] if each else written
        return Intent(
            identity=identity,
            early=plan.early,
            rest=plan.rest,
            rooms=self._existing(plan.rooms),
            made=self._missing(plan.parents, {item for item in plan.rooms} | {o.path for o in plan.early}),
            pruned=self._existing(plan.prunable),
            permissions=tuple(
                stat.S_IMODE(found[operation.path].status.st_mode) if operation.old is not None else None
                for operation in plan.operations
            ),
            inodes=self._copied_inodes(plan.operations, found),
        )

    def _check_and_copy(self, operations: tuple[FileOperation, ...], *, copying: bool) -> dict[str, Found]:
        if not copying:
            return check_base(self._tree, operations, self.old_contents, self._stop)
        needed = {operation.source for operation in operations if operation.content is None and operation.source}
        copies = self.copies = OldCopies(self._filesystem, self._stage, frozenset(needed))
        try:
            found = check_base(self._tree, operations, self.old_contents, self._stop, copies.take)
            copies.finish()
        finally:
            copies.close()
        return found

    def _copied_inodes(self, operations: tuple[FileOperation, ...], found: dict[str, Found]) -> tuple[int | None, ...]:
        if not self.copies:
            return ()
        return tuple(
            found[operation.path].status.st_ino if self.copies.has(operation) else None for operation in operations
        )

    @property
    def is_settled(self) -> bool:
        """Whether :meth:`prepare` has made everything durable itself."""
        return not self._unsettled

    def settle(self) -> None:
        """Make durable what :meth:`prepare` has not."""
        make_durable(self._filesystem, self._stage, self._written_files)

    def _written_files(self) -> Iterator[int]:
        for operation in self._unsettled:
            if operation.new is not None and not operation.new.is_link:  # a link has its target in the directory
                with self._filesystem.closing(self._filesystem.open_file(self._stage, operation.staged_name)) as fd:
                    yield fd

    # -- backups -------------------------------------------------------------------------------------------------

    def _back_up(self, operations: list[FileOperation], found: dict[str, Found]) -> None:
        backups = [operation.backup_name for operation in operations]
        for operation, backup in zip(operations, backups, strict=True):
            self._stop()
            directory, name = split(operation.path)
            self._filesystem.hard_link(self._tree.directory(directory), name, self._stage, backup)
        linked = self._filesystem.inodes(self._stage) if operations else {}
        for operation, backup in zip(operations, backups, strict=True):
            # the file that was looked at, and not one that was put in its place since
            if linked[backup] != found[operation.path].status.st_ino:
                raise conflict_error([difference(operation.path, "FILE_CHANGED", operation.old, "another file")])

    # -- directories ---------------------------------------------------------------------------------------------

    def _existing(self, paths: tuple[str, ...]) -> tuple[Directory, ...]:
        found = [(path, os.fstat(self._tree.directory(path))) for path in paths]
        return tuple(Directory(path, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid) for path, s in found)

    def _missing(self, paths: tuple[str, ...], going: set[str]) -> tuple[str, ...]:
        missing: list[str] = []
        gone: set[str] = set()
        for path in paths:
            above, _ = split(path)
            if path in going or above in gone:
                gone.add(path)
                missing.append(path)
                continue
            try:
                self._tree.directory(path)
            except FileNotFoundError:
                gone.add(path)
                missing.append(path)
        return tuple(missing)


class SmallContents:
    """The bytes of small old files, as they were read to be hashed, so that the evidence need not read them again.

    Bounded: whatever the change set, it holds at most ``TOTAL_BYTES``.

    Args:
        stop: called between the chunks of a file; raises to stop.
    """

    FILE_BYTES = 64 * 1024
    TOTAL_BYTES = 4 * 1024 * 1024

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._by_path: dict[str, bytes] = {}
        self._left = self.TOTAL_BYTES
        self._path = ""
        self._is_first = True
        self.last: bytes | None = None
        """The bytes of the file that was read last, held or not; None if they are not few."""

    def reading(self, path: str) -> Callable[[bytes], None]:
        """Return where the chunks of ``path`` go while it is read."""
        self._path, self._is_first, self.last = path, True, b""
        return self._take

    def _take(self, data: bytes) -> None:
        if not self._is_first:  # not a small file
            self._stop()
            self._left += len(self._by_path.pop(self._path, b""))
            self.last = None
        elif len(data) > self.FILE_BYTES:
            self.last = None
        else:
            self.last = data
            if len(data) <= self._left:
                self._by_path[self._path] = data
                self._left -= len(data)
        self._is_first = False

    def get(self, path: str) -> bytes | None:
        """Return the old bytes of ``path`` if they are held."""
        return self._by_path.get(path)


def check_base(
    tree: PinnedTree,
    operations: tuple[FileOperation, ...],
    contents: SmallContents | None = None,
    stop: Callable[[], None] = lambda: None,
    take: OldFileTaker | None = None,
) -> dict[str, Found]:
    """Return what every path of ``operations`` holds, if it is what the change set was made against; only looks.

    Args:
        contents: keeps the bytes of small files as they are read.
        stop: called before every file; raises to stop.
        take: receives every old file that is as expected.

    Raises:
        ConflictError: it is not; names every path.
        RefusedError: an object that cannot be part of a transaction.
    """
    found: dict[str, Found] = {}
    differences: list[Conflict] = []
    going = {operation.path for operation in operations if operation.new is None}
    for operation in operations:
        stop()
        difference = _check_one(tree, operation, found, going, contents)
        if difference is not None:
            differences.append(difference)
        elif take is not None and contents is not None and operation.old is not None:
            take(operation, found[operation.path], contents.last)
    if differences:
        raise conflict_error(differences)
    return found


def _check_one(
    tree: PinnedTree,
    operation: FileOperation,
    found: dict[str, Found],
    going: set[str],
    contents: SmallContents | None,
) -> Conflict | None:
    path = operation.path
    try:
        there = tree.look(path, None if contents is None else contents.reading(path))
    except LonelyCatError as error:
        if operation.old is None and _makes_room(error.code, path, going):
            return None
        if isinstance(error, ConflictError):
            return difference(path, error.code, operation.old, error.message)
        raise
    actual = there.identity if there else None
    if actual == operation.old:
        if there is not None and operation.old is not None:
            # The same hash is in memory already, and of the status a third is enough: it is kept for every file.
            found[path] = Found(operation.old, FileStatus.of(there.status), there.attributes)
        return None
    if there is not None:
        found[path] = there
    return difference(path, code_of_difference(operation.old, actual), operation.old, actual)


def _makes_room(code: str, path: str, going: set[str]) -> bool:
    """Whether what stands in the way of a create goes away in the same change set."""
    if code == "PATH_IS_DIRECTORY":
        return any(other.startswith(path + "/") for other in going)
    if code in ("PATH_NOT_DIRECTORY", "PATH_THROUGH_LINK"):
        return any(path.startswith(above + "/") for above in going)
    return False
