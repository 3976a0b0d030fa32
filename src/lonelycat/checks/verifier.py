"""Runs one verification profile against the workspace as it now is.

Invariants:
- Only a command that ended by itself with exit code 0, and that tested something, passes. A time-out, a signal, a
  missing command, zero or only skipped tests, and a crash of the verifier itself are failures with their own codes.
- A failed run is tried again as often as the profile says; what passes only then says that it is flaky, and so does
  what passed because its test runner tried again.
- The command runs in the workspace, in a scrubbed environment, without a shell, and leaves no process behind.
- It runs in a sandbox (``sandbox/``), where nothing that it writes reaches the host. Without one it runs only where the
  policy allows that, and the result says so.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lonelycat.checks.inside import resolve_inside
from lonelycat.checks.placeholders import fill
from lonelycat.checks.process import COMMAND_NOT_FOUND, ProcessResult, run_process
from lonelycat.checks.result import CheckResult
from lonelycat.checks.results.judge import Judgement, judge_results
from lonelycat.checks.results.junit import MAX_BYTES as MAX_REPORT_BYTES
from lonelycat.checks.results.retries import after_retries
from lonelycat.clock import Clock
from lonelycat.errors import LonelyCatError, PolicyError, RefusedError
from lonelycat.governance.policy_profiles import VerificationProfile
from lonelycat.settings import Limits, child_environment

if TYPE_CHECKING:
    from lonelycat.checks.results.counts import TestCounts
    from lonelycat.checks.sandbox.observed import Observed
    from lonelycat.checks.sandbox.spec import Kept, Rehearsal

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


class Rehearsed(NamedTuple):
    """A change that is put in place in the sandbox only, and the file that holds its contents."""

    rehearsal: Rehearsal
    contents: int


class _Ended(NamedTuple):
    """How a command ended, in which kind of sandbox, past which limit, what it wrote, and the report that it left."""

    done: ProcessResult
    level: str = "none"
    over: str | None = None
    observed: Observed | None = None
    kept: Kept | None = None


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
        result, attempts = self._once(name, profile, changed_paths, timeout, rehearsed), 1
        while attempts <= profile.retries and result.code in _WORTH_ANOTHER_TRY:
            left = timeout - (self._clock.monotonic() - begun)
            if left <= 0 or (self._stop is not None and self._stop.is_set()):
                break
            result, attempts = self._once(name, profile, changed_paths, left, rehearsed), attempts + 1
        return after_retries(result, attempts, self._clock.monotonic() - begun)

    def _once(
        self,
        name: str,
        profile: VerificationProfile,
        changed_paths: Sequence[str],
        timeout: float,
        rehearsed: Rehearsed | None,
    ) -> CheckResult:
        begun = self._clock.monotonic()
        limit = min(profile.timeout, timeout)
        started_at = self._clock.now().timestamp()
        tests: TestCounts | None = None
        try:
            ended = self._end_of(profile, changed_paths, limit, rehearsed)
            judged = _judged(profile, ended, limit, self._workspace, started_at)
            code, message = judged.code, f"{name}: {judged.message}"
            tests = judged.tests
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
            details={
                **_details(profile, ended, tests),
                **({"flaky": True} if code is None and tests is not None and tests.reruns else {}),
            },
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
        from lonelycat.checks.sandbox.launch import Command, run_sandboxed
        from lonelycat.checks.sandbox.observed import observe
        from lonelycat.checks.sandbox.spec import LISTING

        command = Command(
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
            kept=profile.results.report or "",
            max_kept_bytes=MAX_REPORT_BYTES,
        )
        done, report, level = run_sandboxed(command)
        observed = observe(report, profile.sandbox, profile.results.report)
        return _Ended(done, str(level), report.over, observed, report.kept)


_OVER = {
    "memory": ("VERIFY_MEMORY_LIMIT", "used more than {0.max_memory_bytes} bytes of memory"),
    "processes": ("VERIFY_PROCESS_LIMIT", "ran more than {0.max_processes} processes and threads"),
    "disk": ("VERIFY_DISK_LIMIT", "wrote more than {0.max_written_bytes} bytes"),
}


def _judged(profile: VerificationProfile, ended: _Ended, limit: float, workspace: Path, started_at: float) -> Judgement:
    """Return what the end of the command amounts to."""
    done = ended.done
    if done.error_code:
        code = "VERIFY_COMMAND_NOT_FOUND" if done.error_code == COMMAND_NOT_FOUND else done.error_code
        return Judgement(code, done.message)
    if done.timed_out:
        return Judgement("VERIFY_TIMEOUT", f"still running after {limit:g} s; it was ended with all it started")
    if done.stopped:
        return Judgement("VERIFY_STOPPED", "stopped before it was done")
    if ended.over is not None:
        code, what = _OVER[ended.over]
        return Judgement(code, f"{what.format(profile.sandbox)}; it was ended with all it started")
    if done.exit_code is None:
        return Judgement("VERIFY_KILLED", f"killed by signal {done.signal}")
    with _what_it_wrote(profile, ended, workspace) as root:
        judged = judge_results(profile, root, done.exit_code, done.output, started_at)
    return _judged_by_what_it_wrote(judged, profile, ended) if judged.code is None else judged


@contextmanager
def _what_it_wrote(profile: VerificationProfile, ended: _Ended, workspace: Path) -> Iterator[Path]:
    """Give the root below which the command's report lies; that of a sandbox was brought out of it."""
    if ended.level == "none" or profile.results.report is None:
        yield workspace
        return
    with tempfile.TemporaryDirectory(prefix="lonelycat-") as directory:
        if ended.kept is not None:
            report = resolve_inside(Path(directory), profile.results.report)
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_bytes(b64decode(ended.kept.base64))
            os.utime(report, ns=(ended.kept.written_ns, ended.kept.written_ns))
        yield Path(directory)


def _judged_by_what_it_wrote(judged: Judgement, profile: VerificationProfile, ended: _Ended) -> Judgement:
    from lonelycat.checks.sandbox.observed import in_words

    wrote = in_words(ended.observed) if ended.observed else ""
    if ended.observed and ended.observed.undeclared and profile.sandbox.undeclared_writes == "fail":
        return Judgement("VERIFY_UNDECLARED_WRITES", wrote, judged.tests)
    where = "" if ended.level != "none" else ", without a sandbox, as the policy allows"
    return replace(judged, message=judged.message + where + (f"; {wrote}" if wrote else ""))


def _details(profile: VerificationProfile, ended: _Ended | None, tests: TestCounts | None) -> dict[str, object]:
    details: dict[str, object] = {
        "argv": list(profile.argv),
        "exit_code": ended.done.exit_code if ended else None,
        "signal": ended.done.signal if ended else None,
        **({} if tests is None else {"tests": tests.facts()}),
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
