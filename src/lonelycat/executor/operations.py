"""A change set as single-path operations in the order in which they are applied. Pure.

Every change is normalised to ``path: old|absent → new|absent``: a rename is a delete and a create, a change of mode
is a replacement. Order: deletions that make room for a directory or a file in their place, creates, updates, the
other deletions; undo runs the reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from lonelycat.changes.changeset import EXECUTABLE, REGULAR, SYMLINK, Content, FileChange
from lonelycat.changes.digest import HASH_PATTERN
from lonelycat.changes.paths import from_wire, to_wire


class Kind(StrEnum):
    """What an operation does to its one path."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Identity(NamedTuple):
    """What a path holds: SHA-256 of the bytes (of the target for a symbolic link) and git's mode."""

    sha256: str
    mode: str

    @property
    def is_link(self) -> bool:
        """Whether the path is a symbolic link."""
        return self.mode == SYMLINK


class FileOperation(NamedTuple):
    """One path's move from ``old`` to ``new``; None is absent.

    ``content`` is the new content; None with a ``new`` means a copy of ``source``. ``source`` is the path whose file
    this one continues: its own, or where a rename comes from.
    """

    number: int
    path: str
    old: Identity | None
    new: Identity | None
    content: Content = None
    source: str | None = None

    @property
    def kind(self) -> Kind:
        """Create, update or delete."""
        if self.old is None:
            return Kind.CREATE
        return Kind.DELETE if self.new is None else Kind.UPDATE

    @property
    def staged_name(self) -> str:
        """Where the new content waits, and where what was displaced by it lies afterwards."""
        return f"{self.number:06d}.new"

    @property
    def backup_name(self) -> str:
        """The old file's further name, from which undo puts it back and which it never uses up.

        A hard link from the start, or made from where the old file is when undo begins; see ``backups.py``.
        """
        return f"{self.number:06d}.old"

    @property
    def undo_name(self) -> str:
        """Where undo puts what it takes out of the tree."""
        return f"{self.number:06d}.undo"

    def to_record(self) -> list[str | int | None]:
        """Return the journal's form, without contents."""
        old, new = self.old, self.new
        return [
            self.number,
            to_wire(self.path),
            old.sha256 if old else None,
            old.mode if old else None,
            new.sha256 if new else None,
            new.mode if new else None,
        ]

    @classmethod
    def from_record(cls, record: object) -> FileOperation:
        """Undo :meth:`to_record`.

        Raises:
            ValueError: the record does not have the form.
            PathError: ``PATH_BAD_QUOTING``.
        """
        if not isinstance(record, list) or len(record) != 6:
            raise ValueError("malformed operation record: not six fields")
        number, path = record[:2]
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(path, str):
            raise ValueError("malformed operation record: no number and path")
        old, new = _read_identity(*record[2:4]), _read_identity(*record[4:])
        if old is None and new is None:
            raise ValueError("malformed operation record: it does nothing")
        return cls(number, from_wire(path), old, new)


def _identity(sha256: object, mode: object) -> Identity | None:
    return Identity(sha256, mode) if isinstance(sha256, str) and isinstance(mode, str) else None


def _read_identity(sha256: object, mode: object) -> Identity | None:
    if sha256 is None and mode is None:
        return None
    if not isinstance(sha256, str) or not HASH_PATTERN.fullmatch(sha256) or mode not in (REGULAR, EXECUTABLE, SYMLINK):
        raise ValueError("malformed operation record: no hash with one of git's modes")
    return Identity(sha256, str(mode))


class OperationPlan(NamedTuple):
    """All operations in the order of application, and the directories that come and go.

    Attributes:
        early: deletions that make room; then ``rooms`` are removed as directories (they must be empty by then).
        rooms: directories that a file takes the place of, deepest first.
        rest: creates, updates, other deletions.
        parents: every directory that must exist for the creates, shallowest first.
        prunable: directories that may have become empty, deepest first.
    """

    early: tuple[FileOperation, ...]
    rooms: tuple[str, ...]
    rest: tuple[FileOperation, ...]
    parents: tuple[str, ...]
    prunable: tuple[str, ...]

    @property
    def operations(self) -> tuple[FileOperation, ...]:
        """All of them, in order."""
        return self.early + self.rest


def ancestors(path: str) -> list[str]:
    """Return the directories above ``path``, shallowest first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]


def split(path: str) -> tuple[str, str]:
    """Return (directory, name); the root is the empty string."""
    directory, _, name = path.rpartition("/")
    return directory, name


def plan_operations(changes: Sequence[FileChange]) -> OperationPlan:
    """Return ``changes`` as operations in the order of application."""
    creates: list[tuple[str, FileChange]] = []
    updates: list[tuple[str, FileChange]] = []
    deletes: list[tuple[str, FileChange]] = []
    for change in changes:
        if change.old_path is not None:
            deletes.append((change.old_path, change))
            creates.append((change.path, change))
        elif change.old_hash is None:
            creates.append((change.path, change))
        elif change.new_hash is None:
            deletes.append((change.path, change))
        else:
            updates.append((change.path, change))
    created = {path for path, _ in creates}
    wanted = {directory for path, _ in creates for directory in ancestors(path)}

    def makes_room(path: str) -> bool:
        return path in wanted or any(directory in created for directory in ancestors(path))

    early = [item for item in deletes if makes_room(item[0])]
    late = [item for item in deletes if not makes_room(item[0])]
    operations = [
        _operation(number, kind, path, change)
        for number, (kind, path, change) in enumerate(
            [(Kind.DELETE, *item) for item in early]
            + [(Kind.CREATE, *item) for item in creates]
            + [(Kind.UPDATE, *item) for item in updates]
            + [(Kind.DELETE, *item) for item in late]
        )
    ]
    rooms = {
        directory
        for path, _ in early
        for directory in ancestors(path)
        if directory in created or any(above in created for above in ancestors(directory))
    }
    prunable = {directory for path, _ in deletes for directory in ancestors(path)} - wanted - rooms
    return OperationPlan(
        early=tuple(operations[: len(early)]),
        rooms=_deepest_first(rooms),
        rest=tuple(operations[len(early) :]),
        parents=_deepest_first(wanted)[::-1],
        prunable=_deepest_first(prunable),
    )


def _operation(number: int, kind: Kind, path: str, change: FileChange) -> FileOperation:
    old = _identity(change.old_hash, change.old_mode) if kind is not Kind.CREATE else None
    new = _identity(change.new_hash, change.new_mode) if kind is not Kind.DELETE else None
    source = (change.old_path or change.path) if new is not None and change.old_hash is not None else None
    return FileOperation(number, path, old, new, None if new is None else change.content, source)


def _deepest_first(directories: set[str]) -> tuple[str, ...]:
    return tuple(sorted(directories, key=lambda path: (-path.count("/"), path)))
