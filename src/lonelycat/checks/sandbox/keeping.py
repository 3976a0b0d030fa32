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


def keep(root: str, path: str, limit: int) -> Kept | None:
    """Return what the file at ``path`` below ``root`` holds, up to ``limit`` bytes and one; None if there is none."""
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
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(file)
            if stat.S_ISREG(status.st_mode):
                return Kept(b64encode(opened.read(limit + 1)).decode("ascii"), status.st_mtime_ns)
    return None
