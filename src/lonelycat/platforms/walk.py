"""Opening beneath a root one component at a time, for systems whose kernel does not do it in one call.

Invariants:
- Each component is opened from the descriptor of the one before, without following a link: whatever is swapped
  meanwhile, the walk stays below directories that were reached by real names from the root.
- ``..`` and absolute paths are a way out (EXDEV), and so is a directory on another device than the root.

Weaker than openat2(2) in one respect: a second mount of the *same* file system, such as a bind mount, has the same
device number and is entered. Renaming and linking over its edge still fail with EXDEV, so that nothing is half done.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASS_THROUGH = DIRECTORY | (os.O_PATH if sys.platform == "linux" else 0)
"""For the directories on the way; where there is O_PATH, passing through them needs no right to list them."""


def open_by_walking(root: int, path: str) -> int:
    """Open the directory ``path`` below the directory ``root``; the errors are those of openat2(2).

    Raises:
        OSError: ELOOP for a link on the way, ENOTDIR for a file on the way and for a link or file at the end, EXDEV for
            an escape or another device, ENOENT.
    """
    if path.startswith("/") or ".." in path.split("/"):
        raise _error(errno.EXDEV, path)
    components = [part for part in path.split("/") if part not in ("", ".")]
    if not components:
        if not path:
            raise _error(errno.ENOENT, path)
        return os.open(".", DIRECTORY, dir_fd=root)
    device = os.fstat(root).st_dev
    here = root
    for number, name in enumerate(components, 1):
        try:
            there = _open_component(here, name, path, last=number == len(components))
        finally:
            if here != root:
                os.close(here)
        if os.fstat(there).st_dev != device:
            os.close(there)
            raise _error(errno.EXDEV, path)
        here = there
    return here


def _open_component(directory: int, name: str, path: str, *, last: bool) -> int:
    try:
        return os.open(name, DIRECTORY if last else _PASS_THROUGH, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):  # systems differ in what they say of a link here
            raise _error(error.errno or errno.EIO, path) from error
    on_the_way = not last or path.endswith(("/", "/."))
    raise _error(errno.ELOOP if on_the_way and _is_link(directory, name) else errno.ENOTDIR, path)


def _is_link(directory: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
