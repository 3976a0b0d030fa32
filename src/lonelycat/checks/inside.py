"""Resolves the places that a policy names to places that really lie in the workspace.

Invariant: what is returned, with every symbolic link followed, lies in the workspace; a link out of it is refused.
"""

from __future__ import annotations

from pathlib import Path

from lonelycat.errors import RefusedError


def resolve_inside(workspace: Path, relative: str) -> Path:
    """Return ``workspace/relative`` with all symbolic links followed; it need not exist.

    Raises:
        RefusedError: ``CHECK_PATH_OUTSIDE`` when that is not in the workspace.
    """
    root = workspace.resolve()
    try:
        place = (root / relative).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise _outside(relative) from error
    if not place.is_relative_to(root):
        raise _outside(relative)
    return place


def _outside(relative: str) -> RefusedError:
    return RefusedError(
        "CHECK_PATH_OUTSIDE",
        f"{relative!a} does not lead to a place in the workspace",
        "Name a path below the workspace root that no symbolic link leads out of.",
    )
