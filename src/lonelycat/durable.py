"""The durability barrier that Python lacks.

``sync_file_system`` is stronger than ``os.fsync`` of each file: it also covers names, directories and their parents.
It writes out what others left unwritten on the same file system too, so it takes as long as that takes.
"""

from __future__ import annotations

import ctypes
import os

_syncfs = ctypes.CDLL(None, use_errno=True).syncfs
_syncfs.argtypes = (ctypes.c_int,)


def sync_file_system(fd: int) -> None:
    """Make everything on the file system that holds the open file or directory ``fd`` durable; syncfs(2).

    Raises:
        OSError: an I/O error or a full disk; what of it is durable is not known.
    """
    if _syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
