"""Kind ``process``: a process runs, found by its pid file or by what it was started as.

Invariants:
- A zombie is dead, and a process that took over a dead one's number is not it.
- Who asks is not what is asked for: the command lines of LonelyCat and of all that started it (a shell, sudo, a script
  of CI) may well name the program, and do not count where arguments are matched without a pid file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import (
    MATCH_BYTES,
    HealthKind,
    Pattern,
    ProbeContext,
    ProbeResult,
    Word,
    failed,
    passed,
)
from lonelycat.checks.identity import command_line
from lonelycat.checks.pidfile import read_pid_file


class ProcessParameters(Strict):
    """Which process must run; all that is given must hold for one and the same process.

    Attributes:
        pid_file: absolute, or relative to the workspace root.
        argv_matches: a pattern on the arguments joined with spaces; not on those of whoever asks.
        name: the exact name of the executable.
        at_least: how many must run; more than one only without ``pid_file``.
    """

    pid_file: Annotated[Word, Field(min_length=1)] | None = None
    argv_matches: Pattern | None = None
    name: Annotated[Word, Field(min_length=1)] | None = None
    at_least: Annotated[int, Field(ge=1, le=10_000)] = 1

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.pid_file is None and self.argv_matches is None and self.name is None:
            raise ValueError("give pid_file, argv_matches or name")
        if self.pid_file is not None and self.at_least > 1:
            raise ValueError("at_least cannot be over 1 with pid_file")
        return self


def probe(context: ProbeContext, parameters: ProcessParameters, timeout: float) -> ProbeResult:
    """Look once."""
    if parameters.pid_file is not None:
        return _by_pid_file(context.workspace / parameters.pid_file, parameters)
    matching = [pid for pid in _others() if _matches(parameters, pid)]
    count = len(matching if parameters.argv_matches is None else _strangers(matching))
    if count < parameters.at_least:
        return failed("HEALTH_PROCESS_MISSING", f"{count} of {parameters.at_least} wanted processes run")
    return passed(f"{count} processes run", count=count)


def _by_pid_file(path: Path, parameters: ProcessParameters) -> ProbeResult:
    shown = ascii(str(path))
    noted = read_pid_file(path)
    if noted is None:
        return failed("HEALTH_PROCESS_MISSING", f"{shown} does not exist or holds no pid")
    if noted.running() is None:
        return failed("HEALTH_PROCESS_MISSING", f"process {noted.pid} of {shown} no longer runs")
    if not _matches(parameters, noted.pid):
        return failed("HEALTH_PROCESS_MISSING", f"process {noted.pid} of {shown} is another program")
    return passed(f"process {noted.pid} runs", pid=noted.pid)


def _others() -> list[int]:
    import psutil

    return [pid for pid in psutil.pids() if pid != os.getpid()]


def _strangers(pids: list[int]) -> list[int]:
    """Return those of ``pids`` that neither started this process nor are a part of what did.

    Such a part is a shell's own: forked for the background or a pipeline, with the shell's arguments.
    """
    import psutil

    line = {process.pid: command_line(process.pid) for process in psutil.Process().parents()}

    def is_part(pid: int) -> bool:
        try:
            parent = psutil.Process(pid).ppid()
        except (psutil.Error, OSError):
            return False
        return parent in line and command_line(pid) == line[parent]

    return [pid for pid in pids if pid not in line and not is_part(pid)]


def _matches(parameters: ProcessParameters, pid: int) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        if parameters.name is not None and process.name() != parameters.name:
            return False
    except (psutil.Error, OSError):
        return False
    if parameters.argv_matches is None:
        return True
    joined = " ".join(command_line(pid) or ())[:MATCH_BYTES]
    return bool(joined) and re.search(parameters.argv_matches, joined) is not None


KIND = HealthKind(ProcessParameters, probe, isolated=False)
