"""Gives every old file that has none the backup that undo puts it back from.

Small old files of a large change set have a copy in an archive and no hard link (``old_copies.py``). Undo begins by
making the link, from wherever the old file is: in the stage if its exchange was made, in the tree if not. After a power
cut that left one side of an exchange it is in neither, or somebody wrote to it: then its copy becomes the backup.
Where nothing was applied at all, no old file is needed: what a path holds then is what somebody else wrote there.

Invariants:
- A backup that exists is never touched: run again after a crash, this goes on where it was.
- A copy gets the backup's name only when it is complete and durable.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress

from lonelycat.changes.paths import printable
from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import is_same_file
from lonelycat.executor.old_copies import ARCHIVE, OldCopy, read_copies
from lonelycat.executor.operations import FileOperation
from lonelycat.executor.tree import Found
from lonelycat.executor.tree_digest import PathState
from lonelycat.executor.undo_proof import ANY_LINKS
from lonelycat.executor.undo_view import UndoView, holds

_NOT_LINKED = frozenset({errno.EPERM, errno.EMLINK, errno.ENOENT, errno.EXDEV})
"""How a link fails when the file is gone, cannot be linked, has too many names or is a mount."""


def complete_backups(look: UndoView) -> list[str]:
    """Make the backups that are missing; returns what is wrong, in words."""
    lost: dict[str, FileOperation] = {}
    problems: list[str] = []
    # Of an INTENT without copies there are no inodes at all.
    for operation, inode in zip(look.intent.operations, look.intent.inodes, strict=False):
        if inode is None:
            continue
        try:
            if not _has_backup(look, operation, inode) and not _link(look, operation, inode):
                lost[operation.path] = operation
        except OSError as error:
            problems.append(f"{printable(operation.path)}: {error.strerror or 'an I/O error'}")
    return problems + list(_copy(look, lost)) if lost else problems


def _has_backup(look: UndoView, operation: FileOperation, inode: int) -> bool:
    """Whether there is one, and not what an undo had linked that died before it looked at it."""
    backup = look.backup(operation)
    if backup is None:
        return False
    if backup.st_ino == inode or holds(look.in_stage(operation.backup_name, operation.path), operation.old):
        return True
    look.fs.unlink(look.stage, operation.backup_name)
    return False


def _link(look: UndoView, operation: FileOperation, inode: int) -> bool:
    """Link the old file from where it is; tell whether it was found."""
    for directory, name in _places(look, operation):
        try:
            there = _old_file(look, operation, inode, directory, name)
            if there is None:
                continue
            look.fs.hard_link(directory, name, look.stage, operation.backup_name)
        except OSError as error:
            if error.errno not in _NOT_LINKED:
                raise
            continue
        if os.path.samestat(look.fs.stat(look.stage, operation.backup_name), there):
            return True
        look.fs.unlink(look.stage, operation.backup_name)  # somebody put another one in its place meanwhile
    return False


def _old_file(look: UndoView, operation: FileOperation, inode: int, directory: int, name: str) -> os.stat_result | None:
    """Return the status of ``name`` if it is the old file, with the old bytes.

    Its number alone does not say so: once an old file without a link is removed, the next new one may get it.
    """
    there = look.fs.stat(directory, name)
    if (there.st_dev, there.st_ino) != (look.tree.device, inode):
        return None
    try:
        found = look.tree.look_in(directory, name, operation.path, links=ANY_LINKS)
    except LonelyCatError:
        return None
    old = operation.old
    if found is None or old is None or found.identity.is_link or found.identity.sha256 != old.sha256:
        return None
    return there


def _places(look: UndoView, operation: FileOperation) -> Iterator[tuple[int, str]]:
    yield look.stage, operation.staged_name
    with suppress(LonelyCatError, FileNotFoundError):
        yield look.parent(operation.path)


def _copy(look: UndoView, lost: dict[str, FileOperation]) -> Iterator[str]:
    """Make backups from the archive; yield what is wrong."""
    why = ""
    try:
        for copy in read_copies(look.fs, look.stage):
            state = PathState("file", copy.mode, hashlib.sha256(copy.data).hexdigest())
            if copy.path in lost and state == look.intent.before[copy.path]:
                _make_backup(look, lost[copy.path], copy)
                del lost[copy.path]
            if not lost:
                return
    except OSError as error:
        why = error.strerror or "an I/O error"
    missed = [path for path, operation in lost.items() if not _is_in_its_place(look, operation)]
    if missed and nothing_was_applied(look):
        return
    if why and missed:
        yield f"{ARCHIVE}: {why}"
        return
    yield from (f"the old {printable(path)} is gone, and its copy in {ARCHIVE} is damaged" for path in missed)


def _is_in_its_place(look: UndoView, operation: FileOperation) -> bool:
    """Whether the path holds what it held before, and so needs no backup, whatever file that is by now."""
    try:
        return holds(look.in_tree(operation.path), operation.old)
    except OSError:
        return False


def nothing_was_applied(look: UndoView) -> bool:
    """Whether every operation shows that it was never made, whatever somebody else did to the paths since.

    A new file that still waits in the stage, and is not in the tree as well, was not exchanged; an old one that is in
    its place was not taken away. A deletion in whose path somebody put another file shows neither.
    """
    operations = look.intent.operations
    inodes = look.intent.inodes or (None,) * len(operations)
    try:
        return all(_was_not_made(look, *each) for each in zip(operations, inodes, strict=True))
    except OSError:
        return False


def _was_not_made(look: UndoView, operation: FileOperation, inode: int | None) -> bool:
    there, staged = look.status(operation.path), look.in_stage(operation.staged_name, operation.path)
    if operation.new is not None:
        if not isinstance(staged, Found) or staged.identity != operation.new:
            return False
        return there is None or not is_same_file(staged.status, there)
    if staged is not None or there is None:
        return False
    return (there.st_dev, there.st_ino) == (look.tree.device, inode) or holds(
        look.in_tree(operation.path), operation.old
    )


def _make_backup(look: UndoView, operation: FileOperation, copy: OldCopy) -> None:
    fs, stage = look.fs, look.stage
    draft = f"{operation.number:06d}.copy"
    with suppress(FileNotFoundError):
        fs.unlink(stage, draft)
    with fs.closing(fs.create_file(stage, draft, 0o600)) as fd:
        if copy.data:
            fs.write(fd, copy.data)
        made = os.fstat(fd)
        if (made.st_uid, made.st_gid) != (copy.uid, copy.gid):
            with suppress(PermissionError):
                fs.set_owner(fd, copy.uid, copy.gid)
        fs.set_mode(fd, copy.mode)
        fs.fsync(fd)
    fs.move(stage, draft, stage, operation.backup_name)
