"""Kind ``command``: a command restarts the service (``systemctl restart web``, ``docker restart web``).

Invariants: it runs where it can see and signal the host's processes. What it leaves behind is killed, unless the
policy says that it ``starts_daemon``: then its children live on, without the guard's descriptor or any pipe of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from pydantic import Field

from lonelycat.changes.model import Strict
from lonelycat.checks.executable import find_executable
from lonelycat.checks.health.kind import CommandArgv, ExitCodes, ProbeContext, ProbeResult, Word, Words, failed, passed
from lonelycat.checks.inside import resolve_inside
from lonelycat.checks.placeholders import fill
from lonelycat.checks.process import run_process
from lonelycat.checks.services.kind import ServiceKind
from lonelycat.settings import child_environment

_OUTPUT_TAIL_BYTES = 64 * 1024
_LAST_WORDS = 300


class CommandServiceParameters(Strict):
    """What to run.

    Attributes:
        argv: the command, no shell; ``{python}`` and ``{workspace}`` are filled in.
        exit_codes: the exit code or codes that mean restarted.
        cwd: where to run it, below the workspace root.
        env, pass_env: variables to set, and names to take over from LonelyCat's own environment.
        starts_daemon: the command leaves the service itself running in the background.
    """

    argv: CommandArgv
    exit_codes: ExitCodes = (0,)
    cwd: Word = "."
    env: dict[Word, Word] = Field(default={})
    pass_env: Words = ()
    starts_daemon: bool = False


def restart(context: ProbeContext, name: str, parameters: CommandServiceParameters, timeout: float) -> ProbeResult:
    """Run the command to its end."""
    argv = fill(parameters.argv, context.workspace)
    cwd = resolve_inside(context.workspace, parameters.cwd)
    env = child_environment(parameters.env, parameters.pass_env)
    shown = ascii(argv[0])
    if parameters.starts_daemon:
        return _run_leaving_daemon(argv, cwd, env, parameters.exit_codes, timeout)
    done = run_process(
        argv,
        cwd=cwd,
        env=env,
        timeout=timeout,
        max_output_bytes=context.limits.max_output_bytes,
        pass_fds=context.pass_fds,
        stop=context.stop,
        sees_host=True,
    )
    if done.error_code:
        return failed("SERVICE_COMMAND_NOT_FOUND", done.message)
    if done.timed_out:
        return failed("SERVICE_RESTART_TIMEOUT", f"{shown} still ran after {timeout:g} s", done.output)
    if done.exit_code is None:
        return failed("SERVICE_RESTART_FAILED", f"{shown} was killed by signal {done.signal}", done.output)
    return _judge(shown, done.exit_code, parameters.exit_codes, done.output)


def _judge(shown: str, exit_code: int, expected: tuple[int, ...], output: bytes) -> ProbeResult:
    if exit_code not in expected:
        return failed("SERVICE_RESTART_FAILED", f"{shown} exited with {exit_code}{_last_words(output)}", output)
    return passed(f"{shown} exited with {exit_code}", output)


def _last_words(output: bytes) -> str:
    """Return the last line of ``output`` that says something, to stand behind a message."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()[-_LAST_WORDS:]}" if lines else ""


def _run_leaving_daemon(
    argv: list[str], cwd: Path, env: dict[str, str], expected: tuple[int, ...], timeout: float
) -> ProbeResult:
    """Run ``argv``; its output goes to an unlinked file, which a daemon may keep open without holding us up."""
    shown = ascii(argv[0])
    executable = find_executable(argv, cwd, env)
    if executable is None:
        return failed("SERVICE_COMMAND_NOT_FOUND", f"command {shown} is not found or not executable")
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - argv list from the policy, no shell by design
                argv,
                executable=executable,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return failed("SERVICE_COMMAND_NOT_FOUND", f"command {shown} cannot be started: {error}")
        exit_code: int | None = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                exit_code = process.wait(timeout)
        finally:
            if exit_code is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(max(0, log.seek(0, os.SEEK_END) - _OUTPUT_TAIL_BYTES))
        output = log.read(_OUTPUT_TAIL_BYTES)
    if exit_code is None:
        return failed("SERVICE_RESTART_TIMEOUT", f"{shown} still ran after {timeout:g} s", output)
    return _judge(shown, exit_code, expected, output)


KIND = ServiceKind(CommandServiceParameters, {"restart": restart})
