"""Tells a process from a later one that was given the same number.

Invariant: a process is named by its pid *and* its start time *and* the boot; only when all agree is it the same one.
A zombie is dead. Linux reads /proc; elsewhere psutil answers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """One process of one boot.

    Attributes:
        pid: its number.
        started: its start time as the kernel tells it, opaque.
        boot: the boot's identifier, empty where there is none.
    """

    pid: int
    started: str
    boot: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return identify(self.pid) == self


def identify(pid: int) -> Identity | None:
    """Return the identity of the process that is ``pid`` now, or None when there is none or it is a zombie."""
    if pid <= 0:
        return None
    if sys.platform != "linux":
        return _identify_elsewhere(pid)
    fields = stat_fields(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    return Identity(pid, fields[19], _boot())


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/<pid>/stat`` from the third (state) on, or None when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def command_line(pid: int) -> list[str] | None:
    """Return the arguments that ``pid`` was started with, or None when they cannot be had."""
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except (psutil.Error, OSError):
        return None


def started_at(pid: int) -> float | None:
    """Return when ``pid`` was started, in seconds since the epoch, or None when it is gone."""
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, OSError):
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _identify_elsewhere(pid: int) -> Identity | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Identity(pid, repr(process.create_time()), "")
    except psutil.Error:
        return None
