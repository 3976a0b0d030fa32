"""The inverse that an execution left behind: the changes that take it back."""

from __future__ import annotations

from pydantic import ValidationError

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange, checksum_of
from lonelycat.changes.plan import ChangePlan
from lonelycat.changes.strict_json import loads
from lonelycat.errors import InputError, LonelyCatError
from lonelycat.lifecycle import Status
from lonelycat.records.store import Records

INVERSE = "inverse.json"
"""The artifact that holds it."""


def inverse_changes(records: Records, execution_id: str) -> list[FileChange]:
    """Return the changes that take ``execution_id`` back.

    Raises:
        InputError: ``ARTIFACT_MISSING``, ``INVERSE_DAMAGED``.
    """
    try:
        document = loads(records.artifacts(execution_id).read(INVERSE), what=INVERSE)
        return [FileChange.model_validate(change) for change in document["changes"]]
    except (ValidationError, KeyError, TypeError) as error:
        raise InputError(
            "INVERSE_DAMAGED",
            f"the inverse of {execution_id} cannot be read",
            f"Revert by hand; see `lonelycat diff {execution_id}`.",
        ) from error


def is_revert(records: Records, plan: ChangePlan, changeset: ChangeSet) -> bool:
    """Tell whether ``changeset`` is exactly what takes a completed execution back, whoever made it."""
    if plan.parent_execution_id is None:
        return False
    row = records.execution(plan.parent_execution_id)
    if row is None or not row.intact or row.result.status is not Status.COMPLETED:
        return False
    try:
        return checksum_of(inverse_changes(records, plan.parent_execution_id)) == changeset.checksum
    except (LonelyCatError, OSError):  # not known to be one
        return False


def blobs_of_inverse(records: Records, execution_id: str) -> set[str]:
    """Return the hashes of the blobs that a revert of ``execution_id`` needs."""
    contents = [change.content for change in inverse_changes(records, execution_id)]
    return {content.blob for content in contents if isinstance(content, BlobRef)}
