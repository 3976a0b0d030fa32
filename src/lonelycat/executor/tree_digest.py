"""What a transaction's paths hold, as one digest: the pre-image before apply, and what is there after an undo.

Invariants:
- It covers bytes, permission bits, symbolic links and directories of every path that the transaction touches, those
  included that have to be absent.
- The pre-image comes from what staging saw and the journal keeps; the other one from looking at the tree again. Neither
  is computed from the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lonelycat.changes.digest import canonical_digest
from lonelycat.changes.paths import to_wire


class PathState(NamedTuple):
    """What one path holds.

    Attributes:
        kind: ``absent``, ``file``, ``link``, ``directory`` or ``other``.
        permissions: the mode's permission bits; None where there are none, or none were recorded.
        sha256: of a file's bytes or a link's target.
    """

    kind: str
    permissions: int | None = None
    sha256: str | None = None

    @property
    def content(self) -> tuple[str, str | None]:
        """Everything but the permission bits."""
        return self.kind, self.sha256


ABSENT = PathState("absent")
OTHER = PathState("other")


def tree_digest(states: Mapping[str, PathState]) -> str:
    """Return the SHA-256 over every path and what it holds."""
    return canonical_digest(
        {to_wire(path): [state.kind, state.permissions, state.sha256] for path, state in states.items()}
    )
