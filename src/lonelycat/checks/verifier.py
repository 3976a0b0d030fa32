"""Runs one verification profile against the workspace as it now is.

Invariants:
- Only a command that ended by itself with exit code 0, and that tested something, passes. A time-out, a signal, a
  missing command, zero or only skipped tests, and a crash of the verifier itself are failures with their own codes.
- A failed run is tried again as often as the profile says; what passes only then says that it is flaky.
- The command runs in the workspace, in a scrubbed environment, without a shell, and leaves no process behind.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lonelycat.checks.inside import resolve_inside
from lonelycat.checks.placeholders import fill
from lonelycat.checks.process import ProcessResult, run_process
from lonelycat.checks.result import CheckResult
from lonelycat.checks.results.judge import Judgement, judge_results
from lonelycat.checks.results.retries import after_retries
from lonelycat.clock import Clock
from lonelycat.errors import LonelyCatError, PolicyError
from lonelycat.governance.policy import VerificationProfile
from lonelycat.settings import Limits, child_environment

KIND = "verify"
_WORTH_ANOTHER_TRY = frozenset({"VERIFY_FAILED", "VERIFY_TIMEOUT", "VERIFY_KILLED"})
"""Failures that chance can make; a missing command or results that disagree come out the same every time."""
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


class Verifier:
    """Runs verification profiles.

    Args:
        workspace: root of the governed tree, absolute.
        clock: for durations.
        limits: ``max_output_bytes`` bounds the output that is kept.
        pass_fds: descriptors that commands inherit, so that no orphan outlives the lock.
        stop: when set, a running command is ended.
    """

    def __init__(
        self,
        workspace: Path,
        clock: Clock,
        limits: Limits,
        pass_fds: Sequence[int] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self._workspace = workspace.resolve()
        self._clock = clock
        self._limits = limits
        self._pass_fds = tuple(pass_fds)
        self._stop = stop

    def run(self, name: str, profile: VerificationProfile, changed_paths: Sequence[str], timeout: float) -> CheckResult:
        """Run ``profile``; never raises for what the command does.

        Args:
            name: the profile's name in the policy.
            changed_paths: workspace-relative paths, for ``{changed_files}``.
            timeout: seconds left for this step; the profile's own limit holds if it is shorter.
        """
        begun = self._clock.monotonic()
        result, attempts = self._once(name, profile, changed_paths, timeout), 1
        while attempts <= profile.retries and result.code in _WORTH_ANOTHER_TRY:
            left = timeout - (self._clock.monotonic() - begun)
            if left <= 0 or (self._stop is not None and self._stop.is_set()):
                break
            result, attempts = self._once(name, profile, changed_paths, left), attempts + 1
        return after_retries(result, attempts, self._clock.monotonic() - begun)

    def _once(
        self, name: str, profile: VerificationProfile, changed_paths: Sequence[str], timeout: float
    ) -> CheckResult:
        begun = self._clock.monotonic()
        limit = min(profile.timeout, timeout)
        started_at = self._clock.now().timestamp()
        tests: dict[str, object] | None = None
        try:
            with _listed(changed_paths, self._workspace) as listing:
                done = run_process(
                    fill(profile.argv, self._workspace, listing),
                    cwd=resolve_inside(self._workspace, profile.cwd),
                    env=child_environment({**_DEFAULT_ENVIRONMENT, **profile.env}, profile.pass_env),
                    timeout=limit,
                    max_output_bytes=self._limits.max_output_bytes,
                    pass_fds=self._pass_fds,
                    stop=self._stop,
                )
            judged = _judged(profile, done, limit, self._workspace, started_at)
            code, message = judged.code, f"{name}: {judged.message}"
            tests = None if judged.tests is None else judged.tests.facts()
        except LonelyCatError as error:
            done, code, message = None, error.code, f"{name}: {error.message}"
        except Exception as error:  # noqa: BLE001 - closed by default: a crashed check is a failure
            done, code, message = None, "VERIFY_CRASHED", f"{name}: {type(error).__name__}: {error}"
        return CheckResult(
            name=name,
            kind=KIND,
            ok=code is None,
            code=code,
            message=message,
            duration_seconds=self._clock.monotonic() - begun,
            output=done.output if done else b"",
            details={
                "argv": list(profile.argv),
                "exit_code": done.exit_code if done else None,
                "signal": done.signal if done else None,
                **({} if tests is None else {"tests": tests}),
            },
        )


def _judged(
    profile: VerificationProfile, done: ProcessResult, limit: float, root: Path, started_at: float
) -> Judgement:
    """Return what the end of the command amounts to."""
    if done.error_code:
        return Judgement("VERIFY_COMMAND_NOT_FOUND", done.message)
    if done.timed_out:
        return Judgement("VERIFY_TIMEOUT", f"still running after {limit:g} s; it was ended with all it started")
    if done.stopped:
        return Judgement("VERIFY_STOPPED", "stopped before it was done")
    if done.exit_code is None:
        return Judgement("VERIFY_KILLED", f"killed by signal {done.signal}")
    return judge_results(profile, root, done.exit_code, done.output, started_at)


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
