"""Linux: openat2(2), renameat2(2) and syncfs(2) by ctypes, which Python lacks; the rest by ``os``.

Where a kernel before 5.6, or the seccomp filter of an older container runtime, refuses openat2, the component walk
takes its place (``walk.py`` says what that gives up). For renameat2 there is no second best: without it staging fails.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lonelycat.platforms.walk import DIRECTORY, open_by_walking

_SYS_OPENAT2 = 437
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH
_RETRIES_AFTER_A_RACE = 64
_REFUSED_CALL = frozenset({errno.ENOSYS, errno.EPERM})
"""How a kernel without openat2, and a filter that forbids it, answer; opening a directory has no EPERM of its own."""
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_TOPDIR_FL = 0x00020000
_REMOTE = frozenset({0x6969, 0x517B, 0xFF534D42, 0xFE534D42, 0x01021997, 0x5346414F, 0x65735546})
"""statfs types: NFS, SMB, CIFS, SMB2, 9P, AFS, FUSE: a flock there may not be seen by other hosts."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _fail(name: str | bytes = b"") -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), os.fsdecode(name))


class LinuxCalls:
    """See :class:`~lonelycat.platforms.interface.PlatformCalls`.

    Args:
        syscall: syscall(2), as ctypes calls it; a test gives one that refuses.
    """

    syncs_whole = True
    open = staticmethod(os.open)
    unlink = staticmethod(os.unlink)
    fsync = staticmethod(os.fsync)
    hand_over = staticmethod(os.fsync)
    list_attributes = staticmethod(os.listxattr)
    get_attribute = staticmethod(os.getxattr)
    set_attribute = staticmethod(os.setxattr)

    def __init__(self, syscall: Callable[..., Any] | None = None) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._syscall = syscall or libc.syscall
        self._renameat2 = libc.renameat2
        self._renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        self._syncfs = libc.syncfs
        self._syncfs.argtypes = (ctypes.c_int,)
        self._fstatfs = libc.fstatfs
        self._malloc_trim = getattr(libc, "malloc_trim", None)  # not every C library has it

    def open_beneath(self, root: int, path: str) -> int:
        """Open a directory below ``root`` in one call, or by walking where that call is refused."""
        if ".." in path and ".." in path.split("/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)  # the kernel would let ``a/../b`` pass
        how = _OpenHow(DIRECTORY, 0, _RESOLVE)
        raw = os.fsencode(path)
        for _ in range(_RETRIES_AFTER_A_RACE):
            fd = int(self._syscall(_SYS_OPENAT2, root, raw, ctypes.byref(how), ctypes.sizeof(how)))
            if fd >= 0:
                return fd
            if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
                break
        if ctypes.get_errno() in _REFUSED_CALL:
            return open_by_walking(root, path)
        raise _fail(raw)

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Rename to a name that must not exist."""
        if self._renameat2(directory, os.fsencode(name), to_directory, os.fsencode(to_name), _RENAME_NOREPLACE) != 0:
            raise _fail(to_name)

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Swap two names that both exist."""
        if self._renameat2(directory, os.fsencode(name), to_directory, os.fsencode(to_name), _RENAME_EXCHANGE) != 0:
            raise _fail(to_name)

    def allocate(self, fd: int, size: int) -> None:
        """Reserve ``size`` bytes."""
        os.posix_fallocate(fd, 0, size)

    def spread(self, directory: int) -> None:
        """Set ext4's "top of directory hierarchies" flag."""
        with suppress(OSError):
            (flags,) = struct.unpack("l", fcntl.ioctl(directory, _FS_IOC_GETFLAGS, struct.pack("l", 0)))
            fcntl.ioctl(directory, _FS_IOC_SETFLAGS, struct.pack("l", flags | _FS_TOPDIR_FL))

    def syncfs(self, fd: int) -> None:
        """Make the whole file system of ``fd`` durable: what others left unwritten there too, however long it takes."""
        if self._syncfs(fd) != 0:
            raise _fail()

    def keeps_attribute(self, name: str) -> bool:
        """Whether it is the user's own, or an access list."""
        return name.startswith(("user.", "system.posix_acl_access"))

    def give_back_memory(self) -> None:
        """Ask the C library: it returns by itself only what is free at the very end of its heap."""
        if self._malloc_trim is not None:
            self._malloc_trim(0)

    def is_remote(self, fd: int) -> bool:
        """Whether statfs(2) names a type of file system that hosts share."""
        return self.file_system_type(fd) in _REMOTE

    def file_system_type(self, fd: int) -> int:
        """Return statfs(2)'s ``f_type``, 0 when it cannot be had."""
        buffer = ctypes.create_string_buffer(256)
        if self._fstatfs(fd, buffer) != 0:
            return 0
        return int.from_bytes(buffer.raw[:8], "little") & 0xFFFFFFFF

    def umask(self) -> int:
        """Read the umask where the kernel shows it."""
        with suppress(OSError, ValueError, StopIteration):
            lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
            return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
        return 0o077
