"""A parsed patch as data.

Invariants: line numbers are those of the patch text, from 1; a hunk's lines carry their line ends, so that a
missing one at the end of the file is simply a line without it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from lonelycat.changes.changeset import Mode

PatchKind = Literal["create", "update", "delete", "rename", "copy"]


class Hunk(NamedTuple):
    """One text hunk: replace ``old`` (found from file line ``start``) by ``new``.

    Attributes:
        line: line of the ``@@`` header in the patch.
        start: line in the old file where ``old`` begins, from 1; with no old lines, the line after which to insert.
        old, new: lines with their ends.
        leading, trailing: number of context lines at both ends.
    """

    line: int
    start: int
    old: list[bytes]
    new: list[bytes]
    leading: int
    trailing: int


class BinaryHunk(NamedTuple):
    """The forward half of a ``GIT binary patch``.

    Attributes:
        delta: whether ``data`` is a delta against the old bytes instead of the new bytes themselves.
        old_id, new_id: the full object ids of both sides, all zeroes for a side that does not exist.
    """

    line: int
    delta: bool
    data: bytes
    old_id: str
    new_id: str


class FilePatch(NamedTuple):
    """What the patch does to one file.

    Attributes:
        line: line in the patch where the file's header starts.
        old_path: for a rename or a copy, its source; otherwise equal to ``path``.
        old_mode, new_mode: modes that the patch states; None where it does not.
    """

    line: int
    kind: PatchKind
    path: str
    old_path: str
    old_mode: Mode | None
    new_mode: Mode | None
    hunks: tuple[Hunk, ...] = ()
    binary: BinaryHunk | None = None


class ParsedPatch(NamedTuple):
    """All file patches, in the order of the text."""

    files: tuple[FilePatch, ...]
