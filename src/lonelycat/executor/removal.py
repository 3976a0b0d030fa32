"""Takes away a transaction directory that has served its purpose: one that changed nothing, or that is finished.

Invariant: the journal goes first and the directory last, so that a death in between leaves what recovery takes for a
transaction that applied nothing.
"""

from __future__ import annotations

from contextlib import suppress

from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import JOURNAL

_REMOVERS = 4
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
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_REMOVERS) as removers:
        parts = [members[number::_REMOVERS] for number in range(_REMOVERS)]
        for done in [removers.submit(_remove, filesystem, stage, part) for part in parts]:
            done.result()


def _remove(filesystem: FileSystem, stage: int, members: list[str]) -> None:
    for member in members:
        try:
            filesystem.unlink(stage, member)
        except FileNotFoundError:
            continue
        except IsADirectoryError:  # one that undo did not come to move into place
            with suppress(FileNotFoundError):
                filesystem.remove_directory(stage, member)
