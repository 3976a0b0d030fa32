"""``lonelycat show``: one thing whole, by any id."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import proposal_facts
from lonelycat.interfaces.cli.keeping import confirmation_facts
from lonelycat.interfaces.cli.render.history import show_whole
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    id: Annotated[str, typer.Argument(metavar="ID", help="A plan, change set, decision, approval or execution.")],
) -> Report:
    """Show one thing whole, by any id."""
    report = call.service().show(id)
    facts: dict[str, object] = {}
    if report.proposal is not None:
        facts.update(proposal_facts(report.proposal), proposal_status=str(report.proposal.status), void=report.void)
    if report.execution is not None:
        result = report.execution.result.model_dump(mode="json")
        for name in ("message", "hint"):
            result[f"execution_{name}"] = result.pop(name)
        facts.update(result, intact=report.execution.intact, edited=list(report.edited))
        done, proposed = report.reverts.done, report.reverts.proposed
        facts["reverted_by"] = None if done is None else done.result.execution_id
        facts["reverts_proposed"] = [proposal.plan.id for proposal in proposed]
        facts["events"] = list(report.events)
        facts["logs"] = {name: data.decode("utf-8", "backslashreplace") for name, data in report.logs}
    if report.awaiting_confirmation is not None:
        facts["awaiting_confirmation"] = confirmation_facts(report.awaiting_confirmation)
        facts.update(execution_id=report.awaiting_confirmation.execution_id, status="awaiting_confirmation")
        facts["events"] = list(report.events)
    if report.running is not None:
        facts.update(execution_id=report.running.execution_id, running=asdict(report.running))
        facts["events"] = list(report.events)
    if report.unfinished is not None:
        facts.update(execution_id=report.unfinished, unfinished=True, events=list(report.events))
    return Report(Exit.DONE, facts, lambda screen: show_whole(screen, report))
