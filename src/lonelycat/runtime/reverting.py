"""Revert: the inverse of a completed execution, as a change set like any other."""

from __future__ import annotations

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import InputError, RefusedError
from lonelycat.lifecycle import Status
from lonelycat.records.receipts import verify_receipt
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.inverses import inverse_changes


def inverse_of(wiring: Wiring, execution_id: str, *, by: str, intent: str | None) -> tuple[ChangePlan, ChangeSet]:
    """Return the plan and change set that take a completed execution back.

    Raises:
        InputError: ``EXECUTION_UNKNOWN``, ``NOT_COMPLETED``, ``ARTIFACT_MISSING``, ``INVERSE_DAMAGED``.
        RefusedError: ``INVERSE_TAMPERED``.
    """
    row = wiring.records.execution(execution_id)
    if row is None:
        raise InputError("EXECUTION_UNKNOWN", f"no execution {execution_id} is known here", "See `lonelycat log`.")
    if row.result.status is not Status.COMPLETED:
        raise InputError(
            "NOT_COMPLETED",
            f"{execution_id} ended as {row.result.status}; nothing of it is in place",
            "Only a completed execution can be reverted.",
        )
    problems = verify_receipt(wiring.records.artifacts(execution_id), wiring.signer.public_key)
    if problems or not row.intact:
        raise RefusedError(
            "INVERSE_TAMPERED",
            f"what {execution_id} left behind is not as it was signed: {'; '.join(problems) or 'its history row'}",
            "Revert by hand; `lonelycat audit verify` says what was edited.",
        )
    changes = inverse_changes(wiring.records, execution_id)
    policy = wiring.policy()
    earlier = wiring.records.proposal(row.result.plan_id)
    what = earlier.plan.intent if earlier else execution_id
    return wiring.planner(policy).plan(
        intent=intent or f"Revert: {what}"[:2000],
        rationale=f"Takes back {execution_id}.",
        created_by=by,
        changes=changes,
        parent_execution_id=execution_id,
    )
