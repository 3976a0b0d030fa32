"""Runs one command to its end, with a time limit, bounded output, and no survivors.

Invariants:
- No shell. ``argv[0]`` is looked up in the child's own ``PATH``, or relative to ``cwd`` when it holds a slash.
- When :func:`run_process` returns or raises, the command and everything that it started is dead; should LonelyCat
  itself die, they die too (``supervisor.py``, ``containment.py``).
- Output is one stream (standard output and error), bounded however much is written.
- The end of the command is the end of its process, not of its output.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lonelycat.checks.capture import HeadAndTail
from lonelycat.checks.containment import MARKER, namespace_prefix, new_marker, supervisor_argv, sweep
from lonelycat.checks.executable import find_executable
from lonelycat.clock import SystemClock

COMMAND_NOT_FOUND = "COMMAND_NOT_FOUND"
_CHUNK = 64 * 1024
_TICK_SECONDS = 0.05
_TERMINATE_SECONDS = 1.0
_SUPERVISOR_SECONDS = 10.0
_MAX_LEFT_OVER = 2 * 1024 * 1024  # over a pipe's capacity: a holder outside the tree cannot keep us reading


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a command ended.

    Attributes:
        exit_code: its exit code, or None if it ended otherwise.
        signal: the signal that ended it, or None.
        timed_out: it was ended because its time was up.
        stopped: it was ended because the caller asked.
        output: standard output and error together, first and last part.
        duration_seconds: from start to the death of the last process.
        error_code: ``COMMAND_NOT_FOUND`` when it could not be started at all, else None.
        message: why it could not be started, else empty.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    stopped: bool
    output: bytes
    duration_seconds: float
    error_code: str | None = None
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the command ran to its own end and exited with 0."""
        return self.exit_code == 0 and not (self.timed_out or self.stopped or self.error_code)


class Launcher(Protocol):
    """A program that takes the supervisor's part, such as one that makes a sandbox first."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What it inherits, apart from the lock's descriptor and its two pipes."""
        ...

    @property
    def marker(self) -> str | None:
        """The value of :data:`MARKER` by which what is left of it is found and killed, or None where nothing can be."""
        ...

    def argv(self, control: int, status: int) -> list[str]:
        """Return its argument list; the two pipes are those of ``supervisor.py``."""
        ...


def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    max_output_bytes: int,
    pass_fds: Sequence[int] = (),
    stop: threading.Event | None = None,
    sees_host: bool = False,
    launcher: Launcher | None = None,
) -> ProcessResult:
    """Run ``argv`` in ``cwd`` with exactly ``env`` and return how it ended; never raises for what the command does.

    Args:
        timeout: seconds; then SIGTERM to its process group, and SIGKILL to the whole tree a second later.
        max_output_bytes: how much output is kept, half from the start and half from the end.
        pass_fds: descriptors that the command inherits (the lock's for children, so that no orphan outlives it).
        stop: when set, the command is ended as at a time-out.
        sees_host: run it where it can see and signal the host's processes, not in a pid namespace.
        launcher: runs the command in its own way; ``argv`` is then only for messages.
    """
    clock = SystemClock()
    begun = clock.monotonic()
    if launcher is None:
        executable = find_executable(argv, cwd, env)
        if executable is None:
            return _not_started(f"command {_shown(argv)} is not found or not executable", 0.0)
        launcher = _Supervisor(argv, executable, namespace=not sees_host)
    try:
        run = _Run(launcher, cwd, env, max_output_bytes, pass_fds)
    except (OSError, ValueError) as error:
        return _not_started(f"command {_shown(argv)} cannot be started: {error}", clock.monotonic() - begun)
    try:
        run.wait(begun + timeout, stop)
    finally:
        run.end()
    return run.result(clock.monotonic() - begun, _shown(argv))


class _Supervisor:
    """Runs the command where it is, supervised."""

    descriptors: tuple[int, ...] = ()

    def __init__(self, argv: Sequence[str], executable: str, *, namespace: bool) -> None:
        self._argv = list(argv)
        self._executable = executable
        self._namespace = namespace
        self.marker: str | None = None if namespace and namespace_prefix() else new_marker()

    def argv(self, control: int, status: int) -> list[str]:
        """Return the supervisor's argument list."""
        return supervisor_argv(
            namespace=self._namespace, control=control, status=status, executable=self._executable, argv=self._argv
        )


class _Run:
    """One supervised command; :meth:`end` must be called, whatever happens."""

    def __init__(
        self,
        launcher: Launcher,
        cwd: Path,
        env: Mapping[str, str],
        max_output_bytes: int,
        pass_fds: Sequence[int],
    ) -> None:
        self._clock = SystemClock()
        self._marker = launcher.marker
        self._captured = HeadAndTail(max_output_bytes)
        self._status = b""
        self.timed_out = self.stopped = False
        with contextlib.ExitStack() as stack:
            control_read, control_write = _pipe(stack)
            status_read, status_write = _pipe(stack)
            output_read, output_write = _pipe(stack)
            self._process = subprocess.Popen(  # noqa: S603 - argv list from the policy, no shell by design
                launcher.argv(control_read, status_write),
                cwd=cwd,
                env={**env, MARKER: self._marker} if self._marker else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                pass_fds=(*pass_fds, *launcher.descriptors, control_read, status_write),
                start_new_session=True,
            )
            stack.pop_all()
        for descriptor in (control_read, status_write, output_write):
            os.close(descriptor)
        self._control: int | None = control_write
        self._status_read, self._output_read = status_read, output_read
        os.set_blocking(output_read, False)

    def wait(self, deadline: float, stop: threading.Event | None) -> None:
        """Read output until the supervisor is done, the ``deadline`` (monotonic seconds) passes or ``stop`` is set."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._status_read, selectors.EVENT_READ)
            selector.register(self._output_read, selectors.EVENT_READ)
            kill_at: float | None = None
            while self._pump(selector, kill_at or deadline, stop):
                now = self._clock.monotonic()
                if kill_at is not None:
                    if now >= kill_at:
                        return
                elif now >= deadline or (stop is not None and stop.is_set()):
                    self.timed_out = now >= deadline
                    self.stopped = not self.timed_out
                    self._ask_to_terminate()
                    kill_at = now + _TERMINATE_SECONDS

    def _pump(self, selector: selectors.BaseSelector, until: float, stop: threading.Event | None) -> bool:
        """Move what is readable for at most one tick; return False once the supervisor closed its status pipe."""
        pause = max(0.0, until - self._clock.monotonic())
        for key, _ in selector.select(min(pause, _TICK_SECONDS) if stop is not None else pause):
            if key.fd == self._output_read:
                if self._read_output() == 0:
                    selector.unregister(self._output_read)
            else:
                data = os.read(self._status_read, 256)
                if not data:
                    return False
                self._status += data
        return True

    def _read_output(self) -> int | None:
        """Read one chunk; return its size, 0 at the end of the stream, None if nothing is there now."""
        try:
            data = os.read(self._output_read, _CHUNK)
        except BlockingIOError:
            return None
        self._captured.add(data)
        return len(data)

    def _ask_to_terminate(self) -> None:
        with contextlib.suppress(OSError):
            if self._control is not None:
                os.write(self._control, b"T")

    def end(self) -> None:
        """Kill whatever is left, wait until it is gone, take the rest of its output; safe to call twice."""
        if self._control is None:
            return
        # At the end of this pipe the supervisor ends, and its own end waits for that of everything in its namespace.
        # Killing the program in front of it would not: the kernel then ends the namespace some time later.
        os.close(self._control)
        self._control = None
        try:
            self._process.wait(_SUPERVISOR_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._marker is not None:
            sweep(self._marker)
        with contextlib.suppress(OSError):
            self._status += os.read(self._status_read, 256)
        os.close(self._status_read)
        limit = _MAX_LEFT_OVER
        while limit > 0 and (size := self._read_output()):
            limit -= size
        os.close(self._output_read)

    def result(self, duration: float, shown: str) -> ProcessResult:
        """Return how it ended; a supervisor that died without a word counts as killed."""
        words = self._status.split()
        if words[:1] == [b"errno"]:
            reason = os.strerror(int(words[1]))
            return _not_started(f"command {shown} cannot be executed: {reason}", duration)
        forced = self.timed_out or self.stopped
        exit_code = int(words[1]) if words[:1] == [b"exit"] and not forced else None
        number = int(words[1]) if words[:1] == [b"signal"] else 9 if exit_code is None else None
        return ProcessResult(exit_code, number, self.timed_out, self.stopped, self._captured.value(), duration)


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends


def _shown(argv: Sequence[str]) -> str:
    return ascii(argv[0])[:200] if argv else "(empty)"


def _not_started(message: str, duration: float) -> ProcessResult:
    return ProcessResult(None, None, False, False, b"", duration, COMMAND_NOT_FOUND, message)
