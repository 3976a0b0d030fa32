"""Revert: the inverse of a completed execution, as a change set like any other."""

from __future__ import annotations

from pydantic import ValidationError

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange, checksum_of
from lonelycat.changes.plan import ChangePlan
from lonelycat.changes.strict_json import loads
from lonelycat.errors import InputError, LonelyCatError, RefusedError
from lonelycat.lifecycle import Status
from lonelycat.records.receipts import verify_receipt
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.evidence import INVERSE


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
    changes = inverse_changes(wiring, execution_id)
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


def is_revert(wiring: Wiring, plan: ChangePlan, changeset: ChangeSet) -> bool:
    """Tell whether ``changeset`` is exactly what takes a completed execution back, whoever made it."""
    if plan.parent_execution_id is None or not wiring.has_records:
        return False
    row = wiring.records.execution(plan.parent_execution_id)
    if row is None or not row.intact or row.result.status is not Status.COMPLETED:
        return False
    try:
        return checksum_of(inverse_changes(wiring, plan.parent_execution_id)) == changeset.checksum
    except (LonelyCatError, OSError):  # not known to be one
        return False


def blobs_of_inverse(wiring: Wiring, execution_id: str) -> set[str]:
    """Return the hashes of the blobs that a revert of ``execution_id`` needs."""
    contents = [change.content for change in inverse_changes(wiring, execution_id)]
    return {content.blob for content in contents if isinstance(content, BlobRef)}


def inverse_changes(wiring: Wiring, execution_id: str) -> list[FileChange]:
    """Return the changes that take those of an execution back, as its artifacts hold them.

    Raises:
        InputError: ``ARTIFACT_MISSING``, ``INVERSE_DAMAGED``.
    """
    try:
        document = loads(wiring.records.artifacts(execution_id).read(INVERSE), what=INVERSE)
        return [FileChange.model_validate(change) for change in document["changes"]]
    except (ValidationError, KeyError, TypeError) as error:
        raise InputError(
            "INVERSE_DAMAGED", f"the inverse of {execution_id} cannot be read", "Revert by hand; see `lonelycat diff`."
        ) from error
