"""``lonelycat approve``: a person's yes, given at a terminal or with an approver's key."""

from __future__ import annotations

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.options import ApproverKey, Note, Person, PlanId
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    plan_id: PlanId,
    by: Person,
    note: Note = "",
    key: ApproverKey = None,
) -> Report:
    """Approve a plan that waits for a person; the proposer cannot."""
    from lonelycat.interfaces.cli.approving import approve

    return approve(call, plan_id, by=by, note=note, key=key)
