"""The single layer of system calls through which the executor changes anything.

Invariants:
- Every mutating call of the executor is a method of :class:`FileSystem`, one system call (or one loop over one) each,
  so that a test can fail it, count it or kill the process before or after it.
- No method follows a symbolic link in its last component; ``open_beneath`` follows none in any component, does not
  leave the root and does not cross a mount.
- A failed ``fsync`` is never retried on the same descriptor (the kernel may have dropped the pages).

What systems have in common is called here, by ``os`` with directory descriptors; what they do each in their own way is
one of :class:`~lonelycat.platforms.interface.PlatformCalls`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import ClassVar, NamedTuple

from lonelycat.platforms import native_calls
from lonelycat.platforms.interface import PlatformCalls
from lonelycat.platforms.walk import DIRECTORY as DIRECTORY

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileStatus(NamedTuple):
    """What is asked of a file's status, under the names of ``os.stat_result``, in a third of its memory."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_uid: int
    st_gid: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result | FileStatus) -> FileStatus:
        """Return what is asked of ``status``."""
        return cls._make(_ASKED(status))


_ASKED = attrgetter(*FileStatus._fields)
Status = os.stat_result | FileStatus


def is_same_file(one: Status, other: Status) -> bool:
    """Tell whether both are the status of the same file."""
    return (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev)


class FileSystem:
    """The real system calls. Names are single components below ``directory`` descriptors unless said otherwise."""

    platform: ClassVar[PlatformCalls] = native_calls()

    @property
    def syncs_whole(self) -> bool:
        """Whether :meth:`syncfs` is there; see ``durable.py``."""
        return self.platform.syncs_whole

    # -- looking -------------------------------------------------------------------------------------------------

    def open_root(self, path: str | os.PathLike[str]) -> int:
        """Open the workspace root (or a directory of the state) by path, following no final link."""
        return os.open(path, DIRECTORY)

    def open_beneath(self, root: int, path: str) -> int:
        """Open the directory ``path`` below ``root``; no links, no ``..``, no mounts on the way.

        Raises:
            OSError: ELOOP for a link on the way, ENOTDIR for a file there or for a link or file at the end, EXDEV for
                an escape or a mount, ENOENT.
        """
        return self.platform.open_beneath(root, path)

    def open_file(self, directory: int, name: str) -> int:
        """Open a file for reading without following a link and without hanging on a FIFO."""
        return self.platform.open(name, _READ, dir_fd=directory)

    def stat(self, directory: int, name: str) -> os.stat_result:
        """Return the status of ``name`` itself, not of what it points to."""
        return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def read(self, fd: int, size: int) -> bytes:
        """Read up to ``size`` bytes."""
        return os.read(fd, size)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes from ``offset`` on."""
        return os.pread(fd, size, offset)

    def read_link(self, directory: int, name: str) -> bytes:
        """Return the target of a symbolic link."""
        return os.readlink(os.fsencode(name), dir_fd=directory)

    def list(self, directory: int) -> list[str]:
        """Return the names in a directory."""
        with self._opened_anew(directory) as fd:
            return os.listdir(fd)  # noqa: PTH208 — a descriptor has no path

    def inodes(self, directory: int) -> dict[str, int]:
        """Return the names in a directory with the numbers of their inodes, in one pass over it."""
        with self._opened_anew(directory) as fd, os.scandir(fd) as entries:
            return {entry.name: entry.inode() for entry in entries}

    @contextmanager
    def _opened_anew(self, directory: int) -> Iterator[int]:
        """btrfs shows through a descriptor only the names that were there when it was opened."""
        with self.closing(os.open(".", DIRECTORY, dir_fd=directory)) as fd:
            yield fd

    def kept_attributes(self, fd: int) -> tuple[str, ...]:
        """Return the names of the extended attributes that a new version of the file keeps."""
        names = self.platform.list_attributes(fd)
        return tuple(name for name in names if self.platform.keeps_attribute(name)) if names else ()

    def get_attribute(self, fd: int, name: str) -> bytes:
        """Return the value of an extended attribute."""
        return self.platform.get_attribute(fd, name)

    def is_remote(self, fd: int) -> bool:
        """Whether other hosts may reach the file system of ``fd`` too, and not see a lock that is taken here."""
        return self.platform.is_remote(fd)

    def umask(self) -> int:
        """Return the process's umask, which is only looked at; 0o077 if it cannot be had."""
        return self.platform.umask()

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    @contextmanager
    def closing(self, fd: int) -> Iterator[int]:
        """Close ``fd`` at the end of the block."""
        try:
            yield fd
        finally:
            self.close(fd)

    # -- changing ------------------------------------------------------------------------------------------------

    def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
        """Create ``name``, which must not exist, and return a descriptor to write to."""
        return os.open(name, _CREATE, mode, dir_fd=directory)

    def open_append(self, directory: int, name: str) -> int:
        """Open an existing file to append to, without hanging on a FIFO."""
        return os.open(name, _APPEND, dir_fd=directory)

    def write(self, fd: int, data: bytes) -> None:
        """Write all of ``data``."""
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file to ``size`` bytes."""
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        """Reserve ``size`` bytes for an empty file."""
        self.platform.allocate(fd, size)

    def set_mode(self, fd: int, mode: int) -> None:
        """Set permission bits."""
        os.fchmod(fd, mode)

    def set_owner(self, fd: int, uid: int, gid: int) -> None:
        """Set the owner."""
        os.fchown(fd, uid, gid)

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        """Set an extended attribute."""
        self.platform.set_attribute(fd, name, value)

    def spread(self, directory: int) -> None:
        """Ask the file system to give each directory made below this one an allocation group of its own.

        ext4's "top of directory hierarchies" flag; a hint, best effort, unknown to most file systems. Without it every
        transaction's files are allocated where those of the last ones were freed, and an ext4 without a journal looks
        at each inode freed there within the last minutes before it makes a new one: 0.7 ms instead of 0.02 a file.
        """
        self.platform.spread(directory)

    def make_link(self, target: bytes, directory: int, name: str) -> None:
        """Create a symbolic link with ``target``."""
        os.symlink(target, os.fsencode(name), dir_fd=directory)

    def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Give a file (or a symbolic link itself) a second name, which must not exist."""
        os.link(name, to_name, src_dir_fd=directory, dst_dir_fd=to_directory, follow_symlinks=False)

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Rename to a name that must not exist; atomic."""
        self.platform.move(directory, name, to_directory, to_name)

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Swap two names that both exist; atomic."""
        self.platform.exchange(directory, name, to_directory, to_name)

    def replace(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Rename over ``to_name``; atomic. For files of the state directory only."""
        os.rename(name, to_name, src_dir_fd=directory, dst_dir_fd=to_directory)

    def unlink(self, directory: int, name: str) -> None:
        """Remove a name that is not a directory's."""
        self.platform.unlink(name, dir_fd=directory)

    def make_directory(self, directory: int, name: str, mode: int = 0o777) -> None:
        """Create a directory; the process's umask applies."""
        os.mkdir(name, mode, dir_fd=directory)

    def remove_directory(self, directory: int, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=directory)

    def hand_over(self, fd: int) -> None:
        """Hand a file or directory to the drive; durable once an :meth:`fsync` follows. See ``durable.py``."""
        self.platform.hand_over(fd)

    def fsync(self, fd: int) -> None:
        """Make a file or directory durable."""
        self.platform.fsync(fd)

    def syncfs(self, fd: int) -> None:
        """Make everything on the file system that holds ``fd`` durable, where :attr:`syncs_whole`."""
        self.platform.syncfs(fd)


def read_all(filesystem: FileSystem, fd: int, chunk: int, limit: int | None = None) -> bytes:
    """Return everything from ``fd``'s position on, at most ``limit`` bytes.

    Raises:
        OSError: EFBIG when there is more than ``limit``.
    """
    parts = []
    total = 0
    while data := filesystem.read(fd, chunk):
        total += len(data)
        if limit is not None and total > limit:
            raise OSError(errno.EFBIG, "file too large")
        parts.append(data)
    return b"".join(parts)
