"""Restarts one service by its name in the policy, reloads it or signals it: whatever its ``action`` is.

Invariants:
- Everything but an action that was seen to succeed, a crash in here included, is a failure with a code.
- A service with a ``ready_timeout`` has succeeded only when its own health checks hold within it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from lonelycat.checks.health.kind import Mark, ProbeContext, ProbeResult, failed
from lonelycat.checks.result import CheckResult
from lonelycat.checks.services.readiness import await_ready
from lonelycat.checks.services.registry import SERVICE_KINDS, validate_service
from lonelycat.clock import Clock
from lonelycat.errors import LonelyCatError
from lonelycat.governance.policy_profiles import HealthCheck, Service
from lonelycat.settings import Limits


class ServiceRestarter:
    """Restarts services.

    Args:
        workspace: root of the governed tree, absolute.
        clock: for time limits and waits.
        limits: bounds on captured output.
        pass_fds: descriptors that restart *commands* inherit; a service never does.
        stop: when set, a running restart command is ended.
        health_checks: the policy's checks that readiness may be told by; after a rollback those that held before.
        marks: what those checks noted before the change, by name.
    """

    def __init__(
        self,
        workspace: Path,
        clock: Clock,
        limits: Limits,
        pass_fds: Sequence[int] = (),
        stop: threading.Event | None = None,
        *,
        health_checks: Mapping[str, HealthCheck] | None = None,
        marks: Mapping[str, Mark] | None = None,
    ) -> None:
        self._clock = clock
        self._context = ProbeContext(workspace.resolve(), clock, limits, tuple(pass_fds), stop)
        self._health_checks = health_checks or {}
        self._marks = marks or {}

    def restart(self, name: str, service: Service, timeout: float) -> CheckResult:
        """Act on ``service``; never raises.

        Args:
            timeout: seconds for the whole; the action and the wait for readiness have the service's own limits too.
        """
        begun = self._clock.monotonic()
        try:
            seen = self._act(name, service, timeout)
            if seen.ok and service.ready_timeout is not None:
                left = timeout - (self._clock.monotonic() - begun)
                known = self._health_checks
                mine = {check: known[check] for check in service.health_checks if check in known}
                seen = await_ready(self._context, mine, self._marks, min(service.ready_timeout, left), seen)
        except LonelyCatError as error:
            seen = failed(error.code, error.message)
        except Exception as error:  # noqa: BLE001 - closed by default: a crashed restart is a failure
            seen = failed("SERVICE_RESTART_CRASHED", f"the restart crashed: {type(error).__name__}: {error}")
        return seen.as_check(name, f"service:{service.kind}", self._clock.monotonic() - begun)

    def _act(self, name: str, service: Service, timeout: float) -> ProbeResult:
        parameters = validate_service(name, service)
        act = SERVICE_KINDS[service.kind].actions[service.action]
        return act(self._context, name, parameters, min(service.timeout, timeout))
