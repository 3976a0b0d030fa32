"""Restarts one service by its name in the policy.

Invariant: everything but a restart that was seen to succeed, a crash in here included, is a failure with a code.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from lonelycat.checks.health.kind import ProbeContext, failed
from lonelycat.checks.result import CheckResult
from lonelycat.checks.services.registry import SERVICE_KINDS, validate_service
from lonelycat.clock import Clock
from lonelycat.errors import LonelyCatError
from lonelycat.governance.policy import Service
from lonelycat.settings import Limits


class ServiceRestarter:
    """Restarts services.

    Args:
        workspace: root of the governed tree, absolute.
        clock: for time limits and waits.
        limits: bounds on captured output.
        pass_fds: descriptors that restart *commands* inherit; a service never does.
        stop: when set, a running restart command is ended.
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
        self._context = ProbeContext(workspace.resolve(), clock, limits, tuple(pass_fds), stop)

    def restart(self, name: str, service: Service, timeout: float) -> CheckResult:
        """Restart ``service`` within ``timeout`` seconds, or its own limit if that is shorter; never raises."""
        begun = self._clock.monotonic()
        try:
            parameters = validate_service(name, service)
            limit = min(service.timeout, timeout)
            seen = SERVICE_KINDS[service.kind].restart(self._context, name, parameters, limit)
        except LonelyCatError as error:
            seen = failed(error.code, error.message)
        except Exception as error:  # noqa: BLE001 - closed by default: a crashed restart is a failure
            seen = failed("SERVICE_RESTART_CRASHED", f"the restart crashed: {type(error).__name__}: {error}")
        return CheckResult(
            name=name,
            kind=f"service:{service.kind}",
            ok=seen.ok,
            code=seen.code,
            message=f"{name}: {seen.message}",
            duration_seconds=self._clock.monotonic() - begun,
            output=seen.output,
            details=dict(seen.details),
        )
