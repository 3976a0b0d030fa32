"""Waiting in tests: for a condition instead of a time, with a limit that only what hangs reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_SECONDS = 60.0
"""Far beyond what a loaded machine needs: a test waits this long only to fail."""


def until(condition: Callable[[], object], what: str | Callable[[], str], *, pause: float = 0.01) -> None:
    """Wait until ``condition`` holds, looking every ``pause`` seconds; fail when it does not for long.

    Args:
        what: what is waited for, or a function that tells it when that is over.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what() if callable(what) else what}"
        time.sleep(pause)


def until_loaded(pid: int) -> None:
    """Wait until the program of a process that was just started is loaded: until then it has no command line."""
    until(Path(f"/proc/{pid}/cmdline").read_bytes, f"the program of process {pid} to be loaded", pause=0.001)
