"""What kinds of sandbox there are."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path


class Level(StrEnum):
    """How a verification command is kept from the host, best first."""

    BUBBLEWRAP = "bubblewrap"
    NAMESPACES = "namespaces"
    NONE = "none"


LEVELS = (Level.BUBBLEWRAP, Level.NAMESPACES)


def bubblewrap() -> str | None:
    """Return the path of ``bwrap``, or None."""
    found = shutil.which("bwrap")
    return None if found is None else str(Path(found).absolute())
