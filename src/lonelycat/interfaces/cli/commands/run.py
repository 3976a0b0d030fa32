"""``lonelycat run``: ``propose`` and ``execute`` in one."""

from __future__ import annotations

from lonelycat.interfaces.cli.executions import execute
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import is_allowed, judgement_facts, judgement_report
from lonelycat.interfaces.cli.options import (
    ChangeSetFile,
    Git,
    Intent,
    LockTimeout,
    Patch,
    PlanFile,
    ProposedBy,
    change_request,
)
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    patch: Patch = None,
    git: Git = None,
    changeset: ChangeSetFile = None,
    plan: PlanFile = None,
    intent: Intent = None,
    by: ProposedBy = None,
    lock_timeout: LockTimeout = None,
) -> Report:
    """Propose a change and, if the policy allows it, execute it."""
    service = call.service()
    judgement = service.propose(change_request(patch, git, changeset, plan, intent, by))
    if not is_allowed(judgement):
        return judgement_report(judgement)
    if not call.json_output:
        from lonelycat.interfaces.cli.render.decision import show_decision

        show_decision(call.out, judgement.plan, judgement.changeset, judgement.decision)
        call.out.line(("steps", "title"))
    facts = judgement_facts(judgement)
    return execute(call, service, judgement.plan.id, lock_timeout=lock_timeout, facts=facts)
