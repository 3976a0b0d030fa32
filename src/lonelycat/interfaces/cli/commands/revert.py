"""``lonelycat revert``: take an execution back, on the same path as any change."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.executions import execute_judged
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import judgement_report
from lonelycat.interfaces.cli.options import Intent, LockTimeout
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION_ID", help="The execution to undo.")],
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who reverts; your user name if not.")] = None,
    intent: Intent = None,
    propose_only: Annotated[
        bool, typer.Option("--propose-only", help="Keep the inverse as a proposal; do not execute it.")
    ] = False,
    lock_timeout: LockTimeout = None,
) -> Report:
    """Propose the inverse of an execution and, if the policy allows it, execute it."""
    service = call.service()
    judgement = service.revert(execution_id, by=by or service.settings.user, intent=intent)
    if propose_only:
        return judgement_report(judgement)
    return execute_judged(call, service, judgement, lock_timeout=lock_timeout)
