"""``lonelycat status``: what is going on."""

from __future__ import annotations

from dataclasses import asdict

from lonelycat.interfaces.cli.executions import intents_of
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import proposal_facts
from lonelycat.interfaces.cli.render.history import show_status
from lonelycat.interfaces.cli.report import Report


def command(call: Invocation) -> Report:
    """Show what runs, what waits, and what happened last."""
    service = call.service()
    report = service.status()
    intents = intents_of(service, report.recent)
    facts: dict[str, object] = {
        "initialised": report.initialised,
        "running": None if report.holder is None else asdict(report.holder),
        "frozen": None
        if report.frozen is None
        else {
            **asdict(report.frozen),
            "frozen_at": report.frozen.frozen_at.isoformat(),
        },
        "unfinished": list(report.unfinished),
        "quarantined": list(report.quarantined),
        "awaiting_approval": [proposal_facts(item) for item in report.awaiting_approval],
        "approved": [proposal_facts(item) for item in report.approved],
        "recent": [row.result.model_dump(mode="json") for row in report.recent],
    }
    return Report(Exit.DONE, facts, lambda screen: show_status(screen, report, intents))
