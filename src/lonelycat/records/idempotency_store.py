"""The idempotency records: what the newest execution of a plan and checksum came to.

Invariant: a record is sealed by the gate. One that was edited is refused; it is never taken for an answer, because
"already done" in a forged record would make a change silently not happen.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, bindparam, delete, select

from lonelycat.changes.digest import canonical_json
from lonelycat.changes.paths import all_to_wire, from_wire
from lonelycat.clock import isoformat
from lonelycat.errors import LonelyCatError, RefusedError
from lonelycat.governance.signing import Signer
from lonelycat.lifecycle import Status
from lonelycat.records.execution import ExecutionRecord, ExecutionResult
from lonelycat.records.seal import digest_of, is_sealed, seal
from lonelycat.records.tables import idempotency

TABLE = "idempotency"
_OF = (idempotency.c.plan_id == bindparam("plan"), idempotency.c.checksum == bindparam("sum"))
_SELECT, _DELETE, _INSERT = select(idempotency).where(*_OF), delete(idempotency).where(*_OF), idempotency.insert()


def record_of(result: ExecutionResult, ttl_seconds: int) -> ExecutionRecord | None:
    """Return the record that ``result`` leaves, or None.

    A refusal before anything was touched, a lock time-out, a dry run and a cached answer leave none: they must not
    take the place of what an execution came to.
    """
    untouched = result.status is Status.REJECTED or result.error_code == "LOCK_TIMEOUT"
    if untouched or result.dry_run or result.cached:
        return None
    return ExecutionRecord(
        execution_id=result.execution_id,
        plan_id=result.plan_id,
        changeset_id=result.changeset_id,
        checksum=result.checksum,
        status="completed" if result.success else "failed",
        executed_at=result.finished_at,
        files_changed=result.files_changed,
        verification_passed=result.verification_passed,
        message=result.message,
        ttl_seconds=ttl_seconds,
    )


def put(connection: Connection, signer: Signer, record: ExecutionRecord) -> str:
    """Write ``record`` in place of an earlier one of the same plan and checksum, and return its digest."""
    told = {"files_changed": all_to_wire(record.files_changed), "executed_at": isoformat(record.executed_at)}
    body = {**record.model_dump(mode="json"), **told}
    document = canonical_json(body).decode("utf-8")
    digest = _digest(record.plan_id, record.checksum, record.execution_id, record.status, document)
    connection.execute(_DELETE, {"plan": record.plan_id, "sum": record.checksum})
    connection.execute(
        _INSERT,
        {
            "plan_id": record.plan_id,
            "checksum": record.checksum,
            "execution_id": record.execution_id,
            "status": record.status,
            "document": document,
            "digest": digest,
            "seal": seal(signer, TABLE, _key(record.plan_id, record.checksum), digest),
        },
    )
    return digest


def get(connection: Connection, public_key: str, plan_id: str, checksum: str) -> ExecutionRecord | None:
    """Return the record of a plan and checksum, or None.

    Raises:
        RefusedError: ``IDEMPOTENCY_TAMPERED``.
    """
    row = connection.execute(_SELECT, {"plan": plan_id, "sum": checksum}).first()
    if row is None:
        return None
    try:
        digest = _digest(row.plan_id, row.checksum, row.execution_id, row.status, row.document)
        body = json.loads(row.document)
        record = ExecutionRecord.model_validate(
            {**body, "files_changed": [from_wire(path) for path in body["files_changed"]]}
        )
        same = (record.plan_id, record.checksum, record.status, record.execution_id) == (
            plan_id,
            checksum,
            row.status,
            row.execution_id,
        )
        intact = same and is_sealed(public_key, TABLE, _key(plan_id, checksum), digest, row.seal)
    except (ValueError, TypeError, KeyError, AttributeError, LonelyCatError):
        intact = False
    if not intact:
        raise RefusedError(
            "IDEMPOTENCY_TAMPERED",
            f"the recorded result of {plan_id} was edited in the database",
            "Run `lonelycat audit verify`, then restore the database from a backup.",
        )
    return record


def current_digest(row: tuple[str, str, str, str, str]) -> str:
    """Return the digest of a stored row: plan id, checksum, execution id, status, document."""
    return _digest(*row)


def _digest(plan_id: str, checksum: str, execution_id: str, status: str, document: str) -> str:
    return digest_of(plan_id, checksum, execution_id, status, document)


def _key(plan_id: str, checksum: str) -> str:
    return f"{plan_id} {checksum}"
