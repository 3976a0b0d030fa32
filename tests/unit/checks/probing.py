"""Runs one health check as an execution does, for the tests of the kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.health.kind import Mark
from lonelycat.checks.result import CheckResult
from lonelycat.clock import SystemClock
from lonelycat.governance.policy import HealthCheck
from lonelycat.settings import Limits

Ask = Callable[..., CheckResult]


class Asking:
    """Asks checks of one workspace, each once unless told otherwise."""

    def __init__(self, workspace: Path) -> None:
        self.checker = HealthChecker(workspace, SystemClock(), Limits(max_output_bytes=20_000))

    def __call__(self, kind: str, within: float = 10.0, mark: Mark | None = None, **parameters: Any) -> CheckResult:
        return self.checker.run("it", once(kind, within, parameters), within, mark)

    def mark(self, kind: str, within: float = 10.0, **parameters: Any) -> Mark | None:
        return self.checker.mark("it", once(kind, within, parameters), within)


def once(kind: str, within: float, parameters: dict[str, Any]) -> HealthCheck:
    """Return a check that is asked once."""
    return HealthCheck.model_validate({"kind": kind, "with": parameters, "timeout": within, "attempts": 1})
