"""Waits until a restarted service is ready: its own health checks hold.

Invariant: ready means that every check held, each as the policy defines it, within the time limit. A check that has
said no is asked again until then; time running out is a failure that names the check and what it saw last.
"""

from __future__ import annotations

from collections.abc import Mapping

from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.health.kind import Mark, ProbeContext, ProbeResult, failed, passed
from lonelycat.governance.policy_profiles import HealthCheck

_PAUSE_SECONDS = 0.2


def await_ready(
    context: ProbeContext,
    checks: Mapping[str, HealthCheck],
    marks: Mapping[str, Mark],
    timeout: float,
    restarted: ProbeResult,
) -> ProbeResult:
    """Return ``restarted`` with a word on readiness, or a failure ``SERVICE_NOT_READY``.

    Args:
        checks: by name; none is ready at once.
        marks: what the checks noted before the change, by name.
        timeout: seconds for all of them together.
    """
    clock = context.clock
    begun = clock.monotonic()
    checker = HealthChecker(context.workspace, clock, context.limits, context.pass_fds, context.stop)
    for name, check in checks.items():
        last = "not asked: no time was left"
        output = b""
        while (left := timeout - (clock.monotonic() - begun)) > 0:
            found = checker.run(name, check, left, marks.get(name))
            if found.ok:
                break
            last, output = f"{found.code}: {found.message}", found.output
            if context.stop is not None and context.stop.is_set():
                return failed("SERVICE_NOT_READY", f"stopped while waiting for {name}", output)
            clock.sleep(max(0.0, min(_PAUSE_SECONDS, timeout - (clock.monotonic() - begun))))
        else:
            return failed(
                "SERVICE_NOT_READY", f"{restarted.message}, but not ready within {timeout:g} s: {last}", output
            )
    if not checks:
        return restarted
    waited = clock.monotonic() - begun
    return passed(f"{restarted.message}, ready after {waited:.1f} s", restarted.output, **restarted.details)
