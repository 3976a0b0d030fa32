"""Finds the program that an argument list names, as the child would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path


def find_executable(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str | None:
    """Return the absolute path of ``argv[0]``, looked up in ``env``'s PATH, or below ``cwd`` when it has a slash.

    None when there is no such executable file.
    """
    if not argv or not argv[0] or "\0" in argv[0]:
        return None
    if "/" in argv[0]:
        path = cwd / argv[0]
        return str(path) if path.is_file() and os.access(path, os.X_OK) else None
    found = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    return str(cwd / found) if found else None
