"""The executions' side of Records: the one transaction that ends an execution, and history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import StateError
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.lifecycle import Status
from lonelycat.records import audit as log
from lonelycat.records import history, idempotency_store, proposals, tables
from lonelycat.records.artifacts import ArtifactDirectory
from lonelycat.records.entries import AuditEvent, AuditHead, AuditType, ExecutionRow, PendingRestart
from lonelycat.records.execution import ExecutionRecord, ExecutionResult
from lonelycat.records.foundation import SELF, is_storable
from lonelycat.records.redaction import Redactor
from lonelycat.records.standing_records import Event, StandingRecords

_IS_FENCE = tables.counters.c.name == "fence"
_FENCE = select(tables.counters.c.value).where(_IS_FENCE)
_RAISE_FENCE = tables.counters.update().where(_IS_FENCE)


class ExecutionRecords(StandingRecords):
    """Executions with their steps, idempotency records, consumed approvals and artifacts."""

    def finish_execution(
        self,
        result: ExecutionResult,
        *,
        plan: ChangePlan | None,
        decision_id: str,
        consumed_approvals: Sequence[str],
        ttl_seconds: int,
        events: Sequence[AuditEvent] = (),
        blobs: Collection[str] = (),
        receipt: bool = False,
        failed: FailedChange | None = None,
        pending_restarts: Sequence[PendingRestart] = (),
    ) -> AuditHead:
        """Record the end of an execution, and return the audit head for its receipt.

        One transaction writes history, steps, the idempotency record, the consumed approvals, what stands from now on
        or no longer, and the audit records (``events`` first, then ``execution.finished`` or ``execution.refused``).
        Whatever it waited for a confirmation of is over. Calling it again for the same
        execution changes nothing, except that a final outcome takes the place of ``indeterminate``.

        Args:
            consumed_approvals: ids that this execution uses up.
            ttl_seconds: how long a completed execution answers for a repeat.
            plan: the plan that was executed, or None where only the result is known.
            receipt: the caller goes on to write a receipt; from then on a missing one is a finding.
            blobs: hashes of blobs that a revert of the execution needs; kept as long as it is.
            failed: the change does not work: its digest goes into quarantine.
            pending_restarts: what the rollback could not restart.

        Raises:
            StateError: ``FENCE_STALE`` if a later holder of the lock has recorded something; ``EXECUTION_FINISHED``
                if another outcome is recorded.
            RefusedError: ``APPROVAL_REUSED``; nothing is recorded.
        """
        clean = history.cleaned(result)
        if failed is not None:
            self.failed_marks.add(failed.checksum)
        with self.database.write() as connection:
            known = history.status_of(connection, result.execution_id)
            if known is not None and not _settles(known, result.status, result.execution_id):
                return log.head(connection)
            fence = _raise_fence(connection, clean)
            if known is not None:
                history.remove(connection, [result.execution_id])
            written = self._write_execution(connection, clean, decision_id, blobs, consumed_approvals, ttl_seconds)
            facts = {**written, "fence": fence, "receipt": receipt}
            standing = self._what_stands_after(connection, result, plan, failed, pending_restarts)
            last = _execution_event(clean, plan, decision_id)
            told: list[Event] = [*((event, {}) for event in events), *standing, (last, facts)]
            end = log.append(connection, self.signer, self._now(), told)
        if result.status is Status.COMPLETED:
            self.failed_marks.remove(result.checksum)
        return end

    def _write_execution(
        self,
        connection: Connection,
        clean: ExecutionResult,
        decision_id: str,
        blobs: Collection[str],
        consumed_approvals: Sequence[str],
        ttl_seconds: int,
    ) -> dict[str, object]:
        """Write the rows of an execution, and return what the audit log keeps of them."""
        key = clean.execution_id
        record = idempotency_store.record_of(clean, ttl_seconds)
        return {
            "kind": "execution",
            "execution_id": key,
            "plan_id": clean.plan_id,
            "checksum": clean.checksum,
            "digest": history.insert(connection, self.signer, clean, decision_id, blobs),
            "idempotency_digest": None if record is None else idempotency_store.put(connection, self.signer, record),
            "consumed": proposals.consume(connection, consumed_approvals, key, self._now()),
        }

    def _what_stands_after(
        self,
        connection: Connection,
        result: ExecutionResult,
        plan: ChangePlan | None,
        failed: FailedChange | None,
        pending_restarts: Sequence[PendingRestart],
    ) -> list[Event]:
        """Write what stands from now on or no longer, and return the events that tell it."""
        standing = self._confirmation_ended(connection, result.execution_id)
        standing += self._pending(connection, pending_restarts)
        if failed is not None:
            standing += self._quarantine(connection, failed, plan.created_by if plan else "")
        elif result.status is Status.COMPLETED:
            standing += self._release_completed(connection, result.checksum, result.execution_id)
        return standing

    def execution(self, execution_id: str) -> ExecutionRow | None:
        """Return one execution, or None."""
        found = self._load(history.query(execution_id=execution_id)) if is_storable(execution_id) else []
        return found[0] if found else None

    def executions(
        self,
        *,
        status: Status | None = None,
        plan_id: str | None = None,
        since: datetime | None = None,
        path: str | None = None,
        checksum: str | None = None,
        limit: int | None = 20,
    ) -> list[ExecutionRow]:
        """Return the executions that meet all that is given, newest first.

        Args:
            path: a file, or a directory for everything below it.
            checksum: of the change set that was executed.
        """
        if plan_id is not None and not is_storable(plan_id):
            return []
        wanted = history.query(status=status, plan_id=plan_id, since=since, path=path, checksum=checksum, limit=limit)
        return self._load(wanted)

    def parents(self) -> set[str]:
        """Return the executions that the plan of a completed one names as its parent: as its revert does, if it is one.

        What the rows say is not checked.
        """
        with self.database.read() as connection:
            return history.parents(connection)

    def last_completed(self, path: str | None = None) -> ExecutionRow | None:
        """Return the newest completed execution, of all or of those that touched ``path``, or None."""
        found = self.executions(status=Status.COMPLETED, path=path, limit=1)
        return found[0] if found else None

    def last_writers(self, paths: Collection[str] | None = None) -> dict[str, str]:
        """Return the newest completed execution of every path that one wrote, or of those in ``paths``, by path."""
        with self.database.read() as connection:
            return history.last_writers(connection, paths)

    def idempotency_record(self, plan_id: str, checksum: str) -> ExecutionRecord | None:
        """Return what the newest execution of this plan and checksum came to, however old, or None.

        Raises:
            RefusedError: ``IDEMPOTENCY_TAMPERED``, which is recorded as a security event.
        """
        with self._recording_tampering(plan_id), self.database.read() as connection:
            return idempotency_store.get(connection, self.signer.public_key, plan_id, checksum)

    def approvals_used(self, ids: Sequence[str]) -> set[str]:
        """Return which of the approvals an execution has consumed."""
        if not ids:
            return set()
        with self.database.read() as connection:
            return proposals.used(connection, ids)

    def fence(self) -> int:
        """Return the highest fence that anything was recorded under."""
        with self.database.read() as connection:
            return _fence(connection)

    def artifacts(self, execution_id: str, redactor: Redactor | None = None) -> ArtifactDirectory:
        """Return the artifact directory of an execution; nothing is made yet.

        Raises:
            InputError: ``EXECUTION_ID_INVALID``.
        """
        return ArtifactDirectory(self.executions_dir, execution_id, redactor=redactor)

    def _load(self, query: Select[Any]) -> list[ExecutionRow]:
        with self.database.read() as connection:
            rows = connection.execute(query)
            return history.load(connection, self.signer.public_key, rows)


def _execution_event(result: ExecutionResult, plan: ChangePlan | None, decision_id: str) -> AuditEvent:
    refused = result.status is Status.REJECTED
    facts = {
        "execution_id": result.execution_id,
        "plan_id": result.plan_id,
        "decision_id": decision_id,
        "checksum": result.checksum,
        "status": str(result.status),
        "error_code": result.error_code,
        "files": len(result.files_changed),
        "pre_image": result.pre_image,
        "rollback_image": result.rollback_image,
        "proposed_by": plan.created_by if plan else None,
    }
    return AuditEvent(AuditType.EXECUTION_REFUSED if refused else AuditType.EXECUTION_FINISHED, SELF, facts)


def _settles(known: Status, status: Status, execution_id: str) -> bool:
    """Tell whether ``status`` replaces the recorded one; only ``indeterminate`` can be replaced."""
    if known is status:
        return False
    if known is not Status.INDETERMINATE:
        raise StateError(
            "EXECUTION_FINISHED",
            f"{execution_id} is recorded as {known} and cannot become {status}",
            "Run `lonelycat doctor`.",
        )
    return True


def _fence(connection: Connection) -> int:
    return int(connection.execute(_FENCE).scalar_one_or_none() or 0)


def _raise_fence(connection: Connection, result: ExecutionResult) -> int:
    """Note the result's fence, and return it; one that never held the lock (fence 0) changed nothing and passes."""
    recorded = _fence(connection)
    never_held = result.fence == 0 and (result.status is Status.REJECTED or result.error_code == "LOCK_TIMEOUT")
    if result.fence < recorded and not never_held:
        raise StateError(
            "FENCE_STALE",
            f"{result.execution_id} held the lock with fence {result.fence}, but {recorded} is recorded already",
            "Another process took over the workspace meanwhile; see `lonelycat log`.",
        )
    if result.fence > recorded:
        counters = tables.counters
        if recorded == 0:
            connection.execute(counters.insert().prefix_with("OR REPLACE"), {"name": "fence", "value": result.fence})
        else:
            connection.execute(_RAISE_FENCE, {"value": result.fence})
    return result.fence
