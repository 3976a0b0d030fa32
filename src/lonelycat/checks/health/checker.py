"""Probes until a health check has succeeded often enough, or has failed; notes before a change what it needs for that.

Invariants:
- Healthy means ``success_threshold`` successes in a row, within ``attempts`` and within the time limit. Everything
  else, no data, a time-out, a crash of the probe, an inconclusive mixture, is a failure with a code.
- ``failure_threshold`` failures in a row end it early.
- A secret that the check was given by the name of an environment variable is in no result.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lonelycat.changes.model import Strict
from lonelycat.checks.health.isolation import isolated
from lonelycat.checks.health.kind import Mark, ProbeContext, ProbeResult, failed
from lonelycat.checks.health.masking import Mask
from lonelycat.checks.health.registry import health_kind, validate_health_check
from lonelycat.checks.result import CheckResult
from lonelycat.clock import Clock
from lonelycat.errors import LonelyCatError, StepFailedError
from lonelycat.governance.policy_profiles import HealthCheck
from lonelycat.settings import Limits, secret_values

_TICK_SECONDS = 0.1


@dataclass
class _Tally:
    attempts: int = 0
    successes: int = 0
    failures: int = 0
    last: ProbeResult | None = None

    def take(self, seen: ProbeResult) -> None:
        self.attempts += 1
        self.successes = self.successes + 1 if seen.ok else 0
        self.failures = 0 if seen.ok else self.failures + 1
        self.last = seen


class HealthChecker:
    """Runs health checks.

    Args:
        workspace: root of the governed tree, absolute.
        clock: for time limits and the waits between probes.
        limits: bounds on captured output.
        pass_fds: descriptors that commands inherit.
        stop: when set, the check ends, as a failure.
    """

    def __init__(
        self,
        workspace: Path,
        clock: Clock,
        limits: Limits,
        pass_fds: Sequence[int] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._context = ProbeContext(workspace.resolve(), clock, limits, tuple(pass_fds), stop)

    def run(self, name: str, check: HealthCheck, timeout: float, mark: Mark | None = None) -> CheckResult:
        """Run ``check`` for at most ``timeout`` seconds; never raises for what it finds.

        Args:
            mark: what :meth:`mark` returned before the change.
        """
        begun = self._clock.monotonic()
        tally = _Tally()
        try:
            parameters = validate_health_check(name, check)
            context = replace(self._with_secrets(check, parameters), mark=mark)
            mask = Mask(context.secrets.values())
            verdict = mask.result(self._settle(check, parameters, context, begun + timeout, tally))
        except LonelyCatError as error:
            verdict = failed(error.code, error.message)
        seconds = self._clock.monotonic() - begun
        return verdict.as_check(name, f"health:{check.kind}", seconds, attempts=tally.attempts)

    def run_now(self, name: str, check: HealthCheck, timeout: float) -> CheckResult:
        """Run ``check`` outside of a change: what it compares with is noted just before it is asked."""
        try:
            mark = self.mark(name, check, timeout)
        except LonelyCatError as error:
            return failed(error.code, error.message).as_check(name, f"health:{check.kind}", 0.0)
        return self.run(name, check, timeout, mark)

    def mark(self, name: str, check: HealthCheck, timeout: float) -> Mark | None:
        """Return what ``check`` wants to know after the change about the state before it, or None if nothing.

        Raises:
            LonelyCatError: it wants to know something that cannot be found out now; its probes will fail for want of
                it.
        """
        parameters = validate_health_check(name, check)
        kind = health_kind(check.kind)
        if kind.take_mark is None:
            return None
        context = self._with_secrets(check, parameters)
        limit = min(check.timeout, timeout)
        try:
            if not kind.isolated:
                return kind.take_mark(context, parameters, limit)
            found = isolated("mark", check.kind, check.parameters, context, limit)
            return None if isinstance(found, ProbeResult) else found
        except LonelyCatError as error:
            raise StepFailedError(error.code, Mask(context.secrets.values()).text(error.message), error.hint) from None
        except Exception as error:  # noqa: BLE001 - closed by default: the crash is told as what it is
            said = Mask(context.secrets.values()).text(f"{type(error).__name__}: {error}")
            raise StepFailedError("HEALTH_CRASHED", f"the state before the change cannot be noted: {said}") from None

    def _with_secrets(self, check: HealthCheck, parameters: Strict) -> ProbeContext:
        names = health_kind(check.kind).variables(parameters)
        secrets = secret_values(names)
        missing = [name for name in names if name not in secrets]
        if missing:
            raise StepFailedError(
                "HEALTH_SECRET_MISSING",
                f"the environment variable {missing[0]} is not set",
                "Set it where LonelyCat runs.",
            )
        return replace(self._context, secrets=secrets)

    def _settle(
        self, check: HealthCheck, parameters: Strict, context: ProbeContext, deadline: float, tally: _Tally
    ) -> ProbeResult:
        while tally.attempts < check.attempts:
            if tally.attempts and not self._pause(check.interval, deadline):
                return self._ended_early(tally)
            left = deadline - self._clock.monotonic()
            if left <= 0 or self._stopped():
                return self._ended_early(tally)
            seen = _probe(check, parameters, context, min(check.timeout, left))
            tally.take(seen)
            if tally.successes >= check.success_threshold and self._clock.monotonic() <= deadline:
                return seen
            if tally.failures >= check.failure_threshold:
                return seen
        last = tally.last
        if last is not None and not last.ok:
            return last
        return failed(
            "HEALTH_INCONCLUSIVE",
            f"only {tally.successes} of {check.success_threshold} successes in a row after {tally.attempts} probes",
        )

    def _stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _ended_early(self, tally: _Tally) -> ProbeResult:
        if self._stopped():
            return failed("HEALTH_STOPPED", f"stopped after {tally.attempts} probes")
        if tally.last is not None and not tally.last.ok:
            return tally.last
        return failed("HEALTH_TIMEOUT", f"time was up after {tally.attempts} probes without a verdict")

    def _pause(self, seconds: float, deadline: float) -> bool:
        """Wait between probes; return False at once when the wait would outlast the limit, or on stop."""
        until = self._clock.monotonic() + seconds
        if until >= deadline:
            return False
        while (left := until - self._clock.monotonic()) > 0:
            if self._stopped():
                return False
            self._clock.sleep(min(left, _TICK_SECONDS))
        return True


def _probe(check: HealthCheck, parameters: Strict, context: ProbeContext, timeout: float) -> ProbeResult:
    """Probe once; whatever the kind does instead of answering is a failure."""
    kind = health_kind(check.kind)
    try:
        if kind.isolated:
            seen: object = isolated("probe", check.kind, check.parameters, context, timeout)
        else:
            seen = kind.probe(context, parameters, timeout)
    except LonelyCatError as error:
        return failed(error.code, error.message)
    except Exception as error:  # noqa: BLE001 - closed by default: a crashed probe is a failure
        return failed("HEALTH_CRASHED", f"the probe crashed: {type(error).__name__}: {error}")
    if not isinstance(seen, ProbeResult) or seen.ok is not (seen.code is None):
        return failed("HEALTH_CRASHED", "the probe's answer is neither a pass nor a failure with a code")
    return seen
