"""``lonelycat reject``: a person's no."""

from __future__ import annotations

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.options import Note, Person, PlanId
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen


def command(call: Invocation, plan_id: PlanId, by: Person, note: Note = "") -> Report:
    """Reject a plan for good; it can never be executed."""
    proposal = call.service().reject(plan_id, by=by, note=note)

    def show(screen: Screen) -> None:
        screen.line(("REJECTED", "bad"), f"  {proposal.plan.intent}")
        screen.line((f"{proposal.plan.id}   rejected by {by}", "dim"), indent=2)
        screen.line(("Your files were not touched.", "dim"), indent=2)

    facts = {"plan_id": proposal.plan.id, "status": str(proposal.status), "rejected_by": by, "note": note}
    return Report(Exit.DONE, facts, show, message=f"{proposal.plan.id} is rejected")
