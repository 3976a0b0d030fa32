"""Copies of small old files in one archive, ``old.tar``, in place of a hard link for each.

An update exchanges the new file with the old one, which then lies in the stage: that is where undo takes it from. Only
where a power cut left one side of an exchange is it nowhere, and then nobody has it open any more: a copy of its bytes,
its mode and its owner is as good as the file itself. A thousand links, and their removal, cost ten times as much as an
archive of a thousand small files.

Invariants:
- The archive is durable before INTENT is published, and is never written to again.
- It holds exactly the bytes that were hashed when the base was checked.
- Where it is, hard links can be made: undo needs them, and a file system without any is refused before a change.
- It is a plain ustar archive of workspace paths, so that a person whose journal is damaged can unpack it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from lonelycat.executor.filesystem import FileStatus, FileSystem
from lonelycat.executor.operations import FileOperation
from lonelycat.executor.tree import Found

ARCHIVE = "old.tar"
_FURTHER_NAME = "old.tar.link"
FILE_BYTES = 16 * 1024
"""Of a larger file a link costs less than a copy."""
_BLOCK = 512
_PART_BYTES = 1024 * 1024
_MOST_ID = 0o7777777
_MOST_SECONDS = 0o77777777777
_NAME_BYTES = 100
_REST = (b"0" + bytes(_NAME_BYTES) + b"ustar\x0000").ljust(_BLOCK - 156, b"\0")
"""What follows the checksum, for any regular file."""
_SUM_OF_THE_REST = sum(_REST) + 8 * ord(" ")
_ZEROS = bytes(_BLOCK)


class OldCopies:
    """Writes the archive of one transaction and reads copies back from it.

    Args:
        stage: the transaction directory; the archive is made there with the first copy.
        needed: paths whose old file itself is needed while staging; they are not copied.
    """

    def __init__(self, filesystem: FileSystem, stage: int, needed: frozenset[str]) -> None:
        self._filesystem = filesystem
        self._stage = stage
        self._needed = needed
        self._groups = {os.getegid(), *os.getgroups()}
        self._owner = os.geteuid()
        self._fd = -1
        self._part: list[bytes] = []
        self._size = 0
        self._written = 0
        self._places: dict[int, tuple[int, int]] = {}

    def take(self, operation: FileOperation, found: Found, data: bytes | None) -> None:
        """Copy an old file of which ``data`` is all, if a copy can stand for it.

        Args:
            data: None for a file that is not small.

        Raises:
            OSError: no space, no rights, an I/O error.
        """
        if data is None or len(data) > FILE_BYTES or found.attributes or found.identity.is_link:
            return
        name, status = os.fsencode(operation.path), found.status
        if (
            len(name) > _NAME_BYTES
            or operation.path in self._needed
            or not self._can_give(status.st_uid, status.st_gid)
        ):
            return
        size = len(data)
        padding = -size % _BLOCK
        self._part += (_header(name, status, size), data, _ZEROS[:padding])
        self._places[operation.number] = (self._size + _BLOCK, size)
        self._size += _BLOCK + size + padding
        if self._size - self._written >= _PART_BYTES:
            self._write()

    def _can_give(self, uid: int, gid: int) -> bool:
        """Whether undo could give a copy this owner."""
        if max(uid, gid) > _MOST_ID:
            return False
        return self._owner == 0 or (uid == self._owner and gid in self._groups)

    def _write(self) -> None:
        if self._fd < 0:
            self._fd = self._filesystem.create_file(self._stage, ARCHIVE, 0o600)
        self._filesystem.write(self._fd, b"".join(self._part))
        self._part, self._written = [], self._size

    def finish(self) -> None:
        """Write what is left, and the archive's end; make sure of the links that undo will make.

        Raises:
            OSError: as :meth:`take`; the file system has no hard links.
        """
        if self._size:
            self._part.append(bytes(2 * _BLOCK))
            self._write()
            self._filesystem.hard_link(self._stage, ARCHIVE, self._stage, _FURTHER_NAME)
            self._filesystem.unlink(self._stage, _FURTHER_NAME)
        self.close()

    def close(self) -> None:
        """Let go of the archive."""
        if self._fd >= 0:
            self._filesystem.close(self._fd)
            self._fd = -1

    def __len__(self) -> int:
        return len(self._places)

    def has(self, operation: FileOperation) -> bool:
        """Whether the old file was copied."""
        return operation.number in self._places

    def read(self, operation: FileOperation) -> bytes:
        """Return a copied file's bytes, from the finished archive."""
        offset, size = self._places[operation.number]
        with self._filesystem.closing(self._filesystem.open_file(self._stage, ARCHIVE)) as fd:
            return self._filesystem.read_at(fd, size, offset)


class OldCopy(NamedTuple):
    """One file of the archive."""

    path: str
    data: bytes
    mode: int
    uid: int
    gid: int


def read_copies(filesystem: FileSystem, stage: int) -> Iterator[OldCopy]:
    """Yield what can be read of the archive, one file at a time.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    import tarfile

    with filesystem.closing(filesystem.open_file(stage, ARCHIVE)) as fd:
        try:
            with tarfile.open(fileobj=_Reading(filesystem, fd), mode="r|", errors="surrogateescape") as archive:  # type: ignore[call-overload]  # a stream needs no more than read
                for member in archive:
                    content = archive.extractfile(member)
                    data = b"" if content is None else content.read()
                    yield OldCopy(member.name, data, stat.S_IMODE(member.mode), member.uid, member.gid)
        except tarfile.TarError:
            return  # what follows the damage is not told apart from what is not there


class _Reading:
    """A descriptor as what :mod:`tarfile` reads from."""

    def __init__(self, filesystem: FileSystem, fd: int) -> None:
        self._filesystem = filesystem
        self._fd = fd

    def read(self, size: int) -> bytes:
        return self._filesystem.read(self._fd, size)


def _header(name: bytes, status: os.stat_result | FileStatus, size: int) -> bytes:
    """Return the ustar header of a regular file (POSIX.1-2017, pax, "ustar Interchange Format")."""
    seconds = min(max(status.st_mtime_ns // 1_000_000_000, 0), _MOST_SECONDS)
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        size,
        seconds,
    )
    checksum = sum(name) + sum(numbers) + _SUM_OF_THE_REST
    return b"%b%b%06o\0 %b" % (name.ljust(_NAME_BYTES, b"\0"), numbers, checksum, _REST)
