"""``lonelycat check``: the judgement of ``propose``, storing nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.errors import InputError
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import judgement_report
from lonelycat.interfaces.cli.options import ChangeSetFile, Git, Intent, Patch, PlanFile, ProposedBy, change_request
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    plan_id: Annotated[
        str | None, typer.Argument(metavar="PLAN_ID", help="A stored plan, judged as of now; alone.")
    ] = None,
    patch: Patch = None,
    git: Git = None,
    changeset: ChangeSetFile = None,
    plan: PlanFile = None,
    intent: Intent = None,
    by: ProposedBy = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Also run its verification on it, in a sandbox; touches nothing.")
    ] = False,
) -> Report:
    """Judge a change and store nothing."""
    if plan_id is not None:
        if any(given is not None for given in (patch, git, changeset, plan, intent, by)):
            raise InputError("USAGE", "a stored plan brings its own change", "Name the plan, or a change, not both.")
        return judgement_report(call.service().check_again(plan_id, rehearse=rehearse), kept_as=plan_id)
    request = change_request(patch, git, changeset, plan, intent, by)
    return judgement_report(call.service().check(request, rehearse=rehearse))
