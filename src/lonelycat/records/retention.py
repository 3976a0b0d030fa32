"""Clean-up: whole executions by age and count, then proposals and blobs that nothing needs.

What is never removed:
- an execution in use, one whose idempotency record still answers for a repeat, one that is ``indeterminate`` or
  whose rollback failed, and the newest completed one of any path: that is what can still be reverted;
- a proposal that still has an execution, or that is younger than the age limit;
- a blob that a proposal or an execution refers to, or that is younger than ``BLOB_GRACE_SECONDS``: it may belong
  to a proposal that is being stored right now;
- the audit log, and the ids of consumed approvals.

Invariant: rows go in one transaction, which also notes which directories are to go. A directory goes only when its
row is gone. So a clean-up that is interrupted anywhere leaves nothing that the next one does not finish.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, delete, select

from lonelycat.clock import isoformat
from lonelycat.lifecycle import Status
from lonelycat.records import history, tables
from lonelycat.records.blobs import BlobStore
from lonelycat.records.database import Database
from lonelycat.records.execution import ExecutionRecord

BLOB_GRACE_SECONDS = 3_600
_BATCH = 500
_KEPT_STATUS = (str(Status.INDETERMINATE), str(Status.ROLLBACK_FAILED))


def removable_executions(
    connection: Connection, *, now: datetime, keep_age: timedelta, keep_count: int, in_use: Collection[str]
) -> list[str]:
    """Return the ids of executions that are over age or count and that nothing needs, oldest first."""
    t = tables.executions.c
    over_age = select(t.execution_id).where(t.finished_at < isoformat(now - keep_age))
    newest_first = select(t.execution_id).order_by(t.finished_at.desc(), t.execution_id.desc())
    over_count = newest_first.limit(-1).offset(keep_count)
    doomed = set(connection.execute(over_age).scalars()) | set(connection.execute(over_count).scalars())
    kept = set(in_use) | set(history.last_writers(connection).values()) | _answering(connection, now)
    kept |= set(connection.execute(select(t.execution_id).where(t.status.in_(_KEPT_STATUS))).scalars())
    rows = connection.execute(select(t.execution_id).order_by(t.finished_at, t.execution_id)).scalars()
    return [key for key in rows if key in doomed and key not in kept]


def _answering(connection: Connection, now: datetime) -> set[str]:
    """Return the executions whose idempotency record still answers for a repeat."""
    found = set()
    t = tables.idempotency.c
    for execution_id, document in connection.execute(select(t.execution_id, t.document).where(t.status == "completed")):
        record = ExecutionRecord.model_validate_json(document)
        if record.executed_at + timedelta(seconds=record.ttl_seconds) > now:
            found.add(str(execution_id))
    return found


def removable_proposals(
    connection: Connection, *, now: datetime, keep_age: timedelta, without: Collection[str]
) -> list[str]:
    """Return the ids of plans over age that have no execution but those in ``without``, oldest first."""
    e, p = tables.executions.c, tables.proposals.c
    gone = set(without)
    needed = {plan for key, plan in connection.execute(select(e.execution_id, e.plan_id)) if key not in gone}
    old = select(p.plan_id).where(p.created_at < isoformat(now - keep_age)).order_by(p.created_at)
    return [plan for plan in connection.execute(old).scalars() if plan not in needed]


def remove_rows(connection: Connection, executions: Sequence[str], proposals: Sequence[str]) -> None:
    """Delete the rows, and note the directories that are to go, in the caller's transaction."""
    history.remove(connection, executions)
    if executions:
        connection.execute(
            tables.removals.insert().prefix_with("OR IGNORE"), [{"execution_id": key} for key in executions]
        )
    for start in range(0, len(executions), _BATCH):
        batch = executions[start : start + _BATCH]
        connection.execute(delete(tables.idempotency).where(tables.idempotency.c.execution_id.in_(batch)))
    for start in range(0, len(proposals), _BATCH):
        batch = proposals[start : start + _BATCH]
        connection.execute(delete(tables.approvals).where(tables.approvals.c.plan_id.in_(batch)))
        connection.execute(delete(tables.blob_refs).where(tables.blob_refs.c.owner.in_(batch)))
        connection.execute(delete(tables.proposals).where(tables.proposals.c.plan_id.in_(batch)))


def remove_directories(database: Database, executions_dir: Path) -> int:
    """Remove the directories of removed executions, also those that an earlier clean-up left; return the bytes."""
    noted, stored = tables.removals.c.execution_id, tables.executions.c.execution_id
    freed = 0
    while True:
        with database.read() as connection:
            batch = list(connection.execute(select(noted).limit(_BATCH)).scalars())
            alive = set(connection.execute(select(stored).where(stored.in_(batch))).scalars())
        if not batch:
            return freed
        for key in batch:
            if key not in alive and "/" not in key and not key.startswith("."):
                freed += _remove_tree(executions_dir / key)
        with database.write() as connection:
            connection.execute(delete(tables.removals).where(noted.in_(batch)))


def _remove_tree(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return 0
    size = sum(os.lstat(file).st_size for file in path.rglob("*") if not file.is_dir())
    shutil.rmtree(path)
    return size


def unreferenced_blobs(connection: Connection, blobs: BlobStore, now: datetime) -> list[Path]:
    """Return the files of blobs that nothing refers to, and of puts that never finished, past the grace period."""
    needed = set(connection.execute(select(tables.blob_refs.c.sha256).distinct()).scalars())
    oldest = now.timestamp() - BLOB_GRACE_SECONDS
    candidates = [file for name, file in blobs if name not in needed] + list(blobs.leftovers())
    return [file for file in candidates if os.lstat(file).st_mtime < oldest]


def remove_blobs(files: Sequence[Path]) -> int:
    """Delete the files and return how many bytes that frees."""
    freed = 0
    for file in files:
        freed += os.lstat(file).st_size
        file.unlink()
    return freed
