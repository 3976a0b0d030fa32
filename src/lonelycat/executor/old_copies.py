"""Copies of small old files in one archive, ``old.tar``, in place of a hard link for each.

An update exchanges the new file with the old one, which then lies in the stage: that is where undo takes it from. Only
where a power cut left one side of an exchange, or somebody removed the old file before it was exchanged, is it nowhere:
then a copy of its bytes, its mode and its owner is as good as the file itself. A thousand links, and their removal,
cost ten times as much as an archive of a thousand small files.

Invariants:
- The archive is durable before INTENT is published, and is never written to again.
- It holds exactly the bytes that were hashed when the base was checked.
- Where it is, hard links can be made: undo needs them, and a file system without any is refused before a change.
- What is read back is what was written, or nothing: no other member of an archive is interpreted.
- It is a plain ustar archive of workspace paths, so that a person whose journal is damaged can unpack it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from itertools import pairwise
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
_FIELDS = (100, 108, 116, 124, 136, 148)
"""Where mode, owner, group, size and time begin, and the last of them ends."""
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
        self._part += (_member(name, status, size).to_block(), data, _ZEROS[:padding])
        self._places[operation.number] = (self._size + _BLOCK, size)
        self._size += _BLOCK + size + padding
        if self._size - self._written >= _PART_BYTES:
            self._write()

    def _can_give(self, uid: int, gid: int) -> bool:
        """Whether undo could give a copy this owner, and link the old file from the stage.

        Of root too it is not known for the files of others: it may lack the capabilities, or be that of a user
        namespace.
        """
        return uid == self._owner and gid in self._groups and max(uid, gid) <= _MOST_ID

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
    """Yield the files of the archive, one at a time, up to its end or to the first thing that was not written here.

    What follows damage is not told apart from what is not there. Whatever the archive is by now, no more than one file
    is in memory. Whether a file has the bytes and the rights of the old one is for the caller to see.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    with filesystem.closing(filesystem.open_file(stage, ARCHIVE)) as fd:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        while (member := _parse(_read(filesystem, fd, _BLOCK))) is not None:
            data = _read(filesystem, fd, member.size + -member.size % _BLOCK)[: member.size]
            yield OldCopy(os.fsdecode(member.name), data, member.mode, member.uid, member.gid)


def _read(filesystem: FileSystem, fd: int, size: int) -> bytes:
    """Read ``size`` bytes, or less at the end."""
    data = filesystem.read(fd, size)
    while len(data) < size and (more := filesystem.read(fd, size - len(data))):
        data += more
    return data


class _Member(NamedTuple):
    """The header of one file."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    seconds: int

    def to_block(self) -> bytes:
        """Return the ustar header of a regular file (POSIX.1-2017, pax, "ustar Interchange Format")."""
        numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % self[1:]
        checksum = sum(self.name) + sum(numbers) + _SUM_OF_THE_REST
        return b"%b%b%06o\0 %b" % (self.name.ljust(_NAME_BYTES, b"\0"), numbers, checksum, _REST)


def _member(name: bytes, status: os.stat_result | FileStatus, size: int) -> _Member:
    seconds = min(max(status.st_mtime_ns // 1_000_000_000, 0), _MOST_SECONDS)
    return _Member(name, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, size, seconds)


def _parse(block: bytes) -> _Member | None:
    """Undo :meth:`_Member.to_block`; None for anything else, such as the archive's end."""
    numbers = [block[start:end] for start, end in pairwise(_FIELDS)]
    if not all(re.fullmatch(rb"[0-7]+\0", number) for number in numbers):
        return None
    mode, uid, gid, size, seconds = (int(number[:-1], 8) for number in numbers)
    member = _Member(block[:_NAME_BYTES].rstrip(b"\0"), mode, uid, gid, size, seconds)
    return member if size <= FILE_BYTES and member.to_block() == block else None
