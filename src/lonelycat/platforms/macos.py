"""macOS: renameatx_np(2), F_FULLFSYNC, the component walk, and BSD's form of extended attributes, by ctypes.

Written from the system's manual pages and headers, tested on Linux with these few functions replaced, never on macOS
itself. What is different from Linux, and what is done about it:
- fsync(2) only hands data to the drive. F_FULLFSYNC makes the drive write out all that it was handed. Volumes that do
  not know it get fsync: there a power cut may lose what the drive still held.
- There is no syncfs(2), and sync(2) returns before it is done: every file is handed over by itself, then one
  F_FULLFSYNC (``durable.py``).
- A volume without exchange or exclusive rename (not APFS) answers ENOTSUP: staging, or the rollback of the first
  update, ends the execution with the tree as it was.
- Access lists (ACLs) are not carried over to a file's new version.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lonelycat.platforms.walk import open_by_walking

F_FULLFSYNC = 51
RENAME_SWAP = 0x2
RENAME_EXCL = 0x4
_NO_FULL_SYNC = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS})
"""How a volume says that it does not know F_FULLFSYNC; any other answer is a failure to make something durable."""
_MNT_LOCAL = 0x1000
_STATFS_BYTES = 2168
_STATFS_FLAGS = slice(64, 68)
_ATTRIBUTE_LIMIT = 1024 * 1024
_SYSTEM_ATTRIBUTES = frozenset({"com.apple.provenance", "com.apple.rootless", "com.apple.system.Security"})


class MacCalls:
    """See :class:`~lonelycat.platforms.interface.PlatformCalls`.

    Args:
        libc: the C library as ctypes loads it, with ``errno`` kept.
        control: fcntl(2).
    """

    syncs_whole = False
    hand_over = staticmethod(os.fsync)

    def __init__(self, libc: Any = None, control: Callable[[int, int], object] = fcntl.fcntl) -> None:
        libc = libc or ctypes.CDLL(None, use_errno=True)
        size, text, number = ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int
        self._control = control
        self._renameatx_np = libc.renameatx_np
        self._renameatx_np.argtypes = (number, text, number, text, ctypes.c_uint)
        self._flistxattr = libc.flistxattr
        self._flistxattr.argtypes = (number, ctypes.c_void_p, size, number)
        self._flistxattr.restype = ctypes.c_ssize_t
        self._fgetxattr = libc.fgetxattr
        self._fgetxattr.argtypes = (number, text, ctypes.c_void_p, size, ctypes.c_uint32, number)
        self._fgetxattr.restype = ctypes.c_ssize_t
        self._fsetxattr = libc.fsetxattr
        self._fsetxattr.argtypes = (number, text, text, size, ctypes.c_uint32, number)
        # Since 10.6 programs for Intel find today's form of the structure under this name, those for Apple's own
        # processors know no other form.
        self._fstatfs = getattr(libc, "fstatfs$INODE64", None) or libc.fstatfs

    # -- opening and renaming ------------------------------------------------------------------------------------

    def open_beneath(self, root: int, path: str) -> int:
        """Open a directory below ``root`` by walking."""
        return open_by_walking(root, path)

    def open(self, name: str, flags: int, *, dir_fd: int) -> int:
        """Open a file; a socket is ENXIO, as elsewhere."""
        try:
            return os.open(name, flags, dir_fd=dir_fd)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), name) from error

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Rename to a name that must not exist."""
        self._rename(directory, name, to_directory, to_name, RENAME_EXCL)

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        """Swap two names that both exist."""
        self._rename(directory, name, to_directory, to_name, RENAME_SWAP)

    def _rename(self, directory: int, name: str, to_directory: int, to_name: str, flags: int) -> None:
        if self._renameatx_np(directory, os.fsencode(name), to_directory, os.fsencode(to_name), flags) != 0:
            raise _fail(to_name)

    def unlink(self, name: str, *, dir_fd: int) -> None:
        """Remove a name; a directory is EISDIR, as elsewhere, where this system says EPERM."""
        try:
            os.unlink(name, dir_fd=dir_fd)
        except PermissionError as error:
            if not stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
                raise
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), name) from error

    # -- space and durability ------------------------------------------------------------------------------------

    def allocate(self, fd: int, size: int) -> None:
        """Take the space by writing zeros: there is no posix_fallocate(3)."""
        left = size
        while left:
            left -= os.write(fd, bytes(min(left, 64 * 1024)))

    def spread(self, directory: int) -> None:
        """Nothing: there is no such hint."""

    def fsync(self, fd: int) -> None:
        """Hand a file over and make the drive write out all that it holds."""
        try:
            self._control(fd, F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
            os.fsync(fd)

    def syncfs(self, fd: int) -> None:
        """Refuse: there is no such call, and none may be taken for one."""
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    # -- facts ---------------------------------------------------------------------------------------------------

    def list_attributes(self, fd: int) -> list[str]:
        """Return the names of the extended attributes."""
        names = self._sized(lambda buffer, size: self._flistxattr(fd, buffer, size, 0))
        return [os.fsdecode(name) for name in names.split(b"\0") if name]

    def get_attribute(self, fd: int, name: str) -> bytes:
        """Return an extended attribute's value."""
        return self._sized(lambda buffer, size: self._fgetxattr(fd, os.fsencode(name), buffer, size, 0, 0))

    def _sized(self, ask: Callable[[Any, int], int]) -> bytes:
        """Ask for the size, then for the value; again when it grew in between."""
        while True:
            size = ask(None, 0)
            if 0 <= size <= _ATTRIBUTE_LIMIT:
                buffer = ctypes.create_string_buffer(size + 1)
                size = ask(buffer, size + 1)
                if size >= 0:
                    return buffer.raw[:size]
            elif size > _ATTRIBUTE_LIMIT:
                raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
            if ctypes.get_errno() != errno.ERANGE:
                raise _fail()

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        """Set an extended attribute."""
        if self._fsetxattr(fd, os.fsencode(name), value, len(value), 0, 0) != 0:
            raise _fail(name)

    def keeps_attribute(self, name: str) -> bool:
        """Whether it is not one that only the system itself can set."""
        return name not in _SYSTEM_ATTRIBUTES

    def give_back_memory(self) -> None:
        """Leave it to the system, which takes it when it is short."""

    def is_remote(self, fd: int) -> bool:
        """Whether the volume is not marked as local; one that cannot be asked counts as remote."""
        buffer = ctypes.create_string_buffer(_STATFS_BYTES)
        if self._fstatfs(fd, buffer) != 0:
            return True
        return not int.from_bytes(buffer.raw[_STATFS_FLAGS], "little") & _MNT_LOCAL

    def umask(self) -> int:
        """Make a file with all permissions asked for and see what is left of them: there is no other way to look."""
        place = Path(tempfile.gettempdir()) / f"lonelycat-{secrets.token_hex(12)}"
        with suppress(OSError):
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o777)
            try:
                return 0o777 & ~stat.S_IMODE(os.fstat(fd).st_mode)
            finally:
                os.close(fd)
                place.unlink()
        return 0o077


def _fail(name: str = "") -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), name)
