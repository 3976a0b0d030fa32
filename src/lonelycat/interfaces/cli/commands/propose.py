"""``lonelycat propose``: store a change and have it judged."""

from __future__ import annotations

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import judgement_report
from lonelycat.interfaces.cli.options import ChangeSetFile, Git, Intent, Patch, PlanFile, ProposedBy, change_request
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    patch: Patch = None,
    git: Git = None,
    changeset: ChangeSetFile = None,
    plan: PlanFile = None,
    intent: Intent = None,
    by: ProposedBy = None,
) -> Report:
    """Store a change and have it judged; prints the plan's id and the verdict."""
    request = change_request(patch, git, changeset, plan, intent, by)
    return judgement_report(call.service().propose(request))
