"""A workspace whose health check reads what a test writes, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.acceptance.ground import Ground

from lonelycat import FileChange
from lonelycat.lifecycle import Status

CHANGES = (FileChange.update("app/settings.txt", "old\n", "new\n"),)


class SleptClock:
    """Time that passes when somebody sleeps; ``then`` is called after each sleep with the seconds since the start."""

    def __init__(self, then: Callable[[float], None] = lambda seconds: None) -> None:
        self.seconds = 0.0
        self.then = then
        self._start = datetime.now(UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.then(self.seconds)


def watched(ground: Ground, **watch: Any) -> Ground:
    """Let ``up`` hold while ``state/well`` exists, and be watched."""
    ground.policy["executor"]["require_health_checks_for_risk"] = ["LOW"]
    ground.policy["executor"]["watch"] = watch
    ground.policy["health_checks"] = {
        "up": {"kind": "file", "with": {"path": "state/well"}, "attempts": 1, "touches": ["app/**"]}
    }
    ground.write({"app/settings.txt": "old\n"})
    return ground.begin({"state/well": "yes\n"})


def make_sick(ground: Ground, *, sick: bool = True) -> None:
    """Take away what the health check looks for, or put it back."""
    well = ground.root / "state/well"
    if sick:
        well.unlink(missing_ok=True)
    else:
        well.write_text("yes\n")


def log_of(ground: Ground, execution_id: str, step: str) -> str:
    """Return the log of a step."""
    logs = dict(ground.cat().show(execution_id).logs)
    (name,) = [name for name in logs if name.endswith(f"_{step}.log")]
    return logs[name].decode()


def status_moves(ground: Ground, execution_id: str) -> list[Status]:
    """Return the states that an execution went through."""
    events = ground.cat().show(execution_id).events
    return [Status(event["status"]) for event in events if event["type"] == "status"]
