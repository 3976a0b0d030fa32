"""Recovery as the façade sees it: what a dead executor left is finished or taken back, restarted where need be, and
recorded like any other end of an execution.

Invariant: the files need nothing but the journal. Without a database or a policy they are taken back all the same; then
the error is raised, and what could not be recorded waits in its transaction directory for the next recovery.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from lonelycat.changes.conflict import Conflict
from lonelycat.errors import LonelyCatError, PolicyError, RefusedError, StateError, StepFailedError
from lonelycat.executor.execution_lock import HeldLock
from lonelycat.executor.recovery import Recovered, Recovery, RecoveryOutcome, pending_transactions
from lonelycat.lifecycle import Status
from lonelycat.records.entries import AuditEvent, AuditType, PendingRestart
from lonelycat.records.execution import ExecutionResult
from lonelycat.runtime import runbook
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.conflicts import Explainer, left_alone
from lonelycat.runtime.evidence import described_changes
from lonelycat.runtime.inverses import blobs_of_inverse
from lonelycat.runtime.pending_restarts import placeholder_context
from lonelycat.runtime.steps import ExecutionContext
from lonelycat.runtime.transaction_identity import TransactionIdentity, read_identity, read_result

_STATUS = {
    RecoveryOutcome.COMMITTED: Status.COMPLETED,
    RecoveryOutcome.UNDONE: Status.ROLLED_BACK,
    RecoveryOutcome.CONFLICT: Status.CONFLICT,
    RecoveryOutcome.FAILED: Status.ROLLBACK_FAILED,
}
_MESSAGE = {
    Status.COMPLETED: "the executor died after the commit point; recovery recorded the kept change",
    Status.ROLLED_BACK: "the executor died before the commit point; recovery took the change back",
    Status.CONFLICT: "the executor died; recovery left alone what somebody else had changed meanwhile",
    Status.ROLLBACK_FAILED: "the executor died, and recovery could not take its change back",
}
_STILL_FAILED = "recovery could not complete the rollback either"


def recover_workspace(wiring: Wiring, held: HeldLock, context: ExecutionContext | None = None) -> list[Recovered]:
    """Deal with every unfinished transaction; call it under the lock.

    Args:
        context: an execution that recovers as its first step, or None.

    Returns:
        What was found, in order.
    """
    if not pending_transactions(wiring.filesystem, wiring.settings.workspace):
        return []
    if context is None:
        return _recover(wiring, held)
    with context.step("recover") as step:
        found = _recover(wiring, held)
        step.message = "; ".join(f"{item.execution_id}: {item.outcome}" for item in found)
    return found


def _recover(wiring: Wiring, held: HeldLock) -> list[Recovered]:
    def was_recorded(execution_id: str) -> bool:
        try:
            row = wiring.records.execution(execution_id)
        except StateError:  # the journal alone decides; recording what came of it raises this again
            return False
        return row is not None and row.result.status is Status.COMPLETED

    recovery = Recovery(
        wiring.filesystem,
        wiring.settings.workspace,
        held.fence,
        chunk=wiring.settings.limits.chunk_bytes,
        was_recorded=was_recorded,
        record=_recorder(wiring, held),
        locked_root=held.root,
        check=_check,
    )
    return list(recovery.run())


def _check(execution_id: str, identity: dict[str, object], committed: dict[str, object] | None) -> None:
    read_identity(identity, execution_id)
    if committed is not None:
        read_result(committed, execution_id)


def _recorder(wiring: Wiring, held: HeldLock) -> Callable[[Recovered], str | None]:
    def record(found: Recovered) -> str | None:
        identity = read_identity(found.identity, found.execution_id) if found.identity else None
        problems, due = ([], []) if identity is None else _prove(wiring, held, found, identity)
        outcome = RecoveryOutcome.FAILED if problems else found.outcome
        event = AuditEvent(
            AuditType.RECOVERY_DONE,
            "lonelycat",
            {
                "execution_id": found.execution_id,
                "outcome": str(outcome),
                "message": "; ".join([found.message, *problems]).strip("; "),
            },
        )
        if identity is None:
            wiring.records.audit(event)
            if found.outcome is RecoveryOutcome.DAMAGED:
                wiring.records.freeze(found.message, found.execution_id)
                return None
            _complete_receipt(wiring, found)  # it may have died while it recorded a refusal
            return None
        result = _result(wiring, held, found, identity, problems)
        if _ended_already(wiring, result):
            wiring.records.audit(event)
            wiring.records.note_pending_restarts(due)
            why = [_STILL_FAILED, *_texts((found.undo or {}).get("problems", [])), *problems]
            result = result.model_copy(update={"message": "; ".join(why)})
        else:
            wiring.records.finish_execution(
                result,
                plan=identity.plan,
                decision_id=identity.decision_id,
                consumed_approvals=identity.approvals if result.success else (),
                ttl_seconds=identity.ttl_seconds,
                events=[event],
                blobs=blobs_of_inverse(wiring.records, found.execution_id) if result.success else (),
                receipt=_can_have_receipt(wiring, result),
                pending_restarts=due,
            )
        _complete_receipt(wiring, found)
        if result.status is not Status.ROLLBACK_FAILED:
            return None
        wiring.records.freeze(result.message, found.execution_id)
        return result.message

    return record


def _can_have_receipt(wiring: Wiring, result: ExecutionResult) -> bool:
    """Tell whether there is something to state: the artifacts of one that died early need not have been durable."""
    known = wiring.records.find_plan_id(result.plan_id) is not None
    return known and wiring.records.artifacts(result.execution_id).exists()


def _complete_receipt(wiring: Wiring, found: Recovered) -> None:
    if wiring.records.execution(found.execution_id) is None:
        return
    with suppress(RefusedError):  # an edited proposal, which is on record by then, must not hold up recovery
        wiring.records.write_missing_receipt(found.execution_id)


def _ended_already(wiring: Wiring, result: ExecutionResult) -> bool:
    """Tell whether a living executor recorded how it failed and only could not clean up; that record stands."""
    row = wiring.records.execution(result.execution_id)
    settled = (Status.REJECTED, Status.CONFLICT, Status.ROLLED_BACK, Status.ROLLBACK_FAILED)
    return not result.success and row is not None and row.result.status in settled


def _prove(
    wiring: Wiring, held: HeldLock, found: Recovered, identity: TransactionIdentity
) -> tuple[list[str], list[PendingRestart]]:
    """Restart what had been restarted with the change that was taken back, and ask for the health of before it.

    Returns:
        What is worse than before the change, in words, and the restarts that are still due.
    """
    if found.outcome is RecoveryOutcome.COMMITTED:
        return [], []
    from lonelycat.runtime.checking import ServiceChecks

    try:
        policy = wiring.policy().loaded.policy
    except PolicyError as error:
        if not found.restarts and not identity.healthy_before:
            return [], []
        why = f"services and health are not known to be as before: {error.message}"
        return [why], [PendingRestart(name, found.execution_id, error.message) for name in found.restarts]
    context = placeholder_context(wiring, found.execution_id, identity.plan)
    context.begin_rollback(policy.executor.constraints.max_rollback_time)
    checks = ServiceChecks(wiring, context, policy, held.for_children)
    checks.healthy_before = set(identity.healthy_before) & set(policy.health_checks)
    # The dead executor's marks are gone; these say which checks go by one, and so cannot tell readiness.
    checks.take_marks(sorted(checks.healthy_before))
    aftermath = checks.after_rollback(found.restarts, identity.plan.health_checks)
    for service in set(found.restarts) - set(aftermath.due):
        wiring.records.restart_done(service)
    due = [PendingRestart(name, found.execution_id, why) for name, why in aftermath.due.items()]
    return list(aftermath.problems), due


def _result(
    wiring: Wiring, held: HeldLock, found: Recovered, identity: TransactionIdentity, problems: list[str]
) -> ExecutionResult:
    if found.committed is not None:
        result = read_result(found.committed, found.execution_id)
        return result.model_copy(update={"warnings": (*result.warnings, _MESSAGE[Status.COMPLETED])})
    status = Status.ROLLBACK_FAILED if problems else _STATUS[found.outcome]
    undo_problems = _texts((found.undo or {}).get("problems", []))
    why = "; ".join([_MESSAGE[status], *undo_problems, *problems])
    error = None if status is Status.COMPLETED else StepFailedError("EXECUTOR_DIED", why)
    conflicts, quarantined = _conflicts(wiring, found)
    undo = found.undo or {}
    return ExecutionResult(
        success=status is Status.COMPLETED,
        status=status,
        execution_id=found.execution_id,
        plan_id=identity.plan.id,
        changeset_id=identity.changeset_id,
        checksum=identity.checksum,
        error_code=error.code if error else None,
        message=why,
        hint=_hint(status),
        files_changed=identity.files_changed,
        warnings=tuple(f"{path}: kept in {place}" for path, place in (*found.kept, *quarantined)),
        conflicts=conflicts,
        started_at=identity.started_at,
        pre_image=found.pre_image,
        rollback_image=str(undo["tree_digest"]) if undo.get("tree_digest") else None,
        finished_at=wiring.clock.now(),
        fence=held.fence,
    )


def _hint(status: Status) -> str:
    if status is Status.ROLLBACK_FAILED:
        return f"The workspace is frozen; see `lonelycat doctor`, and {runbook.FROZEN}."
    return "" if status is Status.COMPLETED else "Execute the plan again; nothing of the interrupted attempt is left."


def _conflicts(wiring: Wiring, found: Recovered) -> tuple[tuple[Conflict, ...], list[tuple[str, str]]]:
    """Return what the undo left alone, explained as far as the artifacts still tell it, and what it quarantined."""
    undo = found.undo or {}
    pairs = undo.get("quarantined", [])
    quarantined = [(str(path), str(place)) for path, place in pairs] if isinstance(pairs, list) else []
    paths = _texts(undo.get("conflicts", []))
    with suppress(LonelyCatError, OSError, ValueError):
        changes = described_changes(wiring, found.execution_id) if paths else ()
        left = left_alone(wiring, changes, paths, quarantined, "recovery")
        return Explainer(wiring, changes).explain(left), quarantined
    return (), quarantined


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []
