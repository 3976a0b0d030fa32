"""Runs one verification profile against the workspace as it now is.

Invariants:
- Only a command that ended by itself with exit code 0, and that tested something, passes. A time-out, a signal, a
  missing command, zero or only skipped tests, and a crash of the verifier itself are failures with their own codes.
- The command runs in the workspace, in a scrubbed environment, without a shell, and leaves no process behind.
- It runs in a sandbox (``sandbox/``), where nothing that it writes reaches the host. Without one it runs only where the
  policy allows that, and the result says so.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lonelycat.checks.inside import resolve_inside
from lonelycat.checks.no_tests import why_nothing_tested
from lonelycat.checks.placeholders import fill
from lonelycat.checks.process import COMMAND_NOT_FOUND, ProcessResult, run_process
from lonelycat.checks.result import CheckResult
from lonelycat.clock import Clock
from lonelycat.errors import LonelyCatError, PolicyError, RefusedError
from lonelycat.governance.policy import VerificationProfile
from lonelycat.settings import Limits, child_environment

if TYPE_CHECKING:
    from lonelycat.checks.sandbox.observed import Observed
    from lonelycat.checks.sandbox.spec import Rehearsal

KIND = "verify"
_DEFAULT_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1"}
"""A check leaves no compiled code of a change that may be rolled back; a profile's ``env`` may say otherwise."""


def validate_verification_profile(name: str, profile: VerificationProfile) -> None:
    """Check what the policy's own model cannot: that patterns compile and values can be passed to a process.

    Raises:
        PolicyError: ``VERIFICATION_PARAMETERS``, naming the field.
    """
    rules = profile.no_tests
    for index, pattern in enumerate(rules.output_patterns):
        _check_pattern(name, f"no_tests.output_patterns[{index}]", pattern)
    if rules.require_output_pattern is not None:
        _check_pattern(name, "no_tests.require_output_pattern", rules.require_output_pattern)
    values = {f"argv[{index}]": value for index, value in enumerate(profile.argv)}
    values |= {"cwd": profile.cwd} | {f"env.{key}": key + value for key, value in profile.env.items()}
    for field, value in values.items():
        if "\0" in value:
            raise _parameters(name, field, "holds a NUL character")
    if not profile.argv[0]:
        raise _parameters(name, "argv[0]", "is empty")
    for key in (*profile.env, *profile.pass_env):
        if not key or "=" in key or "\0" in key:
            raise _parameters(name, "env", f"{key!a} is not the name of a variable")


class Rehearsed(NamedTuple):
    """A change that is put in place in the sandbox only, and the file that holds its contents."""

    rehearsal: Rehearsal
    contents: int


class _Ended(NamedTuple):
    """How a command ended, in which kind of sandbox, past which limit, and what it wrote."""

    done: ProcessResult
    level: str = "none"
    over: str | None = None
    observed: Observed | None = None


class Verifier:
    """Runs verification profiles.

    Args:
        workspace: root of the governed tree, absolute.
        clock: for durations.
        limits: ``max_output_bytes`` bounds the output that is kept.
        pass_fds: descriptors that commands inherit, so that no orphan outlives the lock.
        stop: when set, a running command is ended.
        secrets: places that no command may see, beside the workspace's own state.
        unsandboxed: whether the policy allows a profile to run without a sandbox.
    """

    def __init__(
        self,
        workspace: Path,
        clock: Clock,
        limits: Limits,
        pass_fds: Sequence[int] = (),
        stop: threading.Event | None = None,
        *,
        secrets: Sequence[Path] = (),
        unsandboxed: bool = False,
    ) -> None:
        self._workspace = workspace.resolve()
        self._clock = clock
        self._limits = limits
        self._pass_fds = tuple(pass_fds)
        self._stop = stop
        self._secrets = tuple(secrets)
        self._unsandboxed = unsandboxed

    def run(
        self,
        name: str,
        profile: VerificationProfile,
        changed_paths: Sequence[str],
        timeout: float,
        rehearsed: Rehearsed | None = None,
    ) -> CheckResult:
        """Run ``profile``; never raises for what the command does.

        Args:
            name: the profile's name in the policy.
            changed_paths: workspace-relative paths, for ``{changed_files}``.
            timeout: seconds left for this step; the profile's own limit holds if it is shorter.
            rehearsed: run it on the workspace as this change would make it; takes a sandbox.
        """
        begun = self._clock.monotonic()
        limit = min(profile.timeout, timeout)
        try:
            ended = self._end_of(profile, changed_paths, limit, rehearsed)
            code, message = _judged(name, profile, ended, limit)
        except LonelyCatError as error:
            ended, code, message = None, error.code, f"{name}: {error.message}"
        except Exception as error:  # noqa: BLE001 - closed by default: a crashed check is a failure
            ended, code, message = None, "VERIFY_CRASHED", f"{name}: {type(error).__name__}: {error}"
        return CheckResult(
            name=name,
            kind=KIND,
            ok=code is None,
            code=code,
            message=message,
            duration_seconds=self._clock.monotonic() - begun,
            output=ended.done.output if ended else b"",
            details=_details(profile, ended),
        )

    def _end_of(
        self, profile: VerificationProfile, changed_paths: Sequence[str], limit: float, rehearsed: Rehearsed | None
    ) -> _Ended:
        """Run the command and return how it ended.

        Raises:
            RefusedError: ``SANDBOX_UNAVAILABLE``, ``CHECK_PATH_OUTSIDE``.
        """
        cwd = resolve_inside(self._workspace, profile.cwd)
        env = child_environment({**_DEFAULT_ENVIRONMENT, **profile.env}, profile.pass_env)
        if profile.sandbox.enabled:
            try:
                return self._sandboxed(profile, cwd, env, changed_paths, limit, rehearsed)
            except RefusedError as error:
                if error.code != "SANDBOX_UNAVAILABLE" or not self._unsandboxed or rehearsed is not None:
                    raise
        elif rehearsed is not None or not self._unsandboxed:
            raise RefusedError(
                "SANDBOX_REQUIRED",
                "the profile wants no sandbox, and "
                + ("a rehearsal takes one" if rehearsed else "the policy asks for one"),
                "Remove sandbox.enabled: false, or set executor.verification to unsandboxed: allow and mode: in_place.",
            )
        with _listed(changed_paths, self._workspace) as listing:
            done = run_process(
                fill(profile.argv, self._workspace, listing),
                cwd=cwd,
                env=env,
                timeout=limit,
                max_output_bytes=self._limits.max_output_bytes,
                pass_fds=self._pass_fds,
                stop=self._stop,
            )
        return _Ended(done)

    def _sandboxed(
        self,
        profile: VerificationProfile,
        cwd: Path,
        env: Mapping[str, str],
        changed_paths: Sequence[str],
        limit: float,
        rehearsed: Rehearsed | None,
    ) -> _Ended:
        from lonelycat.checks.sandbox.launch import run_sandboxed
        from lonelycat.checks.sandbox.observed import observe
        from lonelycat.checks.sandbox.spec import LISTING

        done, report, level = run_sandboxed(
            profile.sandbox,
            fill(profile.argv, self._workspace, Path(LISTING)),
            workspace=self._workspace,
            cwd=cwd,
            env=env,
            timeout=limit,
            max_output_bytes=self._limits.max_output_bytes,
            pass_fds=self._pass_fds,
            stop=self._stop,
            changed_paths=changed_paths,
            secrets=self._secrets,
            rehearsal=rehearsed.rehearsal if rehearsed else None,
            contents=rehearsed.contents if rehearsed else -1,
        )
        return _Ended(done, str(level), report.over, observe(report, profile.sandbox))


_OVER = {
    "memory": ("VERIFY_MEMORY_LIMIT", "used more than {0.max_memory_bytes} bytes of memory"),
    "processes": ("VERIFY_PROCESS_LIMIT", "ran more than {0.max_processes} processes and threads"),
    "disk": ("VERIFY_DISK_LIMIT", "wrote more than {0.max_written_bytes} bytes"),
}


def _judged(name: str, profile: VerificationProfile, ended: _Ended, limit: float) -> tuple[str | None, str]:
    """Return the code, None for a pass, and the sentence for how the command ended."""
    done = ended.done
    if done.error_code:
        code = "VERIFY_COMMAND_NOT_FOUND" if done.error_code == COMMAND_NOT_FOUND else done.error_code
        return code, f"{name}: {done.message}"
    if done.timed_out:
        return "VERIFY_TIMEOUT", f"{name}: still running after {limit:g} s; it was ended with all it started"
    if done.stopped:
        return "VERIFY_STOPPED", f"{name}: stopped before it was done"
    if ended.over is not None:
        code, what = _OVER[ended.over]
        return code, f"{name}: {what.format(profile.sandbox)}; it was ended with all it started"
    if done.exit_code is None:
        return "VERIFY_KILLED", f"{name}: killed by signal {done.signal}"
    nothing = why_nothing_tested(profile.no_tests, done.exit_code, done.output)
    if nothing is not None:
        return "VERIFY_NO_TESTS", f"{name}: {nothing}"
    if done.exit_code != 0:
        return "VERIFY_FAILED", f"{name}: exited with {done.exit_code}"
    return _judged_by_what_it_wrote(name, profile, ended)


def _judged_by_what_it_wrote(name: str, profile: VerificationProfile, ended: _Ended) -> tuple[str | None, str]:
    from lonelycat.checks.sandbox.observed import in_words

    wrote = in_words(ended.observed) if ended.observed else ""
    if ended.observed and ended.observed.undeclared and profile.sandbox.undeclared_writes == "fail":
        return "VERIFY_UNDECLARED_WRITES", f"{name}: {wrote}"
    where = "" if ended.level != "none" else " without a sandbox, as the policy allows"
    return None, f"{name}: passed{where}" + (f"; {wrote}" if wrote else "")


def _details(profile: VerificationProfile, ended: _Ended | None) -> dict[str, object]:
    details: dict[str, object] = {
        "argv": list(profile.argv),
        "exit_code": ended.done.exit_code if ended else None,
        "signal": ended.done.signal if ended else None,
    }
    if ended is not None:
        details["sandbox"] = ended.level
        if ended.observed is not None:
            details["effects"] = ended.observed.details
    return details


@contextmanager
def _listed(changed_paths: Sequence[str], workspace: Path) -> Iterator[Path]:
    """Write the paths, NUL-terminated, to a private file outside the workspace; it is gone afterwards."""
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp"]  # noqa: S108 - only places for mkdtemp
    outside = (
        place for place in candidates if Path(place).is_dir() and not Path(place).resolve().is_relative_to(workspace)
    )
    with tempfile.TemporaryDirectory(prefix="lonelycat-", dir=next(outside, None)) as directory:
        listing = Path(directory) / "changed_files"
        listing.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in changed_paths))
        yield listing


def _check_pattern(name: str, field: str, pattern: str) -> None:
    try:
        re.compile(pattern, re.M)
    except (re.error, RecursionError, OverflowError) as error:
        raise _parameters(name, field, f"is not a regular expression: {error}") from error


def _parameters(name: str, field: str, why: str) -> PolicyError:
    return PolicyError(
        "VERIFICATION_PARAMETERS",
        f"verification.{name}.{field} {why}",
        "Correct the profile; `lonelycat policy check` shows every problem.",
        details={"profile": name, "field": field},
    )
