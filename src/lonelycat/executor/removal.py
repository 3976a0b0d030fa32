"""Takes away a transaction directory that has served its purpose: one that changed nothing, or that is finished.

Invariant: the journal goes first and the directory last, so that a death in between leaves what recovery takes for a
transaction that applied nothing.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import JOURNAL
from lonelycat.executor.side_by_side import wait_and_work

_REMOVERS = 4
"""A power of two."""
_REMOVE_SIDE_BY_SIDE_FROM = 256


def remove_transaction(filesystem: FileSystem, transactions: int, stage: int, name: str) -> None:
    """Remove a transaction directory."""
    empty_transaction(filesystem, stage)
    filesystem.remove_directory(transactions, name)


def empty_transaction(filesystem: FileSystem, stage: int) -> None:
    """Remove what a transaction holds: the journal first, so that what is left is never taken for unfinished.

    The order of the rest does not matter. Where blocks are discarded as they are freed, each removal waits for the
    disk; a large transaction therefore lets a few of them wait at a time.
    """
    _remove(filesystem, stage, [JOURNAL])
    members = filesystem.list(stage)
    if len(members) < _REMOVE_SIDE_BY_SIDE_FROM:
        _remove(filesystem, stage, members)
        return
    _remove_by(_REMOVERS, filesystem, stage, members)


def _remove_by(threads: int, filesystem: FileSystem, stage: int, members: list[str]) -> None:
    if threads == 1:
        _remove(filesystem, stage, members)
        return
    first, second = (partial(_remove_by, threads // 2, filesystem, stage, members[half::2]) for half in (0, 1))
    wait_and_work(first, second)


def _remove(filesystem: FileSystem, stage: int, members: list[str]) -> None:
    for member in members:
        try:
            filesystem.unlink(stage, member)
        except FileNotFoundError:
            continue
        except IsADirectoryError:  # one that undo did not come to move into place
            with suppress(FileNotFoundError):
                filesystem.remove_directory(stage, member)
