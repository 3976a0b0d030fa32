"""Descriptors of file systems in memory, and what ``os`` answers about them.

``os.fstat`` and ``os.dup``, which the executor may ask about a descriptor, answer for these while :func:`mounted`; a
call of ``os`` that does not know them fails with EBADF.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from tests.crash.disk import Inode


class Status(NamedTuple):
    """What the executor looks at in an ``os.stat_result``."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int


class Holder(Protocol):
    """A file system that has given out descriptors."""

    def inode(self, fd: int) -> int:
        """Return the inode behind a descriptor."""

    def found(self, directory: int, name: str) -> int:
        """Return the inode that a name in a directory means."""

    def node(self, inode: int) -> Inode:
        """Return what an inode holds."""

    def status(self, inode: int) -> Status:
        """Return the status of an inode."""

    def duplicate(self, fd: int) -> int:
        """Return a further descriptor of the same inode."""


_FIRST = 1 << 24
_holders: dict[int, Holder] = {}
_given = itertools.count(_FIRST)


def give(holder: Holder) -> int:
    """Return a descriptor that no other file system of this process has."""
    fd = next(_given)
    _holders[fd] = holder
    return fd


def take_back(fd: int) -> None:
    """A descriptor is closed."""
    del _holders[fd]


@contextmanager
def mounted() -> Iterator[None]:
    """Let ``os`` know the descriptors of file systems in memory."""
    real = (os.fstat, os.dup)

    def fstat(fd: int) -> object:
        holder = _holders.get(fd)
        return real[0](fd) if holder is None else holder.status(holder.inode(fd))

    def dup(fd: int) -> int:
        holder = _holders.get(fd)
        return real[1](fd) if holder is None else holder.duplicate(fd)

    os.fstat, os.dup = fstat, dup  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fstat, os.dup = real
