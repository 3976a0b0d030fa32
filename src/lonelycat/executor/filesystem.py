"""The single layer of system calls through which the executor changes anything.

Invariants:
- Every mutating call of the executor is a method of :class:`FileSystem`, one system call (or one loop over one) each,
  so that a test can fail it, count it or kill the process before or after it.
- No method follows a symbolic link in its last component; ``open_beneath`` follows none in any component, does not
  leave the root and does not cross a mount.
- A failed ``fsync`` is never retried on the same descriptor (the kernel may have dropped the pages).

Linux only: openat2(2) and renameat2(2) by ctypes; all else by ``os`` with directory descriptors.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lonelycat.durable import sync_file_system

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYS_OPENAT2 = 437
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_TOPDIR_FL = 0x00020000
_renameat2 = _LIBC.renameat2
_renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_syscall = _LIBC.syscall

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RETRIES_AFTER_A_RACE = 64


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _fail(name: str | bytes) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), os.fsdecode(name))


class FileSystem:
    """The real system calls. Names are single components below ``directory`` descriptors unless said otherwise."""

    # -- looking -------------------------------------------------------------------------------------------------

    def open_root(self, path: str | os.PathLike[str]) -> int:
        """Open the workspace root (or a directory of the state) by path, following no final link."""
        return os.open(path, DIRECTORY)

    def open_beneath(self, root: int, path: str) -> int:
        """Open the directory ``path`` below ``root``; no links, no ``..``, no mounts on the way.

        Raises:
            OSError: ELOOP for a link, EXDEV for an escape or a mount, ENOENT, ENOTDIR.
        """
        how = _OpenHow(DIRECTORY, 0, _RESOLVE)
        raw = os.fsencode(path)
        for _ in range(_RETRIES_AFTER_A_RACE):
            fd = int(_syscall(_SYS_OPENAT2, root, raw, ctypes.byref(how), ctypes.sizeof(how)))
            if fd >= 0:
                return fd
            if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
                break
        raise _fail(raw)

    def open_file(self, directory: int, name: str) -> int:
        """Open a file for reading without following a link and without hanging on a FIFO."""
        return os.open(name, _READ, dir_fd=directory)

    def stat(self, directory: int, name: str) -> os.stat_result:
        """Return the status of ``name`` itself, not of what it points to."""
        return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def read(self, fd: int, size: int) -> bytes:
        """Read up to ``size`` bytes."""
        return os.read(fd, size)

    def read_link(self, directory: int, name: str) -> bytes:
        """Return the target of a symbolic link."""
        return os.readlink(os.fsencode(name), dir_fd=directory)

    def list(self, directory: int) -> list[str]:
        """Return the names in a directory."""
        return [*self.inodes(directory)]

    def inodes(self, directory: int) -> dict[str, int]:
        """Return the names in a directory with the numbers of their inodes, in one pass over it."""
        with self._opened_anew(directory) as fd, os.scandir(fd) as entries:
            return {entry.name: entry.inode() for entry in entries}

    @contextmanager
    def _opened_anew(self, directory: int) -> Iterator[int]:
        """btrfs shows through a descriptor only the names that were there when it was opened."""
        with self.closing(os.open(".", DIRECTORY, dir_fd=directory)) as fd:
            yield fd

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
        """Reserve ``size`` bytes for a file."""
        os.posix_fallocate(fd, 0, size)

    def set_mode(self, fd: int, mode: int) -> None:
        """Set permission bits."""
        os.fchmod(fd, mode)

    def set_owner(self, fd: int, uid: int, gid: int) -> None:
        """Set the owner."""
        os.fchown(fd, uid, gid)

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        """Set an extended attribute."""
        os.setxattr(fd, name, value)

    def spread(self, directory: int) -> None:
        """Ask the file system to give each directory made below this one an allocation group of its own.

        ext4's "top of directory hierarchies" flag; a hint, best effort, unknown to most file systems. Without it every
        transaction's files are allocated where those of the last ones were freed, and an ext4 without a journal looks
        at each inode freed there within the last minutes before it makes a new one: 0.7 ms instead of 0.02 a file.
        """
        with suppress(OSError):
            (flags,) = struct.unpack("l", fcntl.ioctl(directory, _FS_IOC_GETFLAGS, struct.pack("l", 0)))
            fcntl.ioctl(directory, _FS_IOC_SETFLAGS, struct.pack("l", flags | _FS_TOPDIR_FL))

    def make_link(self, target: bytes, directory: int, name: str) -> None:
        """Create a symbolic link with ``target``."""
        os.symlink(target, os.fsencode(name), dir_fd=directory)

    def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Give a file (or a symbolic link itself) a second name, which must not exist."""
        os.link(name, to_name, src_dir_fd=directory, dst_dir_fd=to_directory, follow_symlinks=False)

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Rename to a name that must not exist (RENAME_NOREPLACE); atomic."""
        self._rename(directory, name, to_directory, to_name, _RENAME_NOREPLACE)

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Swap two names that both exist (RENAME_EXCHANGE); atomic."""
        self._rename(directory, name, to_directory, to_name, _RENAME_EXCHANGE)

    def replace(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Rename over ``to_name``; atomic. For files of the state directory only."""
        os.rename(name, to_name, src_dir_fd=directory, dst_dir_fd=to_directory)

    def _rename(self, directory: int, name: str, to_directory: int, to_name: str, flags: int) -> None:
        if _renameat2(directory, os.fsencode(name), to_directory, os.fsencode(to_name), flags) != 0:
            raise _fail(to_name)

    def unlink(self, directory: int, name: str) -> None:
        """Remove a name."""
        os.unlink(name, dir_fd=directory)

    def make_directory(self, directory: int, name: str, mode: int = 0o777) -> None:
        """Create a directory; the process's umask applies."""
        os.mkdir(name, mode, dir_fd=directory)

    def remove_directory(self, directory: int, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=directory)

    def fsync(self, fd: int) -> None:
        """Make a file or directory durable."""
        os.fsync(fd)

    def syncfs(self, fd: int) -> None:
        """Make everything on the file system that holds ``fd`` durable."""
        sync_file_system(fd)


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
