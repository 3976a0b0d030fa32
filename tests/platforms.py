"""Other systems' calls on this one: a refused openat2, and macOS with stand-ins for what only macOS has.

The stand-ins are written from the manual pages and headers of macOS (rename(2), fcntl(2), getxattr(2),
``sys/mount.h``), apart from the code that they test: a wrong flag or a swapped argument meets an assertion here.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any

from lonelycat.platforms.interface import PlatformCalls
from lonelycat.platforms.linux import LinuxCalls
from lonelycat.platforms.macos import MacCalls

_RENAME_SWAP, _RENAME_EXCL = 0x2, 0x4  # sys/stdio.h
_F_FULLFSYNC = 51  # sys/fcntl.h
_MNT_LOCAL = 0x1000  # sys/mount.h
_NOREPLACE, _EXCHANGE = 1, 2  # linux/fs.h

_renameat2 = ctypes.CDLL(None, use_errno=True).renameat2


class StatFs(ctypes.Structure):
    """``struct statfs`` with 64-bit inodes, as ``sys/mount.h`` declares it."""

    _fields_ = (
        ("f_bsize", ctypes.c_uint32),
        ("f_iosize", ctypes.c_int32),
        ("f_blocks", ctypes.c_uint64),
        ("f_bfree", ctypes.c_uint64),
        ("f_bavail", ctypes.c_uint64),
        ("f_files", ctypes.c_uint64),
        ("f_ffree", ctypes.c_uint64),
        ("f_fsid", ctypes.c_int32 * 2),
        ("f_owner", ctypes.c_uint32),
        ("f_type", ctypes.c_uint32),
        ("f_flags", ctypes.c_uint32),
        ("f_fssubtype", ctypes.c_uint32),
        ("f_fstypename", ctypes.c_char * 16),
        ("f_mntonname", ctypes.c_char * 1024),
        ("f_mntfromname", ctypes.c_char * 1024),
        ("f_flags_ext", ctypes.c_uint32),
        ("f_reserved", ctypes.c_uint32 * 7),
    )


class _Function:
    """A C function: has ``argtypes`` and ``restype``, sets errno, returns -1 on failure."""

    def __init__(self, work: Callable[..., int]) -> None:
        self._work = work
        self.argtypes: tuple[Any, ...] = ()
        self.restype: Any = ctypes.c_int

    def __call__(self, *arguments: Any) -> int:
        assert not self.argtypes or len(arguments) == len(self.argtypes)
        try:
            return self._work(*arguments)
        except OSError as error:
            ctypes.set_errno(error.errno or errno.EIO)
            return -1


class MacLibrary:
    """The part of macOS's C library that is used."""

    def __init__(self, *, local: bool = True) -> None:
        self.local = local
        self.renameatx_np = _Function(self._rename)
        self.flistxattr = _Function(self._list)
        self.fgetxattr = _Function(self._get)
        self.fsetxattr = _Function(self._set)
        self.fstatfs = _Function(self._statfs)

    def _rename(self, from_fd: int, old: bytes, to_fd: int, new: bytes, flags: int) -> int:
        assert isinstance(old, bytes) and isinstance(new, bytes)
        if flags & _RENAME_SWAP and flags & _RENAME_EXCL:
            raise OSError(errno.EINVAL, "")
        assert flags in (_RENAME_SWAP, _RENAME_EXCL), "a plain rename would replace"
        return int(_renameat2(from_fd, old, to_fd, new, _EXCHANGE if flags == _RENAME_SWAP else _NOREPLACE))

    def _list(self, fd: int, buffer: Any, size: int, options: int) -> int:
        assert options == 0
        return _fill(buffer, size, b"".join(os.fsencode(name) + b"\0" for name in os.listxattr(fd)))

    def _get(self, fd: int, name: bytes, buffer: Any, size: int, position: int, options: int) -> int:
        assert (position, options) == (0, 0)
        return _fill(buffer, size, os.getxattr(fd, name))

    def _set(self, fd: int, name: bytes, value: bytes, size: int, position: int, options: int) -> int:
        assert (size, position, options) == (len(value), 0, 0)
        os.setxattr(fd, name, value)
        return 0

    def _statfs(self, fd: int, buffer: Any) -> int:
        os.fstat(fd)
        told = StatFs(f_bsize=4096, f_iosize=1048576, f_type=0x1A, f_flags=_MNT_LOCAL if self.local else 0)
        assert ctypes.sizeof(buffer) >= ctypes.sizeof(told)
        ctypes.memmove(buffer, ctypes.byref(told), ctypes.sizeof(told))
        return 0


def _fill(buffer: Any, size: int, data: bytes) -> int:
    if buffer is None:
        return len(data)
    if size < len(data):
        raise OSError(errno.ERANGE, "")
    ctypes.memmove(buffer, data, len(data))
    return len(data)


def full_sync(fd: int, command: int) -> int:
    """fcntl(2) for F_FULLFSYNC alone."""
    assert command == _F_FULLFSYNC
    os.fsync(fd)
    return 0


def refusing(code: int) -> Callable[..., int]:
    """Return a syscall(2) that refuses openat2, and is asked for nothing else."""

    def syscall(number: int, *_: object) -> int:
        assert number == 437
        ctypes.set_errno(code)
        return -1

    return syscall


PLATFORMS: dict[str, Callable[[], PlatformCalls]] = {
    "linux": LinuxCalls,
    "walking": lambda: LinuxCalls(syscall=refusing(errno.ENOSYS)),
    "filtered": lambda: LinuxCalls(syscall=refusing(errno.EPERM)),
    "macos": lambda: MacCalls(MacLibrary(), full_sync),
}
"""By name: this system, this one without openat2, with a filter that forbids it, and macOS."""
