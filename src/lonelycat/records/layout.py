"""What lies where in the state directory; importable without the database library."""

from __future__ import annotations

from pathlib import Path

DATABASE_NAME = "lonelycat.db"
CREATED_MARK = "database-created"
"""Says that there was a database once, so that one that is gone is missed."""
FAILED_CHANGES = "failed_changes"
"""Holds the marks of digests in quarantine; see ``failed_marks.py``."""
GATE_KEY = Path("keys") / "gate.pem"


def start_anew(state_dir: Path) -> str:
    """Return what to do about a lost database or gate key that nobody has a backup of: a sentence for a hint."""
    return (
        f"Without one history ends here: if nothing lies in .lonelycat/tx, move {state_dir} away as evidence and run "
        "`lonelycat init`."
    )
