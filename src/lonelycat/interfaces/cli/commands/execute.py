"""``lonelycat execute``: run an allowed or approved plan."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.executions import execute
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.options import LockTimeout, PlanId
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    plan_id: PlanId,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff and the steps; touch nothing.")] = False,
    lock_timeout: LockTimeout = None,
) -> Report:
    """Execute an allowed or approved plan: apply, restart, verify, check health, keep or roll back."""
    return execute(call, call.service(), plan_id, dry_run=dry_run, lock_timeout=lock_timeout)
