"""Starts a command in a sandbox and returns how it ended and what it wrote.

Invariants:
- The command gets neither the lock's descriptor nor any other of LonelyCat's; the launcher holds the lock's until
  nothing of the command is left.
- Only a level that was *shown* not to work in a directory of its own, with nothing in it that a change could have put
  there, counts as missing. A sandbox that cannot be made for one workspace is a failure, not a lower level.
- What the two sides say to each other has no name in the file system, so nothing is left behind by a kill.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lonelycat.checks.executable import find_executable
from lonelycat.checks.process import COMMAND_NOT_FOUND, ProcessResult, run_process
from lonelycat.checks.sandbox.level import LEVELS, Level, bubblewrap
from lonelycat.checks.sandbox.spec import Rehearsal, Report, Spec, decode_report, encode
from lonelycat.checks.sandbox.view import view_of
from lonelycat.errors import RefusedError
from lonelycat.settings import STATE_DIRECTORY, child_environment

if TYPE_CHECKING:
    from lonelycat.governance.policy_profiles import Sandbox

SANDBOX_FAILED = "SANDBOX_FAILED"
_PROBE_SECONDS = 20.0
_PROGRAM = (
    "import sys; sys.path.insert(0, {!r}); from lonelycat.checks.sandbox.launcher import main; main(sys.argv[1:])"
)


class _Launcher:
    """What ``process.py`` starts in place of the supervisor."""

    marker: str | None = None

    def __init__(self, spec: int, report: int, contents: int) -> None:
        self._spec, self._report, self._contents = spec, report, contents
        self.descriptors = tuple(each for each in (spec, report, contents) if each >= 0)

    def argv(self, control: int, status: int) -> list[str]:
        """Return the launcher's argument list."""
        program = _PROGRAM.format(str(Path(__file__).parents[3]))
        numbers = (self._spec, self._report, control, status, self._contents)
        return [sys.executable, "-I", "-S", "-c", program, *map(str, numbers)]


class Command(NamedTuple):
    """What to run in a sandbox.

    Attributes:
        rules: what the policy lets it do and use.
        workspace: the governed tree, resolved; ``cwd`` lies in it.
        timeout: seconds; see ``process.py``, as for ``pass_fds`` and ``stop``.
        changed_paths: what the command finds in :data:`LISTING`, which its arguments may name.
        secrets: what it must not see, wherever it lies.
        rehearsal, contents: a change to put in place first, and the file that holds its contents.
        kept, max_kept_bytes: a file of the workspace to bring out afterwards, relative to it, and its limit.
    """

    rules: Sandbox
    argv: Sequence[str]
    workspace: Path
    cwd: Path
    env: Mapping[str, str]
    timeout: float
    max_output_bytes: int
    pass_fds: Sequence[int] = ()
    stop: threading.Event | None = None
    changed_paths: Sequence[str] = ()
    secrets: Sequence[Path] = ()
    rehearsal: Rehearsal | None = None
    contents: int = -1
    kept: str = ""
    max_kept_bytes: int = 0


def run_sandboxed(command: Command) -> tuple[ProcessResult, Report, Level]:
    """Run ``command`` in the best sandbox that this machine gives; see :func:`run_in`.

    Raises:
        RefusedError: ``SANDBOX_UNAVAILABLE`` when it gives none.
    """
    for level in LEVELS:
        if level is Level.BUBBLEWRAP and bubblewrap() is None:
            continue
        done, report = run_in(level, command)
        if done.error_code != SANDBOX_FAILED or ability(level).works:
            return done, report, level
    why = "; ".join(f"{level}: {ability(level).why}" for level in LEVELS)
    raise RefusedError(
        "SANDBOX_UNAVAILABLE",
        f"no sandbox can be made here ({why})",
        "Install bubblewrap, or allow user namespaces; else executor.verification.unsandboxed: allow runs it without.",
    )


def run_in(level: Level, command: Command) -> tuple[ProcessResult, Report]:
    """Run ``command`` in a sandbox of ``level``; never raises for what it does.

    Returns:
        How it ended, with ``SANDBOX_FAILED`` when the sandbox could not be made; and what it wrote.
    """
    rules, argv, env = command.rules, command.argv, command.env
    executable = _executable(command)
    if executable is None or (command.rehearsal is None and not command.cwd.is_dir()):
        message = f"command {ascii(argv[0])[:200]} is not found or not executable, or has no directory to run in"
        return ProcessResult(None, None, False, False, b"", 0.0, COMMAND_NOT_FOUND, message), Report()
    view = view_of(command.workspace, executable, env, rules.reads, command.secrets)
    spec = Spec(
        level=str(level),
        bubblewrap=bubblewrap() or "",
        overlays=True,
        workspace=str(command.workspace),
        without=(STATE_DIRECTORY,),
        cwd=str(command.cwd),
        executable=executable,
        argv=tuple(argv),
        interpreter=os.path.realpath(sys.executable),
        homes=view.homes,
        shown=view.shown,
        links=view.links,
        masked=view.masked,
        listing="".join(f"{path}\0" for path in command.changed_paths),
        host_network=rules.network == "host",
        max_memory_bytes=rules.max_memory_bytes,
        max_processes=rules.max_processes,
        max_written_bytes=rules.max_written_bytes,
        kept=command.kept,
        max_kept_bytes=command.max_kept_bytes,
        rehearsal=command.rehearsal,
    )
    private = {**env, "TMPDIR": "/tmp"} if "TMPDIR" in env else dict(env)  # noqa: S108 - the command's own
    with _nameless("spec") as told, _nameless("report") as answer:
        os.write(told, encode(spec))
        done = run_process(
            argv,
            cwd=Path("/"),
            env=private,
            timeout=command.timeout,
            max_output_bytes=command.max_output_bytes,
            pass_fds=command.pass_fds,
            stop=command.stop,
            launcher=_Launcher(told, answer, command.contents),
        )
        report = decode_report(os.pread(answer, os.fstat(answer).st_size, 0))
    ended = done.timed_out or done.stopped or report.over is not None
    if report.error is not None and not ended and done.error_code is None:
        done = replace(done, exit_code=None, error_code=SANDBOX_FAILED, message=report.error)
    return done, report


class Ability(NamedTuple):
    """Whether a level works here, and why not."""

    works: bool
    why: str = ""


@lru_cache(maxsize=4)
def ability(level: Level) -> Ability:
    """Return whether ``level`` works here; asked once per process."""
    if sys.platform != "linux":
        return Ability(False, f"nothing on {sys.platform} does it")
    if level is Level.BUBBLEWRAP and bubblewrap() is None:
        return Ability(False, "bwrap is not installed")
    from lonelycat.governance.policy_profiles import Sandbox

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


def _executable(command: Command) -> str | None:
    found = find_executable(command.argv, command.cwd, command.env)
    if found is None and command.rehearsal is not None and command.argv and "/" in command.argv[0]:
        place = os.path.normpath(command.cwd / command.argv[0])  # the change may bring it
        with suppress(ValueError):
            Path(place).relative_to(command.workspace)
            return place
    return found


@contextmanager
def _nameless(name: str) -> Iterator[int]:
    file = os.memfd_create(f"lonelycat-{name}")
    try:
        yield file
    finally:
        os.close(file)
