"""Brings one file that a command wrote out of its workspace, before all of it goes. Standard library only.

Invariants:
- No symbolic link is followed on the way, and only a plain file is read: what the command put there leads nowhere else.
- The bytes are bounded; a file that is larger comes with one byte too many, so that its reader sees that it is.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from contextlib import suppress

from lonelycat.checks.sandbox.spec import Kept

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def written_state(root: str, path: str) -> tuple[int, int] | None:
    """Return what differs once the file at ``path`` below ``root`` was written anew; None if there is none."""
    file = _open_file(root, path)
    if file is None:
        return None
    with os.fdopen(file, "rb"):
        return _state(os.fstat(file))


def keep(root: str, path: str, limit: int, before: tuple[int, int] | None) -> Kept | None:
    """Return what the file at ``path`` below ``root`` holds, up to ``limit`` bytes and one; None if there is none.

    Args:
        before: its :func:`written_state` before the command ran. A file that is still the same is given the oldest of
            all times: what a rehearsal put there a moment ago is not what the command wrote.
    """
    file = _open_file(root, path)
    if file is None:
        return None
    with os.fdopen(file, "rb") as opened:
        status = os.fstat(file)
        written_ns = 0 if _state(status) == before else status.st_mtime_ns
        return Kept(b64encode(opened.read(limit + 1)).decode("ascii"), written_ns)


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns  # not inode or ctime: an overlay copies what is only opened for writing


def _open_file(root: str, path: str) -> int | None:
    """Return a descriptor of the plain file at ``path`` below ``root``, or None if there is none."""
    *above, name = (part for part in path.split("/") if part not in ("", "."))
    with suppress(OSError):
        directory = os.open(root, _DIRECTORY)
        try:
            for part in above:
                inner = os.open(part, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = inner
            file = os.open(name, _FILE, dir_fd=directory)
        finally:
            os.close(directory)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
    return None
