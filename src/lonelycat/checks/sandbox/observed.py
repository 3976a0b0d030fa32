"""Holds what a command wrote against what its profile declares, and says it in data and in words.

Invariant: what cannot be told apart any more (more paths than a report names) counts as undeclared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lonelycat.changes.paths import printable
from lonelycat.governance.matching import compile_globs

if TYPE_CHECKING:
    from lonelycat.checks.sandbox.spec import Report, Written
    from lonelycat.governance.policy_profiles import Sandbox

CACHES = (
    "{__pycache__,.pytest_cache,.mypy_cache,.ruff_cache,.hypothesis,.cache,.nyc_output,.tox,.nox}/",
    "*.pyc",
    ".coverage",
    ".coverage.*",
    "**/node_modules/.cache/**",
)
"""What test runners write wherever they run; declared for every profile."""
_SHOWN = 100
_SAID = 5


class Observed(NamedTuple):
    """What a command wrote.

    Attributes:
        total: how many paths, whatever they are.
        undeclared: those that the profile does not declare, those outside the workspace as absolute paths.
        details: all of it, bounded, JSON-compatible.
    """

    total: int
    undeclared: tuple[str, ...]
    details: dict[str, object]


def observe(report: Report, rules: Sandbox, results: str | None = None) -> Observed:
    """Return what ``report`` says, held against the declarations in ``rules``.

    Args:
        results: the file that the profile's results are read from, which it therefore may write.
    """
    declared = compile_globs((*CACHES, *rules.writes))
    # A pattern for what lies in a directory declares the directory too.
    inside = [
        path
        for path in _paths(report.workspace)
        if path != results and not declared.matches(f"{path}x" if path.endswith("/") else path)
    ]
    outside = [path for path in _paths(report.elsewhere) if "/.cache/" not in path]
    more = report.workspace.more + report.elsewhere.more
    undeclared = (*outside, *inside, *([f"and {more} more"] if more else []))
    count = len(_paths(report.workspace)) + len(_paths(report.elsewhere)) + more
    details: dict[str, object] = {
        "workspace": _shown(report.workspace),
        "elsewhere": _shown(report.elsewhere),
        "undeclared": [printable(path) for path in undeclared[:_SHOWN]],
        "undeclared_count": len(inside) + len(outside) + more,
        "workspace_was_copied": report.copied,
    }
    return Observed(count, undeclared, details)


def in_words(observed: Observed) -> str:
    """Return a clause about what was written, empty for nothing."""
    if not observed.total:
        return ""
    said = f"wrote {observed.total} path{'s' * (observed.total != 1)}, none of which is kept"
    if observed.undeclared:
        named = ", ".join(printable(path) for path in observed.undeclared[:_SAID])
        rest = len(observed.undeclared) - _SAID
        said += f"; undeclared: {named}" + (f" and {rest} more" if rest > 0 else "")
    return said


def _paths(written: Written) -> tuple[str, ...]:
    return (*written.created, *written.changed, *written.deleted)


def _shown(written: Written) -> dict[str, object]:
    kinds = {"created": written.created, "changed": written.changed, "deleted": written.deleted}
    left = max(0, sum(map(len, kinds.values())) - 3 * _SHOWN) + written.more
    return {**{kind: [printable(path) for path in paths[:_SHOWN]] for kind, paths in kinds.items()}, "more": left}
