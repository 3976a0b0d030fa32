"""The part of the state that must lie on the workspace's file system: ``.lonelycat/locks`` and ``.lonelycat/tx``.

Invariants:
- Opened component by component beneath the root without following links, so that a link planted in place of
  ``.lonelycat`` leads nowhere.
- What is opened can be reached after a power cut. A directory is made without the right to write to it, and gets that
  once its name and ``.lonelycat`` are durable: a process that dies in between, or that only made ``.lonelycat``, leaves
  a directory that says so to the next one.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.settings import STATE_DIRECTORY

_UNSETTLED = 0o500
"""The mode of a directory that a power cut may still take away."""


def open_state_directory(filesystem: FileSystem, root: Path | int, name: str) -> int:
    """Return a descriptor of ``<root>/.lonelycat/<name>``, made if need be, private to the user.

    Args:
        root: the workspace, or an open descriptor of it.

    Raises:
        StateError: ``STATE_DIRECTORY_UNSAFE`` when something else is in its place.
    """
    try:
        with filesystem.closing(os.dup(root) if isinstance(root, int) else filesystem.open_root(root)) as top:
            created = _ensure(filesystem, top, STATE_DIRECTORY, 0o700)
            with filesystem.closing(filesystem.open_beneath(top, STATE_DIRECTORY)) as state:
                if created:
                    _ignore_itself(filesystem, state)
                _ensure(filesystem, state, name, _UNSETTLED)
                _check_private(state, STATE_DIRECTORY)
                fd = filesystem.open_beneath(state, name)
                try:
                    _check_private(fd, f"{STATE_DIRECTORY}/{name}")
                    _settle(filesystem, top, state, fd)
                except BaseException:
                    filesystem.close(fd)
                    raise
    except OSError as error:
        raise _unusable(name, error) from error
    return fd


def _settle(filesystem: FileSystem, top: int, state: int, fd: int) -> None:
    if not os.fstat(fd).st_mode & stat.S_IWUSR:
        filesystem.fsync(top)
        filesystem.fsync(state)
        filesystem.set_mode(fd, 0o700)


def _unusable(name: str, error: OSError) -> StateError:
    return StateError(
        "STATE_DIRECTORY_UNSAFE",
        f"{STATE_DIRECTORY}/{name} cannot be used: {error.strerror}",
        "It must be a plain directory inside the workspace that this user can write.",
    )


def _check_private(fd: int, shown: str) -> None:
    status = os.fstat(fd)
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError(
            "STATE_DIRECTORY_UNSAFE",
            f"{shown} belongs to somebody else or can be written by others",
            "Make it private: chown to this user, chmod 700.",
        )


def _ensure(filesystem: FileSystem, directory: int, name: str, mode: int) -> bool:
    with suppress(FileExistsError):
        filesystem.make_directory(directory, name, mode)
        return True
    return False


def _ignore_itself(filesystem: FileSystem, state: int) -> None:
    with (
        suppress(FileExistsError),
        filesystem.closing(filesystem.create_file(state, ".gitignore")) as fd,
    ):
        filesystem.write(fd, b"*\n")


def open_lock_file(directory: int, name: str) -> int:
    """Open (or make) a file of ``locks`` to be locked or counted in.

    Raises:
        StateError: ``LOCKS_UNSAFE`` when something else is in its place.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, 0o600, dir_fd=directory)
    except OSError as error:
        raise locks_unsafe(f"the {name} cannot be opened: " + os.strerror(error.errno or errno.EIO)) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise locks_unsafe(f"the {name} is not a regular file")
    except (StateError, OSError):
        os.close(fd)
        raise
    return fd


def locks_unsafe(why: str) -> StateError:
    """Return the error for lock files that are not what they must be."""
    return StateError(
        "LOCKS_UNSAFE", why, "See what is in .lonelycat/locks; nothing is executed until it is a plain lock directory."
    )
