"""``lonelycat propose``: store a change and have it judged."""

from __future__ import annotations

from lonelycat.errors import InputError
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import judgement_report
from lonelycat.interfaces.cli.options import (
    ChangeSetFile,
    Git,
    Intent,
    Patch,
    PlanFile,
    ProposedBy,
    Rebase,
    change_request,
)
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    patch: Patch = None,
    git: Git = None,
    changeset: ChangeSetFile = None,
    plan: PlanFile = None,
    rebase: Rebase = None,
    intent: Intent = None,
    by: ProposedBy = None,
) -> Report:
    """Store a change and have it judged; prints the plan's id and the verdict."""
    if rebase is not None:
        if any(given is not None for given in (patch, git, changeset, plan, intent, by)):
            raise InputError(
                "USAGE",
                "--rebase takes change, intent and proposer from the plan that it names",
                "Leave the other options out, or propose the change anew without --rebase.",
            )
        from lonelycat.interfaces.cli.rebasing import rebase_report

        return rebase_report(call.service().rebase(rebase))
    request = change_request(patch, git, changeset, plan, intent, by)
    return judgement_report(call.service().propose(request))
