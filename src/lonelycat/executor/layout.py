"""The transaction directory ``.lonelycat/tx/<execution_id>``: names, descriptor, INTENT body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lonelycat.changes.paths import to_wire
from lonelycat.executor.operations import FileOperation, split
from lonelycat.executor.tree_digest import ABSENT, PathState, tree_digest

BALLAST = "ballast"
BALLAST_BYTES = 256 * 1024
WITHOUT_COPIES, WITH_COPIES = 1, 2
"""Versions of INTENT: one who does not know of copies would miss the backups that undo makes from them."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that goes with the transaction, with what undo gives it back: permission bits and owner."""

    path: str
    mode: int
    uid: int
    gid: int

    def to_record(self) -> list[str | int]:
        """Return the journal's form."""
        return [to_wire(self.path), self.mode, self.uid, self.gid]


@dataclass(frozen=True)
class Intent:
    """The INTENT frame: everything that undo needs, and who this is.

    Attributes:
        identity: execution, plan, change set, checksum, decision, approvals, restarts: whatever the records need
            when a dead executor's transaction is finished by another process.
        early, rest: the operations, in order (see ``operations.py``).
        rooms, pruned: directories that are removed, deepest first.
        made: directories that are made, shallowest first.
        permissions: of each old file, in the order of the operations; None for what was absent. Empty in the journal of
            a version that did not note them.
        inodes: of each old file that has a copy (``old_copies.py``) and no hard link yet, in the order of the
            operations; None for the others. Empty where none has.
    """

    identity: dict[str, object]
    early: tuple[FileOperation, ...]
    rest: tuple[FileOperation, ...]
    rooms: tuple[Directory, ...]
    made: tuple[str, ...]
    pruned: tuple[Directory, ...]
    permissions: tuple[int | None, ...] = ()
    inodes: tuple[int | None, ...] = ()

    @cached_property
    def before(self) -> dict[str, PathState]:
        """What every path of the transaction held before it."""
        states = dict.fromkeys(self.made, ABSENT)
        noted = self.permissions or (None,) * len(self.operations)
        for operation, permissions in zip(self.operations, noted, strict=True):
            old = operation.old
            kind = "link" if old is not None and old.is_link else "file"
            states[operation.path] = ABSENT if old is None else PathState(kind, permissions, old.sha256)
        for directory in (*self.rooms, *self.pruned):
            states[directory.path] = PathState("directory", directory.mode)
        return states

    @cached_property
    def pre_image(self) -> str:
        """The digest of :attr:`before`."""
        return tree_digest(self.before)

    @property
    def operations(self) -> tuple[FileOperation, ...]:
        """All operations in order."""
        return self.early + self.rest

    @property
    def touched(self) -> set[str]:
        """The directories in which a name comes, changes or goes."""
        changed = [operation.path for operation in self.operations]
        changed += [*self.made, *(item.path for item in (*self.rooms, *self.pruned))]
        return {split(path)[0] for path in changed}

    def to_body(self) -> dict[str, object]:
        """Return the JSON form; ``journal_form.py`` reads it back."""
        copied = {"inodes": list(self.inodes)} if self.inodes else {}
        return {
            "version": WITH_COPIES if copied else WITHOUT_COPIES,
            "identity": self.identity,
            "early": [operation.to_record() for operation in self.early],
            "rest": [operation.to_record() for operation in self.rest],
            "rooms": [item.to_record() for item in self.rooms],
            "made": [to_wire(path) for path in self.made],
            "pruned": [item.to_record() for item in self.pruned],
            "permissions": list(self.permissions),
            "pre_image": self.pre_image,
            **copied,
        }
