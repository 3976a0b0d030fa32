"""Where a workspace may begin: not inside another one, and not in what git keeps for itself.

Two workspaces of which one lies in the other have two locks and two policies for the same files. A repository of its
own is no part of the workspace around it: the other one's changes do not reach into it by a patch of its git.

Invariant: what has state already is left alone; only a new beginning is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from lonelycat.errors import InputError
from lonelycat.settings import STATE_DIRECTORY

_GIT_KEEPS = ("HEAD", "config", "objects", "refs")


def check_place(workspace: Path) -> None:
    """Refuse a workspace that should not begin where it is.

    Raises:
        InputError: ``WORKSPACE_NESTED``, ``WORKSPACE_IS_GITS``.
    """
    root = Path(os.path.realpath(workspace))
    if os.path.lexists(root / STATE_DIRECTORY):
        return
    for place in (root, *root.parents):
        if all(os.path.lexists(place / name) for name in _GIT_KEEPS):
            raise InputError(
                "WORKSPACE_IS_GITS",
                f"{place} is what git keeps for itself, a repository without its files",
                "Name the directory with the checked out files with -C; a bare repository has none: clone it.",
            )
        if place != root and os.path.lexists(place / STATE_DIRECTORY):
            raise InputError(
                "WORKSPACE_NESTED",
                f"{root} lies in the workspace {place}, whose policy governs it",
                f"Work on that: -C {place}. If it should be none, move {place / STATE_DIRECTORY} away first.",
            )
        if os.path.lexists(place / ".git"):
            return


def enclosing_repository(workspace: Path) -> Path | None:
    """Return the top of the git work tree that ``workspace`` is only a part of, or None."""
    root = Path(os.path.realpath(workspace))
    top = next((place for place in (root, *root.parents) if os.path.lexists(place / ".git")), None)
    return None if top == root else top
