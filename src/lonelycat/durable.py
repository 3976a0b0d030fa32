"""What makes files durable, on systems that can sync a whole file system and on those that cannot.

Invariant: when :func:`make_durable` returns, everything that ``written`` yields, and ``anchor``, outlives a power cut,
as far as the drive tells the truth. On Linux it covers the whole file system: names, directories, and what others left
unwritten too, so that it takes as long as that takes. Elsewhere each file is handed to the drive, and one last call
makes the drive write out what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from lonelycat.platforms import native_calls


class Syncing(Protocol):
    """The calls that this takes: those of the platform, or the executor's layer over them."""

    @property
    def syncs_whole(self) -> bool:
        """Whether ``syncfs`` is there."""

    def syncfs(self, fd: int) -> None:
        """Make the whole file system of ``fd`` durable."""

    def hand_over(self, fd: int) -> None:
        """Hand a file or directory to the drive, which may still hold it in its own memory."""

    def fsync(self, fd: int) -> None:
        """Make a file or directory durable, and with it what was handed over before."""


def make_durable(calls: Syncing, anchor: int, written: Callable[[], Iterable[int]]) -> None:
    """Make everything that was written durable.

    Args:
        anchor: an open file or directory on the file system; durable last.
        written: yields every other file and directory that was written to, open until the next is asked for; it is
            not called where the file system can be synced as a whole.

    Raises:
        OSError: an I/O error or a full disk; what of it is durable is not known.
    """
    if calls.syncs_whole:
        calls.syncfs(anchor)
        return
    for fd in written():
        calls.hand_over(fd)
    calls.fsync(anchor)


def sync_file(fd: int) -> None:
    """Make one open file or directory durable.

    Raises:
        OSError: as :func:`make_durable`.
    """
    native_calls().fsync(fd)
