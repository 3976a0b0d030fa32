"""``lonelycat doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen


def command(call: Invocation) -> Report:
    """Say what is wrong here, and what to do about it."""
    findings = call.service().doctor()
    level, why = call.service().sandbox()
    errors = [finding for finding in findings if finding.severity == "error"]

    def show(screen: Screen) -> None:
        if not findings:
            screen.line(("WELL", "good"), "  Nothing is wrong here.")
        for finding in findings:
            style = "bad" if finding.severity == "error" else "warn"
            screen.line((f"{finding.severity} ", style), (finding.code, "title"), f": {finding.message}")
            screen.line(("what now: ", "title"), finding.hint, indent=2)
        screen.line(("sandbox of verification: ", "dim"), level, (f"  ({why})" if why else "", "dim"))

    facts = {
        "findings": [asdict(finding) for finding in findings],
        "sandbox": {"level": level, "why_not_better": why},
    }
    if not errors:
        return Report(Exit.DONE, facts, show, message=f"{len(findings)} findings, none of them an error")
    frozen = any(finding.code == "WORKSPACE_FROZEN" for finding in errors)
    first = errors[0]
    return Report(Exit.FROZEN if frozen else Exit.UNEXPECTED, facts, show, first.code, first.message, first.hint)
