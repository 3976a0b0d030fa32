"""What is left in the stage when a transaction is over, looked at once more before it is removed.

Invariant: nothing is removed that is neither an old nor a new content of the transaction.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from lonelycat.executor.filesystem import FileSystem, Status
from lonelycat.executor.layout import Intent
from lonelycat.executor.quarantine import quarantine
from lonelycat.executor.tree import PinnedTree
from lonelycat.executor.undo_view import UndoView, holds

Version = tuple[int, int, int, int]
"""Inode, size, time of the last writing and of the last change of a file."""


def version(status: Status) -> Version:
    """Return what changes whenever the file is written to."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def sweep(
    filesystem: FileSystem,
    tree: PinnedTree,
    stage: int,
    intent: Intent,
    execution_id: str,
    seen: Mapping[int, Version],
) -> list[tuple[str, str]]:
    """Quarantine whatever the stage holds that is neither an old nor a new content, before the stage is removed.

    Args:
        seen: by operation, the version of a displaced file right after its content was checked; a file that has not
            been written to since is not read again.

    Returns:
        (path, place) of what was kept.
    """
    look = UndoView(filesystem, tree, stage, intent)
    kept: list[tuple[str, str]] = []
    left = _left_in(filesystem, stage, intent, seen)
    for operation in intent.operations if left else ():
        for name in left.get(operation.number, ()):
            holding = look.in_stage(name, operation.path)
            if holds(holding, operation.old) or holds(holding, operation.new):
                continue
            current = look.status(operation.path)  # an old file that is back has its place, whatever is in it now
            if current is None or not os.path.samestat(current, filesystem.stat(stage, name)):
                kept.append((operation.path, quarantine(filesystem, tree, stage, name, execution_id)))
    return kept


def _left_in(filesystem: FileSystem, stage: int, intent: Intent, seen: Mapping[int, Version]) -> dict[int, list[str]]:
    """Return the names in the stage that have to be looked into, by the number of their operation."""
    names = dict.fromkeys(filesystem.list(stage))
    for operation in intent.operations:
        before, name = seen.get(operation.number), operation.staged_name
        if before is not None and name in names and version(filesystem.stat(stage, name)) == before:
            del names[name]
    left: dict[int, list[str]] = {}
    for name in names:
        number, _, kind = name.partition(".")
        if kind.startswith(("new", "undo")) and number.isdecimal():
            left.setdefault(int(number), []).append(name)
    return left
