"""Executions and their steps in the database.

Invariants:
- A row is written once, with a digest over the whole result and the gate's seal over the digest. Only an
  ``indeterminate`` execution gets its final outcome later.
- Reading checks both: an edited row is returned with ``intact`` false, never as good.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, or_, select

from lonelycat.changes.conflict import Conflict
from lonelycat.changes.digest import canonical_json
from lonelycat.changes.paths import all_to_wire, from_wire, to_wire
from lonelycat.clock import isoformat
from lonelycat.errors import LonelyCatError
from lonelycat.governance.signing import Signer
from lonelycat.lifecycle import Status
from lonelycat.records.database import insert_rows
from lonelycat.records.entries import ExecutionRow
from lonelycat.records.execution import ExecutionResult
from lonelycat.records.redaction import redact_json, redact_text
from lonelycat.records.seal import digest_of, is_sealed, seal
from lonelycat.records.tables import blob_refs, execution_paths, executions, proposals, steps

TABLE = "executions"
_BATCH = 500
_INSERT_PATHS = (
    f"INSERT INTO {execution_paths.name} (execution_id, position, path, finished_at)"  # noqa: S608 — a constant
    " SELECT ?, key, value, ? FROM json_each(?)"
)
"""All in one statement: to go through one for each path takes twice as long."""
_HAS_PARENT = '"parent_execution_id":"'
"""Stands in the text of a plan that has a parent: few have one, and the others need not be parsed."""
_INSERT = executions.insert()
_STATUS = select(executions.c.status).where(executions.c.execution_id == bindparam("key"))
_STEP_FIELDS = ("name", "status", "started_at", "duration_seconds", "code", "message", "log")


def cleaned(result: ExecutionResult) -> ExecutionResult:
    """Return ``result`` with secrets masked in everything that is prose."""
    return result.model_copy(
        update={
            "message": redact_text(result.message),
            "hint": redact_text(result.hint),
            "warnings": tuple(redact_text(warning) for warning in result.warnings),
            "steps": tuple(s.model_copy(update={"message": redact_text(s.message)}) for s in result.steps),
            "conflicts": tuple(_cleaned_conflict(conflict) for conflict in result.conflicts),
        }
    )


def _cleaned_conflict(conflict: Conflict) -> Conflict:
    return Conflict.model_validate(redact_json(conflict.model_dump(mode="json")))


def insert(
    connection: Connection, signer: Signer, result: ExecutionResult, decision_id: str, blobs: Collection[str]
) -> str:
    """Write an execution with its steps and paths, and return its digest."""
    body = _body(result)
    step_rows = [{**{name: step[name] for name in _STEP_FIELDS}, "number": step["index"]} for step in body.pop("steps")]
    paths = body.pop("files_changed")
    digest = _digest(result.plan_id, decision_id, result.checksum, body, step_rows, paths, blobs)
    key = result.execution_id
    finished = isoformat(result.finished_at)
    connection.execute(
        _INSERT,
        {
            "execution_id": key,
            "plan_id": result.plan_id,
            "decision_id": decision_id,
            "checksum": result.checksum,
            "status": str(result.status),
            "finished_at": finished,
            "document": _text(body),
            "digest": digest,
            "seal": seal(signer, TABLE, key, digest),
        },
    )
    told = ((key, position, *row.values()) for position, row in enumerate(step_rows))
    insert_rows(connection, steps, ("execution_id", "position", *_STEP_FIELDS, "number"), told)
    connection.exec_driver_sql(_INSERT_PATHS, (key, finished, _text(paths)))
    insert_rows(connection, blob_refs, ("owner", "sha256"), ((key, blob) for blob in sorted(set(blobs))))
    return digest


def remove(connection: Connection, execution_ids: Sequence[str]) -> None:
    """Delete executions with everything that belongs to them; the audit log keeps its own."""
    for start in range(0, len(execution_ids), _BATCH):
        batch = execution_ids[start : start + _BATCH]
        for table in (steps, execution_paths, executions):
            connection.execute(delete(table).where(table.c.execution_id.in_(batch)))
        connection.execute(delete(blob_refs).where(blob_refs.c.owner.in_(batch)))


def status_of(connection: Connection, execution_id: str) -> Status | None:
    """Return the recorded outcome of an execution, or None."""
    value = connection.execute(_STATUS, {"key": execution_id}).scalar_one_or_none()
    return None if value is None else Status(value)


def last_writers(connection: Connection, paths: Collection[str] | None = None) -> dict[str, str]:
    """Return the newest completed execution of every path that one wrote, or of those in ``paths``."""
    e, p = executions, execution_paths
    rank = func.row_number().over(partition_by=p.c.path, order_by=(e.c.finished_at.desc(), e.c.execution_id.desc()))
    written = (
        select(p.c.path, e.c.execution_id, rank.label("rank"))
        .join(p, p.c.execution_id == e.c.execution_id)
        .where(e.c.status == str(Status.COMPLETED))
    )
    if paths is None:
        return _newest(connection, written)
    wanted = sorted({to_wire(path) for path in paths})
    batches = (wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH))
    return {
        path: key for batch in batches for path, key in _newest(connection, written.where(p.c.path.in_(batch))).items()
    }


def parents(connection: Connection) -> set[str]:
    """Return the executions that the plan of a completed one names as its parent, as the rows say, unchecked."""
    of_completed = (
        select(proposals.c.plan)
        .join(executions, executions.c.plan_id == proposals.c.plan_id)
        .where(executions.c.status == str(Status.COMPLETED), proposals.c.plan.contains(_HAS_PARENT, autoescape=True))
    )
    found = set()
    for plan in connection.execute(of_completed).scalars():
        with suppress(ValueError, TypeError, KeyError):  # a row that was edited beyond reading
            found.add(str(json.loads(plan)["parent_execution_id"]))
    return found


def _newest(connection: Connection, ranked: Select[Any]) -> dict[str, str]:
    rows = ranked.subquery()
    newest = select(rows.c.path, rows.c.execution_id).where(rows.c.rank == 1)
    return {from_wire(path): str(key) for path, key in connection.execute(newest)}


def query(
    *,
    execution_id: str | None = None,
    status: Status | None = None,
    plan_id: str | None = None,
    since: datetime | None = None,
    path: str | None = None,
    checksum: str | None = None,
    limit: int | None = None,
) -> Select[Any]:
    """Return the query for executions, newest first, that meet all that is given.

    Args:
        path: a file, or a directory for everything below it.
    """
    found = select(executions).order_by(executions.c.finished_at.desc(), executions.c.execution_id.desc())
    if execution_id is not None:
        found = found.where(executions.c.execution_id == execution_id)
    if status is not None:
        found = found.where(executions.c.status == str(status))
    if plan_id is not None:
        found = found.where(executions.c.plan_id == plan_id)
    if checksum is not None:
        found = found.where(executions.c.checksum == checksum)
    if since is not None:
        found = found.where(executions.c.finished_at >= isoformat(since))
    if path is not None:
        wire = to_wire(path.rstrip("/"))
        column = execution_paths.c.path
        below = or_(column == wire, and_(column > wire + "/", column < wire + "0"))
        found = found.where(executions.c.execution_id.in_(select(execution_paths.c.execution_id).where(below)))
    return found if limit is None else found.limit(limit)


def load(connection: Connection, public_key: str, rows: Iterable[Any]) -> list[ExecutionRow]:
    """Turn rows of :func:`query` into executions, with their steps and paths, each checked against its seal."""
    return [_load_one(connection, public_key, row) for row in list(rows)]


def _load_one(connection: Connection, public_key: str, row: Any) -> ExecutionRow:
    key = row.execution_id
    step_rows = [
        {name: getattr(step, name) for name in (*_STEP_FIELDS, "number")}
        for step in connection.execute(select(steps).where(steps.c.execution_id == key).order_by(steps.c.position))
    ]
    paths = list(
        connection.execute(
            select(execution_paths.c.path)
            .where(execution_paths.c.execution_id == key)
            .order_by(execution_paths.c.position)
        ).scalars()
    )
    blobs = list(connection.execute(select(blob_refs.c.sha256).where(blob_refs.c.owner == key)).scalars())
    try:
        body = json.loads(row.document)
        digest = _digest(row.plan_id, row.decision_id, row.checksum, body, step_rows, paths, blobs)
        result = ExecutionResult.model_validate(
            {
                **body,
                "steps": [{**{n: s[n] for n in _STEP_FIELDS}, "index": s["number"]} for s in step_rows],
                "files_changed": [from_wire(path) for path in paths],
            }
        )
    except (ValueError, TypeError, LonelyCatError):  # whatever an edited row makes of itself
        return ExecutionRow(_unreadable(row), str(row.decision_id), intact=False)
    columns = (result.execution_id, result.plan_id, result.checksum, str(result.status), isoformat(result.finished_at))
    same = columns == (key, row.plan_id, row.checksum, row.status, row.finished_at)
    intact = same and digest == row.digest and is_sealed(public_key, TABLE, key, digest, str(row.seal))
    return ExecutionRow(result, row.decision_id, intact)


def _unreadable(row: Any) -> ExecutionResult:
    """Return a stand-in for a row that was edited beyond reading."""
    never = datetime.fromtimestamp(0, UTC)
    return ExecutionResult.model_construct(
        success=False,
        status=Status.INDETERMINATE,
        execution_id=str(row.execution_id),
        plan_id=str(row.plan_id),
        changeset_id="",
        checksum=str(row.checksum),
        error_code="HISTORY_TAMPERED",
        message="this row of the history was edited and cannot be read",
        hint="Run `lonelycat audit verify`.",
        started_at=never,
        finished_at=never,
    )


def _body(result: ExecutionResult) -> dict[str, Any]:
    body = result.model_dump(mode="json")
    body["files_changed"] = all_to_wire(result.files_changed)
    body["started_at"], body["finished_at"] = isoformat(result.started_at), isoformat(result.finished_at)
    for step, record in zip(body["steps"], result.steps, strict=True):
        step["started_at"] = isoformat(record.started_at)
    return body


def _text(value: object) -> str:
    return canonical_json(value).decode("utf-8")


def _digest(
    plan_id: str,
    decision_id: str,
    checksum: str,
    body: dict[str, Any],
    step_rows: list[dict[str, Any]],
    paths: list[str],
    blobs: Collection[str],
) -> str:
    parts = [_text(body), _text(step_rows), _text(paths), _text(sorted(set(blobs)))]
    return digest_of(plan_id, decision_id, checksum, *parts)
