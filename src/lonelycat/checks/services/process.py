"""Kind ``process``: LonelyCat itself stops and starts the service, and remembers it in a pid file.

Invariants:
- Only the process that the pid file means is ever signalled: same pid, same start time, same boot; for a foreign pid
  file, started before the file was written and with the arguments of the policy.
- The service outlives LonelyCat, and never holds its lock or its pipes.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import (
    CommandArgv,
    ProbeContext,
    ProbeResult,
    Word,
    Words,
    WorkspacePath,
    failed,
    passed,
)
from lonelycat.checks.identity import Identity, command_line
from lonelycat.checks.inside import resolve_inside
from lonelycat.checks.pidfile import PidFile, read_pid_file, write_pid_file
from lonelycat.checks.placeholders import fill
from lonelycat.checks.services.kind import ServiceKind, Signal
from lonelycat.checks.services.launch import launch, opened_log
from lonelycat.checks.services.stopping import send_signal, stop_service
from lonelycat.settings import STATE_DIRECTORY, child_environment

_LOADING_SECONDS = 1.0
"""How long a process may be without arguments, between a program's loading and its start."""
_POLL_SECONDS = 0.02
_RESERVE_SECONDS = 1.0
_LOG_TAIL_BYTES = 8192


class ProcessServiceParameters(Strict):
    """How to stop and start the service.

    Attributes:
        argv: the command, no shell; it must stay in the foreground. ``{python}`` and ``{workspace}`` are filled in.
        pid_file, log_file: below the workspace root; by default ``.lonelycat/run/<name>.pid`` and ``.log``.
        cwd: where to run it, below the workspace root.
        env, pass_env: variables to set, and names to take over from LonelyCat's own environment.
        stop_signal: what asks it to end; after ``grace_seconds`` it is killed.
        settle_seconds: how long it must have stayed alive to count as started.
        must_be_running: whether it is a failure that it does not run before the restart.
        signal: for the action ``signal``.
    """

    argv: CommandArgv
    pid_file: WorkspacePath | None = None
    log_file: WorkspacePath | None = None
    cwd: Word = "."
    env: dict[Word, Word] = Field(default={})
    pass_env: Words = ()
    stop_signal: Literal["TERM", "INT", "QUIT", "HUP"] = "TERM"
    grace_seconds: Annotated[float, Field(ge=0, le=3_600)] = 10.0
    settle_seconds: Annotated[float, Field(ge=0, le=600)] = 0.5
    must_be_running: bool = False
    signal: Signal | None = None


def restart(context: ProbeContext, name: str, parameters: ProcessServiceParameters, timeout: float) -> ProbeResult:
    """Stop the running service, if one runs, and start it anew."""
    deadline = context.clock.monotonic() + timeout
    pid_path = _place(context, name, parameters.pid_file, "pid")
    argv = fill(parameters.argv, context.workspace)
    noted = read_pid_file(pid_path)
    running = noted.running() if noted is not None else None
    if running is None and parameters.must_be_running:
        return failed("SERVICE_NOT_RUNNING", f"the service does not run ({str(pid_path)!a})")
    if noted is not None and running is not None:
        if not _is_ours(context, noted, argv):
            return _another_program(noted, pid_path)
        left = deadline - context.clock.monotonic() - parameters.settle_seconds - _RESERVE_SECONDS
        grace = max(0.0, min(parameters.grace_seconds, left))
        if not stop_service(running, signal.Signals[f"SIG{parameters.stop_signal}"], grace, context.clock):
            return failed("SERVICE_RESTART_TIMEOUT", f"process {running.pid} does not end")
    return _start(context, name, parameters, argv, pid_path, deadline)


def reload(context: ProbeContext, name: str, parameters: ProcessServiceParameters, timeout: float) -> ProbeResult:
    """Send SIGHUP to the running service, and see that it lives on."""
    return _signalled(context, name, parameters, timeout, signal.SIGHUP)


def signal_it(context: ProbeContext, name: str, parameters: ProcessServiceParameters, timeout: float) -> ProbeResult:
    """Send ``signal`` to the running service, and see that it lives on."""
    return _signalled(context, name, parameters, timeout, signal.Signals[f"SIG{parameters.signal}"])


def _signalled(
    context: ProbeContext, name: str, parameters: ProcessServiceParameters, timeout: float, number: signal.Signals
) -> ProbeResult:
    pid_path = _place(context, name, parameters.pid_file, "pid")
    noted = read_pid_file(pid_path)
    running = noted.running() if noted is not None else None
    if noted is None or running is None:
        return failed("SERVICE_NOT_RUNNING", f"the service does not run ({str(pid_path)!a})")
    if not _is_ours(context, noted, fill(parameters.argv, context.workspace)):
        return _another_program(noted, pid_path)
    send_signal(running, number)
    if not _stays(context, running, min(parameters.settle_seconds, timeout)):
        return failed("SERVICE_RESTART_FAILED", f"the service ended on {number.name}")
    return passed(f"process {running.pid} got {number.name} and runs on", pid=running.pid)


def _another_program(noted: PidFile, pid_path: Path) -> ProbeResult:
    return failed(
        "SERVICE_PID_MISMATCH", f"process {noted.pid} of {str(pid_path)!a} is another program; it was left alone"
    )


def _start(
    context: ProbeContext,
    name: str,
    parameters: ProcessServiceParameters,
    argv: list[str],
    pid_path: Path,
    deadline: float,
) -> ProbeResult:
    log_path = _place(context, name, parameters.log_file, "log")
    with opened_log(log_path) as log:
        before = os.fstat(log).st_size
        started = launch(
            argv,
            cwd=resolve_inside(context.workspace, parameters.cwd),
            env=child_environment(parameters.env, parameters.pass_env),
            log=log,
            pid_file=pid_path,
        )
    if started is None:
        return failed("SERVICE_RESTART_FAILED", "the service ended at once", _log_since(log_path, before))
    if sys.platform != "linux":  # else its start has done so
        write_pid_file(pid_path, started)
    if not _stays(context, started, parameters.settle_seconds):
        said = _log_since(log_path, before)
        return failed("SERVICE_RESTART_FAILED", "the service ended soon after its start", said)
    if context.clock.monotonic() > deadline:
        return failed("SERVICE_RESTART_TIMEOUT", "the service runs, but the restart took too long")
    return passed(f"runs as process {started.pid}", pid=started.pid)


def _stays(context: ProbeContext, started: Identity, settle_seconds: float) -> bool:
    until = context.clock.monotonic() + settle_seconds
    while started.alive():
        if context.clock.monotonic() >= until:
            return True
        context.clock.sleep(_POLL_SECONDS)
    return False


def _is_ours(context: ProbeContext, noted: PidFile, argv: list[str]) -> bool:
    """Whether the running process may be signalled: written down by LonelyCat, or started with the same arguments."""
    if noted.identity is not None:
        return True
    seen = _arguments(context, noted.pid)
    if not seen:
        return False
    same_program = Path(seen[0]).name == Path(argv[0]).name and seen[1:] == argv[1:]
    by_interpreter = len(seen) == len(argv) + 1 and Path(seen[1]).name == Path(argv[0]).name and seen[2:] == argv[1:]
    return same_program or by_interpreter


def _arguments(context: ProbeContext, pid: int) -> list[str] | None:
    """Return what ``pid`` was started with; a process into which a program is just being loaded has nothing yet."""
    until = context.clock.monotonic() + _LOADING_SECONDS
    while True:
        seen = command_line(pid)
        if seen or seen is None or context.clock.monotonic() >= until:
            return seen
        context.clock.sleep(_POLL_SECONDS)


def _place(context: ProbeContext, name: str, given: str | None, suffix: str) -> Path:
    return resolve_inside(context.workspace, given or f"{STATE_DIRECTORY}/run/{name}.{suffix}")


def _log_since(path: Path, position: int) -> bytes:
    """Return the end of what was logged since ``position``, in bytes."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(position, end - _LOG_TAIL_BYTES))
        return file.read(_LOG_TAIL_BYTES)


def stop(context: ProbeContext, name: str, parameters: ProcessServiceParameters, timeout: float) -> ProbeResult:
    """Stop the running service, if one runs."""
    noted = read_pid_file(_place(context, name, parameters.pid_file, "pid"))
    running = noted.running() if noted is not None else None
    if running is None:
        return passed("does not run")
    grace = max(0.0, min(parameters.grace_seconds, timeout - _RESERVE_SECONDS))
    if not stop_service(running, signal.Signals[f"SIG{parameters.stop_signal}"], grace, context.clock):
        return failed("SERVICE_RESTART_TIMEOUT", f"process {running.pid} does not end")
    return passed(f"process {running.pid} ended")


def processes(context: ProbeContext, name: str, parameters: ProcessServiceParameters, timeout: float) -> list[int]:
    """Return the pid of the running service, if one runs."""
    noted = read_pid_file(_place(context, name, parameters.pid_file, "pid"))
    return [noted.pid] if noted is not None and noted.running() is not None else []


KIND = ServiceKind(
    ProcessServiceParameters, {"restart": restart, "reload": reload, "signal": signal_it}, stop, processes
)
