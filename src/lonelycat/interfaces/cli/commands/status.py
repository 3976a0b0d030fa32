"""``lonelycat status``: what is going on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from lonelycat.changes.paths import to_wire
from lonelycat.clock import isoformat
from lonelycat.interfaces.cli.executions import intents_of
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import proposal_facts
from lonelycat.interfaces.cli.keeping import confirmation_facts
from lonelycat.interfaces.cli.render.history import show_status
from lonelycat.interfaces.cli.report import Report

if TYPE_CHECKING:
    from lonelycat.runtime.quarantined import Quarantined


def command(call: Invocation) -> Report:
    """Show what runs, what waits, and what happened last."""
    service = call.service()
    report = service.status()
    intents, reverted = intents_of(service, report.recent), service.reverted_among(report.recent)
    facts: dict[str, object] = {
        "initialised": report.initialised,
        "running": None if report.holder is None else asdict(report.holder),
        "frozen": None
        if report.frozen is None
        else {
            **asdict(report.frozen),
            "frozen_at": report.frozen.frozen_at.isoformat(),
        },
        "awaiting_confirmation": confirmation_facts(report.awaiting_confirmation),
        "pending_restarts": [asdict(item) for item in report.pending_restarts],
        "unfinished": list(report.unfinished),
        "unproven": list(report.unproven),
        "quarantined": [quarantined_facts(item) for item in report.quarantined],
        "awaiting_approval": [proposal_facts(item) for item in report.awaiting_approval],
        "approved": [proposal_facts(item) for item in report.approved],
        "void": [proposal_facts(item) for item in report.void],
        "not_listed": dict(report.not_listed),
        "recent": [
            {**row.result.model_dump(mode="json"), "reverted_by": reverted.get(row.result.execution_id)}
            for row in report.recent
        ],
    }
    return Report(Exit.DONE, facts, lambda screen: show_status(screen, report, intents, reverted))


def quarantined_facts(item: Quarantined) -> dict[str, object]:
    """Return what a program wants to know of one thing in quarantine, JSON-compatible."""
    return {
        **asdict(item),
        "place": to_wire(item.place),
        "path": None if item.path is None else to_wire(item.path),
        "kept_at": isoformat(item.kept_at),
        "what_to_do": item.what_to_do,
    }
