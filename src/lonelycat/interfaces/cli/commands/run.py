"""``lonelycat run``: ``propose`` and ``execute`` in one."""

from __future__ import annotations

from lonelycat.interfaces.cli.executions import execute_judged
from lonelycat.interfaces.cli.invocation import Invocation
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
    return execute_judged(call, service, judgement, lock_timeout=lock_timeout)
