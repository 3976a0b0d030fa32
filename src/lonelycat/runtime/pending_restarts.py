"""Restarts that a rollback or a recovery owed and could not do: done before anything else may count as a success.

Invariant: a service stays due until it was seen to restart, whatever was tried in between and whoever tries next.
"""

from __future__ import annotations

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import LonelyCatError, RefusedError
from lonelycat.executor.execution_lock import HeldLock
from lonelycat.governance.policy import Policy
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.checking import ServiceChecks
from lonelycat.runtime.steps import ExecutionContext, as_lonelycat_error


def do_pending_restarts(wiring: Wiring, held: HeldLock, context: ExecutionContext, policy: Policy) -> tuple[str, ...]:
    """Restart every service that is due, within the time of a rollback; return which.

    Raises:
        RefusedError: ``RESTART_PENDING`` naming those that still cannot be restarted.
    """
    due = [restart.service for restart in wiring.records.pending_restarts()]
    if not due:
        return ()
    failed: dict[str, str] = {}
    checks = ServiceChecks(wiring, context, policy, held.for_children)
    with context.rollback_time(policy.executor.constraints.max_rollback_time):
        for service in checks.in_order(due):
            try:
                checks.restart_again(service, "pending.restart")
            except (LonelyCatError, OSError) as error:
                failed[service] = as_lonelycat_error(error).message
            else:
                wiring.records.restart_done(service)
    if failed:
        why = "; ".join(f"{service}: {message}" for service, message in failed.items())
        raise RefusedError(
            "RESTART_PENDING",
            f"a restart that an earlier rollback owes cannot be done: {why}",
            "Mend the service, then run `lonelycat recover`; nothing executes before it was restarted.",
        )
    return tuple(due)


def placeholder_context(wiring: Wiring, execution_id: str, plan: ChangePlan) -> ExecutionContext:
    """Return a context for restarts and checks that belong to no execution of this process.

    They need one to time their steps in; which change it is about has no part in a restart.
    """
    changeset = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("restart", b"")])
    return ExecutionContext(execution_id, plan, changeset, wiring.clock)
