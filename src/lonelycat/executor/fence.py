"""The fence: a number that grows with every acquisition of the lock, and by which a late-comer is told apart.

Invariants:
- It is raised under the lock, and durable before anything is done under it.
- A counter that was lost restarts above every number that is known: the time in microseconds, what the records and
  the journals of the dead hold. A counter goes up by one each time, so it never overtakes the clock that it began at.
- Who holds a lower fence than the newest has been overtaken: it must not write any more. It can still be in the middle
  of the one system call that it was stopped at; the database, which compares in the same transaction, does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lonelycat.clock import Clock
from lonelycat.errors import StateError
from lonelycat.executor.filesystem import DIRECTORY, FileSystem
from lonelycat.executor.journal import read_journal
from lonelycat.executor.state_directory import open_lock_file

FENCE = "fence"
_DIGITS = 20
_MAX_FENCE = 2**53


def raise_fence(filesystem: FileSystem, locks: int, clock: Clock, known: Callable[[], int]) -> int:
    """Count this acquisition, durably, and return its number. Call it under the lock.

    Args:
        locks: descriptor of ``.lonelycat/locks``.
        known: the highest fence that the records hold; asked only when the counter was lost.
    """
    with filesystem.closing(open_lock_file(locks, FENCE)) as fd:
        text = filesystem.read(fd, 64).partition(b"\n")[0]
        counted = int(text) if text.isdigit() else 0
        if not 0 < counted < _MAX_FENCE:
            # Above what was counted one by one since the clock read that; and the clock may have been set back.
            counted = max(int(clock.now().timestamp() * 1_000_000), known(), _highest_in_journals(filesystem, locks))
        os.lseek(fd, 0, os.SEEK_SET)
        filesystem.write(fd, b"%0*d\n" % (_DIGITS, counted + 1))
        filesystem.fsync(fd)
    if not text:
        filesystem.fsync(locks)
    return counted + 1


def _highest_in_journals(filesystem: FileSystem, locks: int) -> int:
    highest = 0
    with suppress(OSError), filesystem.closing(os.open("../tx", DIRECTORY, dir_fd=locks)) as transactions:
        for name in filesystem.list(transactions):
            with (
                suppress(OSError, StateError),  # what cannot be read there is for recovery to judge
                filesystem.closing(filesystem.open_beneath(transactions, name)) as stage,
            ):
                contents = read_journal(filesystem, stage)
                highest = max([highest, *(record.fence for record in contents.records)] if contents else [highest])
    return highest


class FenceCheck:
    """Asks whether a fence is still the newest: one or two cheap system calls each time.

    Args:
        root: an open descriptor of the workspace.
        fence: the one held.
    """

    def __init__(self, filesystem: FileSystem, root: int, fence: int) -> None:
        self._filesystem = filesystem
        self._root = root
        self._fence = fence
        self._own = b"%0*d" % (_DIGITS, fence)
        self._fd = -1

    def __call__(self, *, in_passing: bool = False) -> None:
        """Pass if nobody has raised the fence since.

        Args:
            in_passing: trust that the counter is where it was last time; for what is done a thousand times.

        Raises:
            StateError: ``FENCE_STALE``.
        """
        if not in_passing and (self._fd < 0 or os.fstat(self._fd).st_nlink == 0):
            self._reopen()  # it was removed: whoever came since counts in a new file
        if self._fd < 0:
            return
        text = os.pread(self._fd, _DIGITS, 0)
        if text != self._own and text.isdigit() and int(text) > self._fence:
            raise StateError(
                "FENCE_STALE",
                f"this executor held the lock with fence {self._fence}, and {int(text)} was given out since",
                "Another executor took over the workspace meanwhile; see `lonelycat log`.",
            )

    def close(self) -> None:
        """Close what is open."""
        if self._fd >= 0:
            self._filesystem.close(self._fd)
            self._fd = -1

    def _reopen(self) -> None:
        self.close()
        with (
            suppress(OSError),
            self._filesystem.closing(self._filesystem.open_beneath(self._root, ".lonelycat/locks")) as locks,
        ):
            self._fd = self._filesystem.open_file(locks, FENCE)


def refuse_overtaken(filesystem: FileSystem, root: Path, fence: int) -> None:
    """Pass if nobody has raised the fence of the workspace ``root`` above ``fence``.

    Raises:
        StateError: ``FENCE_STALE``.
        OSError: the workspace cannot be opened.
    """
    with filesystem.closing(filesystem.open_root(root)) as directory:
        check = FenceCheck(filesystem, directory, fence)
        try:
            check()
        finally:
            check.close()
