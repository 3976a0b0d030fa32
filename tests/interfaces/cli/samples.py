"""Patches and an environment for the tests of the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def quiet_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nothing of the user's configuration counts."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    git = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**kept, **git, **coverage, "HOME": str(home), "TERM": "xterm-256color", **(extra or {})}


def create(path: str, text: str = "hello\n") -> bytes:
    """Return a patch that creates ``path`` with ``text``, which ends in a line feed."""
    lines = text.splitlines()
    body = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1,{len(lines)} @@\n{body}".encode()


UPDATE_NOTES = b"""diff --git a/notes.md b/notes.md
--- a/notes.md
+++ b/notes.md
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
"""
