"""What a workspace holds, as far as a policy is fitted to it: its paths, small contents, and which commands run.

Invariant: read only, and bounded in files and bytes; a command runs only when it is asked about, in a sandbox.
"""

from __future__ import annotations

import os
from pathlib import Path

from lonelycat.errors import LonelyCatError
from lonelycat.planner.survey import WorkspaceListing
from lonelycat.runtime.git import GitRepository
from lonelycat.settings import Settings

_MAX_LISTED = 50_000
_MAX_READ = 1024 * 1024
_NOT_WALKED = frozenset({".git", ".lonelycat", "node_modules", ".venv", "venv", "__pycache__"})


def list_workspace(settings: Settings) -> WorkspaceListing:
    """Return what the workspace holds."""
    root = settings.workspace
    return WorkspaceListing(_paths(root), lambda path: _read(root, path), lambda argv: _why_not(settings, argv))


def _why_not(settings: Settings, argv: tuple[str, ...]) -> str | None:
    from lonelycat.runtime.trial import why_not

    return why_not(settings, argv)


def _paths(root: Path) -> tuple[str, ...]:
    repository = GitRepository(root)
    try:
        if repository.is_repository():
            return repository.list_files()[:_MAX_LISTED]
    except LonelyCatError:  # no usable git: the directory is walked instead
        pass
    found: list[str] = []
    for folder, directories, files in os.walk(root):
        directories[:] = sorted(name for name in directories if name not in _NOT_WALKED)
        found.extend((Path(folder) / name).relative_to(root).as_posix() for name in files)
        if len(found) > _MAX_LISTED:
            break
    return tuple(sorted(found[:_MAX_LISTED]))


def _read(root: Path, path: str) -> bytes | None:
    place = root / path
    try:
        if place.is_symlink() or not place.is_file():
            return None
        with place.open("rb") as file:
            return file.read(_MAX_READ)
    except OSError:
        return None
