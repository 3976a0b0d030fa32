"""Reads and writes pid files.

Invariant: a pid file is never believed on its number alone. LonelyCat's own hold three lines: pid, start time and
boot; tools that read only the first line still work. Of a foreign one, whatever else it holds (PostgreSQL's has its
directory in the second line), a process that started after the file was written is not the one it names.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lonelycat.checks.identity import Identity, identify, started_at

_MAX_BYTES = 4096
_OWN = re.compile(r"[0-9]+\n([0-9]+(?:\.[0-9]+)?)\n([^\n]*)\n")
_CLOCK_SLACK_SECONDS = 2.0


class PidFile:
    """One pid file as it was read.

    Attributes:
        pid: the number in its first line.
        identity: the identity it records, or None for a foreign file that holds only a number.
        written_at: when the file was last written, seconds since the epoch.
    """

    def __init__(self, pid: int, identity: Identity | None, written_at: float) -> None:
        self.pid = pid
        self.identity = identity
        self.written_at = written_at

    def running(self) -> Identity | None:
        """Return the identity of the running process that this file means, or None: dead, or the pid is another's."""
        now = identify(self.pid)
        if now is None:
            return None
        if self.identity is not None:
            return now if now == self.identity else None
        started = started_at(self.pid)
        if started is None or started > self.written_at + _CLOCK_SLACK_SECONDS:
            return None
        return now


def read_pid_file(path: Path) -> PidFile | None:
    """Return what ``path`` says, or None when there is no such file or it holds no pid."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened so that a FIFO cannot block
            text = file.read(_MAX_BYTES).decode("ascii", "replace")
            written = os.fstat(descriptor).st_mtime
    except OSError:
        return None
    number = text.partition("\n")[0].strip()
    if not number.isascii() or not number.isdigit() or len(number) > 10 or int(number) < 1:
        return None
    own = _OWN.fullmatch(text)
    identity = None if own is None else Identity(int(number), own[1], own[2])
    return PidFile(int(number), identity, written)


def write_pid_file(path: Path, identity: Identity) -> None:
    """Replace ``path`` by one that names ``identity``; readers see the old or the new file, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.write_text(f"{identity.pid}\n{identity.started}\n{identity.boot}\n", "ascii")
    fresh.replace(path)
