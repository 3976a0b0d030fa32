"""``lonelycat init``: a policy fitted to the workspace, the workflow document, and the state directory."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

Offline = Annotated[
    bool, typer.Option("--offline", help="Do not ask what the tags of pinned actions and hooks point to.")
]


def command(call: Invocation, offline: Offline = False) -> Report:
    """Prepare a workspace: fitted policy, workflow, state."""
    report = call.service(search=False).init(offline=offline)

    def show(screen: Screen) -> None:
        screen.line(("READY", "good"), f"  LonelyCat governs {call.root(search=False)}")
        for path in report.created:
            screen.line(("created ", "add"), path, indent=2)
        for path in report.kept:
            screen.line(("kept    ", "dim"), path, indent=2)
        if report.summary:
            screen.line(("the policy", "title"))
            screen.lines(report.summary, indent=2)
        screen.line(
            ("what now: ", "title"),
            f"read {report.policy_path}; let the agent work in a clone; then: "
            "git -C CLONE diff | lonelycat check --patch - --intent TEXT",
        )

    facts = {
        "workspace": str(call.root(search=False)),
        "created": list(report.created),
        "kept": list(report.kept),
        "policy_path": str(report.policy_path),
        "summary": list(report.summary),
    }
    return Report(Exit.DONE, facts, show)
