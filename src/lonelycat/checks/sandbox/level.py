"""What kind of sandbox this machine gives, found out by making one.

Invariant: only a level that was *shown* not to work in a directory of its own, with nothing in it that a change could
have put there, counts as missing. A sandbox that cannot be made for one workspace is a failure, not a lower level.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Level(StrEnum):
    """How a verification command is kept from the host, best first."""

    BUBBLEWRAP = "bubblewrap"
    NAMESPACES = "namespaces"
    NONE = "none"


class Ability(NamedTuple):
    """Whether a level works here, and why not."""

    works: bool
    why: str = ""


LEVELS = (Level.BUBBLEWRAP, Level.NAMESPACES)
_PROBE_SECONDS = 20.0


def bubblewrap() -> str | None:
    """Return the path of ``bwrap``, or None."""
    found = shutil.which("bwrap")
    return None if found is None else str(Path(found).absolute())


@lru_cache(maxsize=4)
def ability(level: Level) -> Ability:
    """Return whether ``level`` works here; asked once per process."""
    if sys.platform != "linux":
        return Ability(False, f"nothing on {sys.platform} does it")
    if level is Level.BUBBLEWRAP and bubblewrap() is None:
        return Ability(False, "bwrap is not installed")
    from lonelycat.checks.sandbox.launch import Command, run_in
    from lonelycat.governance.policy_profiles import Sandbox
    from lonelycat.settings import child_environment

    with tempfile.TemporaryDirectory(prefix="lonelycat-probe-") as directory:
        probe = Command(
            Sandbox.model_construct(),
            [sys.executable, "-I", "-S", "-c", "pass"],
            workspace=Path(directory).resolve(),
            cwd=Path(directory).resolve(),
            env=child_environment({}),
            timeout=_PROBE_SECONDS,
            max_output_bytes=4096,
        )
        done, report = run_in(level, probe)
    if done.ok and report.error is None:
        return Ability(True)
    said = report.error or done.message or done.output.decode("utf-8", "replace").strip()
    return Ability(False, said[-300:] or "it ended without a word")


def best_level() -> Level:
    """Return the best level that works here."""
    return next((level for level in LEVELS if ability(level).works), Level.NONE)
