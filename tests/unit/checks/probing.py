"""Runs one health check as an execution does, for the tests of the kinds."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from tests.patience import PATIENCE_SECONDS

from lonelycat.checks.health import isolation
from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.health.kind import Mark
from lonelycat.checks.result import CheckResult
from lonelycat.clock import SystemClock
from lonelycat.governance.policy import HealthCheck
from lonelycat.settings import Limits

Ask = Callable[..., CheckResult]
Raw = Callable[[Callable[[socket.socket], None]], int]
"""Serves each connection by a handler, and returns the port."""


class Asking:
    """Asks checks of one workspace, each once unless told otherwise."""

    def __init__(self, workspace: Path) -> None:
        self.checker = HealthChecker(workspace, SystemClock(), Limits(max_output_bytes=20_000))

    def __call__(
        self, kind: str, within: float = PATIENCE_SECONDS, mark: Mark | None = None, **parameters: Any
    ) -> CheckResult:
        return self.checker.run("it", once(kind, within, parameters), within, mark)

    def to_the_limit(self, kind: str, **parameters: Any) -> CheckResult:
        """Ask what does not answer, longer if the process of the probe had no time to start or to report."""
        for within in (1.5, 6.0, 24.0):
            with mock.patch.object(isolation, "_REPORTING_SECONDS", within / 4):
                seen = self(kind, within, **parameters)
            if seen.code != "HEALTH_TIMEOUT":
                break
        return seen

    def mark(self, kind: str, within: float = PATIENCE_SECONDS, **parameters: Any) -> Mark | None:
        return self.checker.mark("it", once(kind, within, parameters), within)


def decided(act: Ask) -> CheckResult:
    """Act, and again where the time was over in the middle of a last question, which is a failure of its own."""
    for _ in range(5):
        found = act()
        if found.code != "SERVICE_MANAGER_TIMEOUT":
            break
    return found


def silent(connection: socket.socket) -> None:
    """Take whatever comes and say nothing, for as long as the other side waits."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def once(kind: str, within: float, parameters: dict[str, Any]) -> HealthCheck:
    """Return a check that is asked once."""
    return HealthCheck.model_validate({"kind": kind, "with": parameters, "timeout": within, "attempts": 1})
