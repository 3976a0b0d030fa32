"""Modules of the standard library that others import at their top and a short command never uses, loaded when used.

Invariant: a deferred module is the same module from the same file; only when it runs changes. One that does not exist
is left to the import system to miss. What is deferred here is reached from one thread only: in Python 3.11 a module
that two threads touch first at once may be seen unfinished.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

LATE = frozenset(
    {
        "csv",  # pydantic's importlib.metadata, to look for the plug-ins that it is told not to look for
        "importlib.metadata._adapters",  # the same; brings the email package with it
        "locale",  # typer's subprocess
        "tempfile",  # importlib.metadata's importlib.resources
        "zipfile",  # importlib.metadata
    }
)


class _LateFinder:
    """Finds the modules in :data:`LATE`, each with a loader that waits for the first use."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of ``name`` if it is to be late, else None: the next finder's turn."""
        if name not in LATE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def defer_modules() -> None:
    """Let the modules in :data:`LATE` wait from now on; those that are loaded already stay as they are."""
    if _LateFinder not in sys.meta_path:
        sys.meta_path.insert(0, _LateFinder)
