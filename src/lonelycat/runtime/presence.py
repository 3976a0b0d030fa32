"""What a path of the workspace holds now, whatever it is.

Invariants: looking never fails and never hangs; it follows no link, opens nothing for writing and reads a file in
chunks. What cannot be told is ``unreadable``, never "nothing".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lonelycat.changes.changeset import EXECUTABLE, REGULAR, SYMLINK, Mode
from lonelycat.changes.rebase import MAX_TEXT_BYTES
from lonelycat.errors import LonelyCatError
from lonelycat.executor.operations import Identity, split
from lonelycat.executor.tree import PinnedTree

State = Literal["file", "absent", "other", "unreadable"]
MAX_COMPARED_BYTES = 64 * 1024 * 1024
"""A larger file is not read only to say more about it than is known already."""
A_DIRECTORY = "a directory"
_ANY_LINKS = 1 << 30
_WORDS: dict[str, tuple[State, str]] = {
    "PATH_IS_DIRECTORY": ("other", A_DIRECTORY),
    "OBJECT_NOT_A_FILE": ("other", "a FIFO, socket or device"),
    "OBJECT_SPECIAL_BITS": ("other", "a file with setuid, setgid or sticky bits"),
    "OBJECT_ON_ANOTHER_MOUNT": ("other", "a file on another file system"),
    "PATH_LEAVES_WORKSPACE": ("other", "something on another file system"),
    "PATH_THROUGH_LINK": ("absent", "nothing: a directory of its path is a symbolic link"),
    "PATH_NOT_DIRECTORY": ("absent", "nothing: a directory of its path is a file"),
}
_KINDS = {"100644": "a file", "100755": "an executable file", "120000": "a symbolic link"}


@dataclass(frozen=True, slots=True)
class Presence:
    """What was seen at a path.

    Attributes:
        state: ``file`` (or symbolic link) with an ``identity``, ``absent``, ``other`` for any other object,
            ``unreadable``.
        words: the same for people.
        size: bytes of a file.
    """

    state: State
    words: str
    identity: Identity | None = None
    size: int | None = None


class TextSink:
    """Keeps the bytes of a file as it is looked at, unless it is larger than a text may be."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        if self._size <= MAX_TEXT_BYTES:
            self._parts.append(data)

    @property
    def data(self) -> bytes | None:
        """All of the bytes, or None when there were too many."""
        return b"".join(self._parts) if self._size <= MAX_TEXT_BYTES else None


def size_of(tree: PinnedTree, path: str) -> int:
    """Return the size of what is at ``path``, in bytes; 0 where nothing is."""
    directory, name = split(path)
    try:
        return tree.filesystem.stat(tree.directory(directory), name).st_size
    except (LonelyCatError, OSError):
        return 0


def git_mode_of(identity: Identity) -> Mode:
    """Return the identity's mode as one of git's three."""
    return SYMLINK if identity.is_link else EXECUTABLE if identity.mode == EXECUTABLE else REGULAR


def look_at(tree: PinnedTree, path: str, sink: Callable[[bytes], object] | None = None) -> Presence:
    """Return what ``path`` holds.

    Args:
        path: a workspace-relative path that passed ``check_path``.
        sink: receives the bytes of a regular file, or the target of a link, as they are read.
    """
    directory, name = split(path)
    try:
        parent = tree.directory(directory)
        found = tree.look_in(parent, name, path, sink, links=_ANY_LINKS)
        if found is None:
            return Presence("absent", "nothing")
        if found.identity.is_link and sink is not None:
            sink(tree.filesystem.read_link(parent, name))
    except FileNotFoundError:
        return Presence("absent", "nothing")
    except LonelyCatError as error:
        return Presence(*_WORDS.get(error.code, ("unreadable", error.message)))
    except OSError as error:
        return Presence("unreadable", f"what cannot be read: {error.strerror or 'an I/O error'}")
    return Presence("file", _KINDS[found.identity.mode], found.identity, found.status.st_size)
