"""Undo by identity: the same code for a failed execution and for the recovery of a dead one.

Invariants:
- For each path, in reverse order: it holds the old content → nothing to do; it holds the new one → the old one comes
  back; it holds anything else → that is somebody else's: it stays, and what belongs there is quarantined.
- Backups are never consumed: what is put back is a further hard link of the backup. A crash in the middle of undo is
  undone by running undo again.
- What an interrupted exchange may have taken from an outsider is found in the stage by its identity and put back.
- The result is verified by looking at every path again; ``restored`` means exactly that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from lonelycat.changes.paths import printable
from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.layout import BALLAST, Intent
from lonelycat.executor.operations import FileOperation, Identity, Kind, split
from lonelycat.executor.staging import SYNC_WHOLE_FROM
from lonelycat.executor.state_directory import open_state_directory
from lonelycat.executor.tree import PinnedTree

QUARANTINE = "quarantine"
_OUR_LINKS = 5
"""Names one old file may have meanwhile: in the tree, as backup, as displaced, and one for each undo cut short."""


@dataclass(slots=True)
class UndoReport:
    """How an undo went.

    Attributes:
        restored: every path holds its old content again, every directory is as it was.
        conflicts: paths that hold somebody else's content, which was left alone.
        quarantined: (path, place below the workspace) of contents that could not be put where they belong.
        problems: what went wrong otherwise; any makes the rollback failed.
    """

    conflicts: list[str] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def restored(self) -> bool:
        """Whether everything is back."""
        return not (self.conflicts or self.problems)

    def to_body(self) -> dict[str, object]:
        """Return the JSON form for the journal and the records."""
        return {
            "restored": self.restored,
            "conflicts": [printable(path) for path in self.conflicts],
            "quarantined": [[printable(path), place] for path, place in self.quarantined],
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class _Foreign:
    """Something that is neither the old nor the new content, perhaps not even a file."""


_FOREIGN = _Foreign()
_Holding = Identity | _Foreign | None


class _Undo:
    def __init__(self, filesystem: FileSystem, tree: PinnedTree, stage: int, intent: Intent, execution_id: str) -> None:
        self.fs = filesystem
        self.tree = tree
        self.stage = stage
        self.intent = intent
        self.id = execution_id
        self.report = UndoReport()
        self.rooms = {directory.path for directory in intent.rooms}

    # -- looking -------------------------------------------------------------------------------------------------

    def in_tree(self, path: str) -> _Holding:
        directory, name = split(path)
        try:
            found = self.tree.look_in(self.tree.directory(directory), name, path, links=_OUR_LINKS)
        except FileNotFoundError:
            return None
        except LonelyCatError as error:
            # A directory that made room for the file, or a file that made room for its directory, is back already.
            back = error.code == "PATH_NOT_DIRECTORY" or (error.code == "PATH_IS_DIRECTORY" and path in self.rooms)
            return None if back else _FOREIGN
        return found.identity if found else None

    def in_stage(self, name: str, path: str) -> _Holding:
        try:
            found = self.tree.look_in(self.stage, name, path, links=_OUR_LINKS)
        except LonelyCatError:
            return _FOREIGN
        return found.identity if found else None

    # -- one path ------------------------------------------------------------------------------------------------

    def undo_one(self, operation: FileOperation) -> None:
        try:
            displaced = self.in_stage(operation.staged_name, operation.path)
            current = self.in_tree(operation.path)
            if operation.kind is Kind.CREATE:
                self._take_out(operation, current)
            elif displaced is not None and displaced not in (operation.old, operation.new):
                self._give_back(operation, current)
            elif current == operation.old:
                return
            elif current == operation.new:
                self._restore(operation)
            else:
                self._leave(operation.path, operation.backup_name)
        except FileNotFoundError:  # somebody removed the directory
            self._leave(operation.path, operation.backup_name if operation.old else operation.staged_name)
        except LonelyCatError as error:
            self.report.conflicts.append(operation.path)
            self.report.problems.append(f"{printable(operation.path)}: {error.message}")
        except OSError as error:  # the other paths still get their chance; the stage stays for another try
            self.report.problems.append(f"{printable(operation.path)}: {error.strerror}")

    def _take_out(self, operation: FileOperation, current: _Holding) -> None:
        if current is None:
            return
        if current != operation.new:
            self.report.conflicts.append(operation.path)
            return
        parent, name = self._parent(operation.path)
        undo_name = self._free_name(operation.undo_name)
        self.fs.move(parent, name, self.stage, undo_name)
        if self.in_stage(undo_name, operation.path) != operation.new:
            self._put_back(undo_name, operation.path)
            self.report.conflicts.append(operation.path)

    def _restore(self, operation: FileOperation) -> None:
        parent, name = self._parent(operation.path)
        undo_name = self._free_name(operation.undo_name)
        if operation.kind is Kind.DELETE:
            try:
                self.fs.hard_link(self.stage, operation.backup_name, parent, name)
            except FileExistsError:
                self._leave(operation.path, operation.backup_name)
            return
        self.fs.hard_link(self.stage, operation.backup_name, self.stage, undo_name)
        try:
            self.fs.exchange(self.stage, undo_name, parent, name)
        except FileNotFoundError:
            self._leave(operation.path, operation.backup_name)
            return
        if self.in_stage(undo_name, operation.path) != operation.new:
            self.fs.exchange(self.stage, undo_name, parent, name)
            self._leave(operation.path, operation.backup_name)

    def _give_back(self, operation: FileOperation, current: _Holding) -> None:
        """The interrupted step took an outsider's file: put that one back, not ours."""
        parent, name = self._parent(operation.path)
        self.report.conflicts.append(operation.path)
        if operation.kind is Kind.UPDATE and current == operation.new:
            self.fs.exchange(self.stage, operation.staged_name, parent, name)
        elif current is None:
            self._put_back(operation.staged_name, operation.path)
        else:
            self._quarantine(operation.staged_name, operation.path)

    def _put_back(self, staged: str, path: str) -> None:
        parent, name = self._parent(path)
        try:
            self.fs.move(self.stage, staged, parent, name)
        except FileExistsError:
            self._quarantine(staged, path)

    def _leave(self, path: str, ours: str) -> None:
        self.report.conflicts.append(path)
        self._quarantine(ours, path)

    def _parent(self, path: str) -> tuple[int, str]:
        directory, name = split(path)
        return self.tree.directory(directory), name

    def _free_name(self, wanted: str) -> str:
        for name in (wanted, *(f"{wanted}{n}" for n in range(1, 10_000))):
            try:
                self.fs.stat(self.stage, name)
            except FileNotFoundError:
                return name
        raise OSError(errno.EEXIST, "no free name in the stage")

    def _quarantine(self, name: str, path: str) -> None:
        self.report.quarantined.append((path, quarantine(self.fs, self.tree, self.stage, name, self.id)))

    # -- directories and the whole -------------------------------------------------------------------------------

    def make_directory(self, path: str, mode: int) -> None:
        parent, name = self._parent(path)
        with suppress(FileExistsError):
            self.fs.make_directory(parent, name, 0o700)
            with self.fs.closing(self.fs.open_beneath(parent, name)) as fd:
                self.fs.set_mode(fd, mode)

    def remove_directory(self, path: str) -> None:
        try:
            parent, name = self._parent(path)
            self.fs.remove_directory(parent, name)
            self.tree.forget(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            self.report.conflicts.append(path)

    def run(self) -> None:
        intent = self.intent
        with suppress(FileNotFoundError):
            self.fs.unlink(self.stage, BALLAST)
        for directory in reversed(intent.pruned):
            self.make_directory(directory.path, directory.mode)
        for operation in reversed(intent.rest):
            self.undo_one(operation)
        for path in reversed(intent.made):
            self.remove_directory(path)
        for directory in reversed(intent.rooms):
            self.make_directory(directory.path, directory.mode)
        for operation in reversed(intent.early):
            self.undo_one(operation)
        self._make_durable()
        self._verify()

    def _make_durable(self) -> None:
        touched = {split(operation.path)[0] for operation in self.intent.operations}
        touched |= {split(path)[0] for path in self.intent.made}
        touched -= set(self.intent.made)
        if len(touched) >= SYNC_WHOLE_FROM:
            self.fs.syncfs(self.stage)
            return
        for path in sorted(touched):
            with suppress(FileNotFoundError):
                self.fs.fsync(self.tree.directory(path))

    def _verify(self) -> None:
        left_alone = set(self.report.conflicts)
        for operation in self.intent.operations:
            if operation.path not in left_alone and self.in_tree(operation.path) != operation.old:
                self.report.problems.append(f"{printable(operation.path)} does not hold its old content")


def undo(filesystem: FileSystem, tree: PinnedTree, stage: int, intent: Intent, execution_id: str) -> UndoReport:
    """Take back an interrupted or failed transaction, as far as it got, and verify the result.

    Raises:
        OSError: the file system refuses; the stage keeps everything, so that undo can run again.
    """
    work = _Undo(filesystem, tree, stage, intent, execution_id)
    work.run()
    return work.report


def quarantine(filesystem: FileSystem, tree: PinnedTree, stage: int, name: str, execution_id: str) -> str:
    """Give a file of the stage a second name below ``.lonelycat/quarantine`` and return that place."""
    directory = open_state_directory(filesystem, tree.path, QUARANTINE)
    with filesystem.closing(directory):
        taken = set(filesystem.list(directory))
        place = next(
            place
            for place in (f"{execution_id}.{name}", *(f"{execution_id}.{name}.{n}" for n in range(1, 10_000)))
            if place not in taken
        )
        try:
            filesystem.hard_link(stage, name, directory, place)
        except PermissionError:  # a directory, or an object that cannot have two names
            filesystem.move(stage, name, directory, place)
        filesystem.fsync(directory)
    return f".lonelycat/{QUARANTINE}/{place}"


def sweep(
    filesystem: FileSystem,
    tree: PinnedTree,
    stage: int,
    intent: Intent,
    execution_id: str,
    seen: Mapping[int, os.stat_result],
) -> list[tuple[str, str]]:
    """Quarantine whatever the stage holds that is neither an old nor a new content, before the stage is removed.

    Args:
        seen: by operation, the status of a displaced file right after its content was checked; a file that has not
            been written to since is not read again.

    Returns:
        (path, place) of what was kept.
    """
    look = _Undo(filesystem, tree, stage, intent, execution_id)
    kept: list[tuple[str, str]] = []
    names = set(filesystem.list(stage))
    for operation in intent.operations:
        candidates = (
            [operation.staged_name, *(n for n in names if n.startswith(operation.undo_name))]
            if (operation.number not in seen)
            else [operation.staged_name]
        )
        for name in candidates:
            if name not in names or _untouched(filesystem, stage, name, seen.get(operation.number)):
                continue
            holding = look.in_stage(name, operation.path)
            if holding not in (operation.old, operation.new):
                kept.append((operation.path, quarantine(filesystem, tree, stage, name, execution_id)))
    return kept


def _untouched(filesystem: FileSystem, stage: int, name: str, before: os.stat_result | None) -> bool:
    if before is None:
        return False
    now = filesystem.stat(stage, name)
    return (now.st_ino, now.st_mtime_ns, now.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
