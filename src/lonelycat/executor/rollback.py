"""Undo by identity: the same code for a failed execution and for the recovery of a dead one.

Invariants:
- For each path, in reverse order: it holds the old content → nothing to do; it holds the new one → the old one comes
  back; it holds anything else → that is somebody else's: it stays, and what belongs there is quarantined.
- Our own new file, still waiting in the stage, proves that an equal one in the tree is somebody else's.
- Every old file has a backup before anything is put back (``backups.py``). Backups are never consumed: what is put
  back is a further hard link of the backup. A crash in the middle of undo is undone by running undo again.
- What an interrupted exchange may have taken from an outsider is found in the stage by its identity and put back.
- The result is verified path by path, then as one digest against the pre-image: ``restored`` means exactly that.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from itertools import chain

from lonelycat.changes.paths import printable
from lonelycat.durable import make_durable
from lonelycat.errors import ConflictError, LonelyCatError, RefusedError
from lonelycat.executor.backups import complete_backups, nothing_was_applied
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.layout import BALLAST, Directory, Intent
from lonelycat.executor.operations import FileOperation, Kind
from lonelycat.executor.quarantine import quarantine
from lonelycat.executor.staging import SYNC_WHOLE_FROM
from lonelycat.executor.tree import Found, PinnedTree
from lonelycat.executor.tree_digest import tree_digest
from lonelycat.executor.undo_proof import IN_THE_WAY, Whose, differences, has_directory, look_again
from lonelycat.executor.undo_report import UndoReport
from lonelycat.executor.undo_view import Foreign, Holding, UndoView, holds, still_waits

_LOOKS_AGAIN = 3
"""How often what is the change's own is taken back once more after the undo was verified."""


class _Undo(UndoView):
    def __init__(self, filesystem: FileSystem, tree: PinnedTree, stage: int, intent: Intent, execution_id: str) -> None:
        super().__init__(filesystem, tree, stage, intent)
        self.id = execution_id
        self.report = UndoReport()
        self.left: list[FileOperation] = []
        self.back: set[str] = set()
        """Directories that were seen in their place again."""

    # -- one path ------------------------------------------------------------------------------------------------

    def undo_one(self, operation: FileOperation) -> None:
        try:
            try:
                self._undo_one(operation)
            except (FileNotFoundError, ConflictError, RefusedError):  # somebody removed or replaced its directory
                if operation.old is not None or self.in_tree(operation.path) is not None:
                    self._leave(operation)
        except (LonelyCatError, OSError) as error:  # the others still get their chance; the stage stays for another try
            self.report.problems.append(f"{printable(operation.path)}: {_why(error)}")

    def _undo_one(self, operation: FileOperation) -> None:
        staged = self.in_stage(operation.staged_name, operation.path)
        current = self.in_tree(operation.path)
        if operation.kind is Kind.CREATE:
            self._take_out(operation, current, staged)
        elif self._is_the_old_file(operation, current):
            if not holds(current, operation.old):
                self.report.conflicts.append(operation.path)  # changed in place: there is no other old content
        elif staged is not None and not holds(staged, operation.old) and not holds(staged, operation.new):
            self._give_back(operation, current)
        elif holds(current, operation.old):
            return
        elif holds(current, operation.new) and not still_waits(operation, staged, current):
            self._restore(operation)
        else:
            self._leave(operation)

    def _take_out(self, operation: FileOperation, current: Holding, staged: Holding) -> None:
        if current is None:
            return
        if not holds(current, operation.new) or still_waits(operation, staged, current):
            self.report.conflicts.append(operation.path)
            return
        parent, name = self.parent(operation.path)
        undo_name = self._free_name(operation.undo_name)
        self.fs.move(parent, name, self.stage, undo_name)
        if not holds(self.in_stage(undo_name, operation.path), operation.new):
            self._put_back(undo_name, operation.path)
            self.report.conflicts.append(operation.path)

    def _restore(self, operation: FileOperation) -> None:
        parent, name = self.parent(operation.path)
        undo_name = self._free_name(operation.undo_name)
        if operation.kind is Kind.DELETE:
            try:
                self.fs.hard_link(self.stage, operation.backup_name, parent, name)
            except FileExistsError:
                self._leave(operation)
            return
        self.fs.hard_link(self.stage, operation.backup_name, self.stage, undo_name)
        self.fs.exchange(self.stage, undo_name, parent, name)
        if not holds(self.in_stage(undo_name, operation.path), operation.new):
            self.fs.exchange(self.stage, undo_name, parent, name)
            self._leave(operation)

    def _give_back(self, operation: FileOperation, current: Holding) -> None:
        """The interrupted step took an outsider's file: put that one back, not ours."""
        parent, name = self.parent(operation.path)
        self.report.conflicts.append(operation.path)
        if operation.kind is Kind.UPDATE and holds(current, operation.new):
            self.fs.exchange(self.stage, operation.staged_name, parent, name)
        elif current is None:
            self._put_back(operation.staged_name, operation.path)
        else:
            self._quarantine(operation.staged_name, operation.path)

    def _put_back(self, staged: str, path: str) -> None:
        parent, name = self.parent(path)
        try:
            self.fs.move(self.stage, staged, parent, name)
        except FileExistsError:
            self._quarantine(staged, path)

    def _leave(self, operation: FileOperation) -> None:
        """The path holds what is somebody else's: it stays."""
        self.report.conflicts.append(operation.path)
        self.left.append(operation)

    def _is_the_old_file(self, operation: FileOperation, current: Holding) -> bool:
        """Whether the tree has the very file that was there, whatever it holds by now."""
        if not isinstance(current, Found | Foreign):
            return False
        backup = self.backup(operation)
        return backup is not None and self.stands_at(operation.path, backup)

    def _leave_what_has_no_place(self) -> None:
        """Leave the old file of each conflict that is not in its place: it may be nowhere else than in the stage.

        Whoever moves files about can make an exchange take the old one, of a path that was judged already.
        """
        unsettled = set(self.report.conflicts) - {operation.path for operation in self.left}
        for operation in self.intent.operations:
            if operation.old is not None and operation.path in unsettled:
                backup = self.backup(operation)  # none: nothing was applied
                if backup is not None and not self.stands_at(operation.path, backup):
                    self.left.append(operation)

    def _keep_what_was_left(self) -> None:
        """Quarantine the old contents that have no place; after problems the stage keeps them for another try."""
        for operation in self.left:
            if operation.old is None or self.report.problems:
                continue
            if self.backup(operation) is None and nothing_was_applied(self):
                continue  # whoever wrote there took the old content away themselves
            self._quarantine(operation.backup_name, operation.path)

    def _free_name(self, wanted: str) -> str:
        for name in chain((wanted,), (f"{wanted}{n}" for n in range(1, 10_000))):
            try:
                self.fs.stat(self.stage, name)
            except FileNotFoundError:
                return name
        raise OSError(errno.EEXIST, "no free name in the stage")

    def _quarantine(self, name: str, path: str) -> None:
        self.report.quarantined.append((path, quarantine(self.fs, self.tree, self.stage, name, self.id)))

    # -- directories and the whole -------------------------------------------------------------------------------

    def make_directories(self, directories: tuple[Directory, ...], kind: str) -> None:
        for number, directory in enumerate(directories):
            try:
                self._make_directory(directory, f"{number:06d}.{kind}")
            except (FileNotFoundError, ConflictError, RefusedError):  # somebody removed or replaced one above it
                self.report.conflicts.append(directory.path)
            except OSError as error:
                self.report.problems.append(f"{printable(directory.path)}: {_why(error)}")

    def _make_directory(self, directory: Directory, draft: str) -> None:
        """Make it in the stage and move it into place complete: a crash leaves none with other permissions.

        It has its place durably before anything is put into it: a crash leaves nothing in the stage below a draft.
        """
        parent, name = self.parent(directory.path)
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(self.fs.stat(parent, name).st_mode):
                self.fs.fsync(parent)
                self.back.add(directory.path)
            else:
                self.report.conflicts.append(directory.path)
            return
        with suppress(FileExistsError):
            self.fs.make_directory(self.stage, draft, 0o700)
        with self.fs.closing(self.fs.open_beneath(self.stage, draft)) as fd:
            if (directory.uid, directory.gid) != (os.geteuid(), os.getegid()):
                with suppress(PermissionError):
                    self.fs.set_owner(fd, directory.uid, directory.gid)
            self.fs.set_mode(fd, directory.mode)
            self.fs.fsync(fd)
        with suppress(FileExistsError):
            self.fs.move(self.stage, draft, parent, name)
            self.back.add(directory.path)
        self.fs.fsync(parent)
        self.tree.forget(directory.path)

    def remove_directory(self, path: str, replaced: set[str]) -> None:
        try:
            parent, name = self.parent(path)
            self.fs.remove_directory(parent, name)
            self.tree.forget(path)
        except FileNotFoundError:
            return
        except LonelyCatError as error:
            if error.code not in IN_THE_WAY:
                self.report.conflicts.append(path)
        except OSError as error:
            if error.errno == errno.ENOTDIR and path in replaced:
                return  # what it took the place of is still, or again, there
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                self.report.conflicts.append(path)
            else:
                self.report.problems.append(f"{printable(path)}: {_why(error)}")

    def run(self) -> None:
        intent = self.intent
        with suppress(OSError):  # one that cannot be freed may still not be needed
            self.fs.unlink(self.stage, BALLAST)
        self.report.problems += complete_backups(self)
        self.make_directories(intent.pruned[::-1], "pruned")
        for operation in reversed(intent.rest):
            self.undo_one(operation)
        replaced = {operation.path for operation in intent.early}
        for path in reversed(intent.made):
            self.remove_directory(path, replaced)
        self.make_directories(intent.rooms[::-1], "room")
        for operation in reversed(intent.early):
            self.undo_one(operation)
        self._verify()
        self._hold_against_pre_image()
        try:
            self._make_durable()
            self._leave_what_has_no_place()
            self._keep_what_was_left()
        except (LonelyCatError, OSError) as error:
            self.report.problems.append(f"what was put back or kept may not be durable: {_why(error)}")

    def _make_durable(self) -> None:
        touched = self.intent.touched - set(self.intent.made)
        if len(touched) >= SYNC_WHOLE_FROM or not self.fs.syncs_whole:
            make_durable(self.fs, self.stage, lambda: self.tree.existing(sorted(touched)))
            return
        for path in sorted(touched):
            with suppress(FileNotFoundError, ConflictError, RefusedError):
                self.fs.fsync(self.tree.directory(path))
        if self.intent.rooms or self.intent.pruned:
            self.fs.fsync(self.stage)  # where they came from: what the stage holds now is about to be removed

    def _verify(self) -> None:
        for operation in reversed(self._not_back()):
            self.undo_one(operation)  # somebody wrote there meanwhile, or put ours back: judged once more
        for operation in self._not_back():
            if not holds(self.in_tree(operation.path), operation.new):
                self._leave(operation)  # somebody wrote there since it was judged
                continue
            self.report.problems.append(f"{printable(operation.path)} does not hold its old content")
        for path in {item.path for item in (*self.intent.rooms, *self.intent.pruned)} - set(self.report.conflicts):
            self._verify_directory(path)

    def _hold_against_pre_image(self) -> None:
        """Look at every path of the transaction once more, permission bits included."""
        by_path = {operation.path: operation for operation in self.intent.operations}
        for once_more in range(_LOOKS_AGAIN, -1, -1):
            try:
                now = look_again(self.fs, self.tree, self.intent)
            except (LonelyCatError, OSError) as error:
                self.report.problems.append(f"the tree cannot be compared with what it was: {_why(error)}")
                return
            different = list(differences(self.intent, now, known=self.report.conflicts))
            ours = [path for path, whose in different if whose is Whose.OURS]
            if not ours or not once_more:
                break
            for path in ours:  # undone and verified already: somebody put it back, and is not to be blamed on undo
                self.undo_one(by_path[path])
        self.report.tree_digest = tree_digest(now)
        for path, whose in different:
            if whose is Whose.OURS:
                self.report.problems.append(f"{printable(path)} does not hold what it held before")
            elif whose is Whose.THEIR_CONTENT:
                self._leave(by_path[path])
            else:
                self.report.conflicts.append(path)

    def _verify_directory(self, path: str) -> None:
        there = has_directory(self.fs, self.tree, path)
        if there is None and path not in self.back:
            self.report.problems.append(f"the directory {printable(path)} is not back")
        elif not there:
            self.report.conflicts.append(path)  # somebody took it away since, or put something else in its place

    def _not_back(self) -> list[FileOperation]:
        left_alone = set(self.report.conflicts)
        looked_at = (operation for operation in self.intent.operations if operation.path not in left_alone)
        return [operation for operation in looked_at if not holds(self.in_tree(operation.path), operation.old)]


def _why(error: LonelyCatError | OSError) -> str:
    return error.message if isinstance(error, LonelyCatError) else error.strerror or "an I/O error"


def undo(filesystem: FileSystem, tree: PinnedTree, stage: int, intent: Intent, execution_id: str) -> UndoReport:
    """Take back an interrupted or failed transaction, as far as it got, and verify the result.

    Raises:
        OSError: the file system refuses; the stage keeps everything, so that undo can run again.
    """
    work = _Undo(filesystem, tree, stage, intent, execution_id)
    work.run()
    return work.report
