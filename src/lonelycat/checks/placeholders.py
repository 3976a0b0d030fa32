"""Fills in what an argument list of the policy may refer to; nothing else in it is interpreted."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path


def fill(argv: Sequence[str], workspace: Path, changed_files: Path | None = None) -> list[str]:
    """Return ``argv`` with ``{python}``, ``{workspace}`` and, where given, ``{changed_files}`` replaced."""
    values = {"{python}": sys.executable, "{workspace}": str(workspace)}
    if changed_files is not None:
        values["{changed_files}"] = str(changed_files)
    pattern = re.compile("|".join(map(re.escape, values)))
    return [pattern.sub(lambda hit: values[hit[0]], word) for word in argv]
