"""What an undo came to, for the journal and the records."""

from __future__ import annotations

from dataclasses import dataclass, field

from lonelycat.changes.paths import printable


@dataclass(slots=True)
class UndoReport:
    """How an undo went.

    Attributes:
        restored: every path holds its old content again, every directory is as it was.
        conflicts: paths that hold somebody else's content, which was left alone.
        quarantined: (path, place below the workspace) of contents that could not be put where they belong.
        problems: what went wrong otherwise; any makes the rollback failed.
        tree_digest: of what every path of the transaction holds now; None when it could not be looked at.
    """

    conflicts: list[str] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tree_digest: str | None = None

    @property
    def restored(self) -> bool:
        """Whether everything is back."""
        return not (self.conflicts or self.problems)

    def to_body(self) -> dict[str, object]:
        """Return the JSON form for the journal and the records."""
        return {
            "restored": self.restored,
            "conflicts": [printable(path) for path in self.conflicts],
            "quarantined": [[printable(path), place] for path, place in self.quarantined],
            "problems": list(self.problems),
            "tree_digest": self.tree_digest,
        }
