"""How the test of the health checks looks: each fault as it is tried, then the whole as a table."""

from __future__ import annotations

import io
from typing import Any

from lonelycat.checks.breaking.report import FaultSeen, HealthTestReport
from lonelycat.interfaces.cli.screen import Part, Screen

_MARKS: dict[str, tuple[str, str]] = {
    "noticed": ("noticed", "good"),
    "not_noticed": ("NOT NOTICED", "bad"),
    "not_applicable": ("-", "dim"),
}
_CELL = 13


class Telling:
    """Shows each fault while it is tried; called with the events of the test. Without a screen it shows nothing."""

    def __init__(self, screen: Screen | None) -> None:
        self._screen = Screen(io.StringIO()) if screen is None else screen
        screen = self._screen
        screen.begin("starting a copy of the services in a sandbox")

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        if event["event"] == "fault":
            self._screen.begin(f"{event['service']}: {event['fault']}")
            return
        self._screen.end()
        noticed = [name for name, seen in event["seen"].items() if seen == "noticed"]
        mark: Part = ("✔ ", "good") if noticed else ("✘ ", "bad")
        who: Part = f"noticed by {', '.join(noticed)}" if noticed else ("noticed by nobody", "bad")
        self._screen.line(mark, (f"{event['service']:<10} ", "id"), f"{event['fault']:<16} ", who, indent=2)

    def close(self) -> None:
        """Take away what shows that something is under way."""
        self._screen.end()


def show_report(screen: Screen, report: HealthTestReport) -> None:
    """Write the table, a row for each check, a column for each fault."""
    width = max((len(name) for name in report.checks), default=0) + 2
    screen.blank()
    for service in dict.fromkeys(fault.service for fault in report.faults):
        faults = [fault for fault in report.faults if fault.service == service]
        columns = [max(_CELL, len(fault.fault) + 2) for fault in faults]
        heads = [(f"{fault.fault:<{size}}", "title") for fault, size in zip(faults, columns, strict=True)]
        screen.line((f"{service:<{width}}", "id"), *heads, indent=2)
        for name in report.checks:
            if any(fault.seen[name] != "not_applicable" for fault in faults):
                screen.line(f"{name:<{width}}", *_cells(faults, columns, name), indent=2)
        screen.blank()
    for name, why in report.skipped.items():
        screen.line((f"{name} ", "id"), (f"was not broken: {why}", "dim"), indent=2)
    unproven = [name for name in report.checks if name not in report.proven]
    if unproven:
        screen.line(("unproven ", "warn"), f"noticed none of these faults: {', '.join(unproven)}", indent=2)
    for fault in report.unnoticed:
        screen.line(("NOT NOTICED ", "bad"), f"{fault.fault} of {fault.service}", indent=2)
    if report.faults and not report.unnoticed:
        screen.line(("NOTICED", "good"), f"  Each of the {len(report.faults)} faults, by at least one health check.")
    screen.line(("A copy was broken, in a sandbox; the services that run were not touched.", "dim"), indent=2)


def _cells(faults: list[FaultSeen], columns: list[int], name: str) -> list[Part]:
    cells: list[Part] = []
    for fault, size in zip(faults, columns, strict=True):
        text, style = _MARKS[fault.seen[name]]
        cells.append((f"{text:<{size}}", style))
    return cells


def facts_of(report: HealthTestReport) -> dict[str, object]:
    """Return the report for programs."""
    return {
        "checks": list(report.checks),
        "faults": [
            {"fault": one.fault, "service": one.service, "noticed": one.noticed, "seen": one.seen, "codes": one.codes}
            for one in report.faults
        ],
        "skipped": dict(report.skipped),
        "proven": list(report.proven),
    }
