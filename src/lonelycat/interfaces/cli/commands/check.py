"""``lonelycat check``: the judgement of ``propose``, storing nothing."""

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
    """Judge a change and store nothing."""
    request = change_request(patch, git, changeset, plan, intent, by)
    return judgement_report(call.service().check(request))
