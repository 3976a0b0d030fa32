"""The proof of an undo: every path of the transaction looked at once more, and whose doing each difference is.

Invariants:
- It knows nothing of what undo did or believes; it compares the tree with what INTENT says was there.
- Undo puts back the old file itself, or one of the same bytes and permissions (``backups.py``). So what differs and is
  not what the change had put there was written, taken away or given other permissions by somebody else.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Mapping
from enum import Enum, auto

from lonelycat.changes.changeset import EXECUTABLE
from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.layout import Intent
from lonelycat.executor.operations import FileOperation, split
from lonelycat.executor.tree import PinnedTree
from lonelycat.executor.tree_digest import ABSENT, OTHER, PathState

ANY_LINKS = 1 << 30
"""An old file has further names meanwhile: as backup, as displaced, one for each undo cut short, in quarantine."""
IN_THE_WAY = frozenset({"PATH_NOT_DIRECTORY", "PATH_THROUGH_LINK"})


class Whose(Enum):
    """Whose doing a difference is; of somebody else's, what has no place any more goes into quarantine."""

    OURS = auto()
    THEIR_CONTENT = auto()
    THEIR_OTHER = auto()


def look_again(filesystem: FileSystem, tree: PinnedTree, intent: Intent) -> dict[str, PathState]:
    """Return what every path of the transaction holds now.

    Raises:
        LonelyCatError, OSError: one cannot be looked at.
    """
    now = {path: _state(filesystem, tree, path) for path in intent.before}
    if not intent.permissions:  # an older journal, which did not note those of files
        now = {p: s if s.kind == "directory" else s._replace(permissions=None) for p, s in now.items()}
    return now


def _state(filesystem: FileSystem, tree: PinnedTree, path: str) -> PathState:
    directory, name = split(path)
    try:
        parent = tree.directory(directory)
        status = filesystem.stat(parent, name)
        if stat.S_ISDIR(status.st_mode):
            return PathState("directory", stat.S_IMODE(status.st_mode))
        found = tree.look_in(parent, name, path, links=ANY_LINKS)
    except FileNotFoundError:
        return ABSENT
    except LonelyCatError as error:
        return ABSENT if error.code in IN_THE_WAY else OTHER  # a file stands where its directory would have to
    if found is None:
        return ABSENT
    kind = "link" if found.identity.is_link else "file"
    return PathState(kind, stat.S_IMODE(found.status.st_mode), found.identity.sha256)


def has_directory(filesystem: FileSystem, tree: PinnedTree, path: str) -> bool | None:
    """Tell whether ``path`` is a directory; None when there is nothing."""
    directory, name = split(path)
    try:
        return stat.S_ISDIR(filesystem.stat(tree.directory(directory), name).st_mode)
    except FileNotFoundError:
        return None
    except LonelyCatError:  # somebody replaced one above it
        return False


def differences(intent: Intent, now: Mapping[str, PathState], known: Collection[str]) -> Iterator[tuple[str, Whose]]:
    """Yield every path but the ``known`` that does not hold what it held before, with whose doing that is."""
    by_path = {operation.path: operation for operation in intent.operations}
    for path in [path for path in intent.before if now[path] != intent.before[path] and path not in known]:
        before = intent.before[path]
        operation = by_path.get(path)
        if operation is None or before.kind == "directory":
            yield path, Whose.THEIR_OTHER  # a directory, which somebody made, took away or gave other permissions
        elif _is_new(operation, now[path]):
            yield path, Whose.OURS
        elif now[path].content == before.content:
            yield path, Whose.THEIR_OTHER  # the old file, which somebody gave other permissions
        else:
            yield path, Whose.THEIR_CONTENT


def _is_new(operation: FileOperation, state: PathState) -> bool:
    new = operation.new
    if new is None:
        return state == ABSENT
    if new.is_link:
        return state.content == ("link", new.sha256)
    executable = bool((state.permissions or 0) & 0o100)
    return state.content == ("file", new.sha256) and executable == (new.mode == EXECUTABLE)
