"""Whose transaction it is: what its journal holds for whoever has to record how it ended.

Invariant: what was read is what an executor wrote for this very execution, or it is ``JOURNAL_DAMAGED`` before recovery
touches a file: what cannot be recorded afterwards must not be taken back either.
"""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from lonelycat.changes.digest import canonical_json
from lonelycat.changes.model import Hash, Instant, Strict, WorkspacePaths, as_tuple
from lonelycat.changes.paths import all_to_wire
from lonelycat.changes.plan import ChangePlan, Identifier
from lonelycat.clock import isoformat
from lonelycat.errors import PathError
from lonelycat.executor.journal import damaged
from lonelycat.records.execution import ExecutionResult

_NOT_SO = (ValueError, PathError, OverflowError)
"""What a field of another form, an impossible path, and what cannot be recorded raise."""

Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class TransactionIdentity(Strict):
    """What recovery needs to record an execution whose process died.

    Attributes:
        approvals: ids of those that it uses up.
        ttl_seconds: how long a completed result answers for a repeat.
        healthy_before: names of the health checks that passed before the change.
    """

    execution_id: Identifier
    plan: ChangePlan
    changeset_id: str
    checksum: Hash
    decision_id: str
    approvals: Texts
    ttl_seconds: Annotated[int, Field(ge=0)]
    started_at: Instant
    files_changed: WorkspacePaths
    healthy_before: Texts


def read_identity(identity: dict[str, object], execution_id: str) -> TransactionIdentity:
    """Return the identity that the journal of ``execution_id`` holds.

    Raises:
        StateError: ``JOURNAL_DAMAGED``.
    """
    try:
        found = TransactionIdentity.model_validate(identity)
        _check_recordable(found, {}, found.started_at)
    except _NOT_SO as error:
        raise damaged(f"does not say whose it is: {_why(error)}") from error
    if found.execution_id != execution_id:
        raise damaged("is that of another execution")
    return found


def read_result(committed: dict[str, object], execution_id: str) -> ExecutionResult:
    """Return the result that the commit point of ``execution_id`` holds.

    Raises:
        StateError: ``JOURNAL_DAMAGED``.
    """
    try:
        found = ExecutionResult.model_validate(committed.get("result"))
        moments = (found.started_at, found.finished_at, *(step.started_at for step in found.steps))
        _check_recordable(found, {"files_changed": all_to_wire(found.files_changed)}, *moments)
    except _NOT_SO as error:
        raise damaged(f"does not say how it ended: {_why(error)}") from error
    if found.execution_id != execution_id:
        raise damaged("holds the result of another execution")
    return found


def _check_recordable(found: Strict, wire: dict[str, object], *moments: datetime) -> None:
    """Check that the records can hold it: text and numbers as canonical JSON has them, times that can be told.

    Args:
        wire: fields in the form in which they are recorded, where JSON has another.

    Raises:
        ValueError, OverflowError: they cannot.
    """
    canonical_json({**found.model_dump(mode="json", exclude=set(wire)), **wire})
    for moment in moments:
        isoformat(moment)


def _why(error: Exception) -> str:
    if isinstance(error, PathError):
        return error.message
    if not isinstance(error, ValidationError):
        return "it holds a text, a number or a time that cannot be recorded"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
