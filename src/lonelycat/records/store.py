"""Records: the one door to everything that LonelyCat keeps about what it did.

Invariants:
- Each public write is exactly one database transaction, its audit records included: there is no fact without its
  evidence and no evidence without its fact. The one exception is on purpose: that something was found tampered
  is recorded after the refused transaction was rolled back.
- What is read back is checked against its seal first; an edited row is refused and recorded as a security event.
- Import this module late: it brings the database library.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import func, select

from lonelycat.clock import Clock, IdSource, isoformat
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.records import audit as log
from lonelycat.records import retention, tables, verification
from lonelycat.records.artifacts import RECEIPT
from lonelycat.records.entries import AuditEvent, AuditHead, AuditReport, AuditType, Freeze, GcReport
from lonelycat.records.execution_records import ExecutionRecords
from lonelycat.records.foundation import SELF
from lonelycat.records.keys import load_gate_key, load_or_create_gate_key, prepare_state_directory
from lonelycat.records.layout import CREATED_MARK
from lonelycat.records.proposal_records import ProposalRecords
from lonelycat.records.proposals import consumed_by
from lonelycat.records.receipts import write_receipt
from lonelycat.settings import Settings

_GC_CHUNK = 1_000
_FREEZES = (str(AuditType.WORKSPACE_FROZEN), str(AuditType.WORKSPACE_UNFROZEN))
_AUDIT = tables.audit.c
# The newest of each type by the index: asked for the newest of either, SQLite walks the whole log backwards.
_NEWEST_OF_EACH = [select(func.max(_AUDIT.seq)).where(_AUDIT.type == kind).scalar_subquery() for kind in _FREEZES]
_NEWEST_FREEZE = select(tables.audit).where(_AUDIT.seq.in_(_NEWEST_OF_EACH)).order_by(_AUDIT.seq.desc())


class Records(ProposalRecords, ExecutionRecords):
    """History, proposals, approvals, idempotency, audit log, artifacts and blobs of one workspace."""

    @classmethod
    def open(cls, settings: Settings, clock: Clock, ids: IdSource) -> Self:
        """Open the records of a workspace, making the state directory and the key at the very first use.

        The database is opened, or made, by the first call that needs it.

        Raises:
            StateError: ``STATE_DIRECTORY_UNSAFE``, ``KEY_MISSING``, ``KEY_UNSAFE`` or ``DATABASE_UNSUPPORTED``;
                every method may raise ``DATABASE_…``.
        """
        prepare_state_directory(settings.state_dir)
        return cls(settings, clock, ids, load_or_create_gate_key(settings.state_dir))

    @classmethod
    def open_to_read(cls, settings: Settings, clock: Clock, ids: IdSource) -> Self | None:
        """Open the records without making or changing anything; None where there are none yet.

        Raises:
            StateError: ``KEY_MISSING``, ``KEY_UNSAFE``, ``DATABASE_…``.
        """
        records = cls(settings, clock, ids, Ed25519Signer.generate(), read_only=True)
        if not records.database.exists() and not os.path.lexists(settings.state_dir / CREATED_MARK):
            return None
        records.signer = load_gate_key(settings.state_dir)
        return records

    def write_missing_receipt(self, execution_id: str) -> bool:
        """Write the receipt that a crash after the end of an execution left unwritten; recovery calls it.

        Returns:
            False, having done nothing, if there is a receipt, or no artifact, intact row or proposal to state.

        Raises:
            RefusedError: ``STORED_CHANGESET_TAMPERED``.
        """
        row, directory = self.execution(execution_id), self.artifacts(execution_id)
        proposal = None if row is None else self.proposal(row.result.plan_id)
        if row is None or proposal is None or not row.intact or not directory.exists():
            return False
        if RECEIPT in directory.names():
            return False
        with self.database.read() as connection:
            used = consumed_by(connection, execution_id)
        write_receipt(
            directory,
            self.signer,
            result=row.result,
            changeset=proposal.changeset,
            decision=proposal.decision,
            approvals=[approval for approval in proposal.approvals if approval.id in used],
            audit_head=self.audit_head(),
        )
        return True

    def audit_head(self) -> AuditHead:
        """Return the newest record's number and hash, to be noted elsewhere."""
        with self.database.read() as connection:
            return log.head(connection)

    def audit_verify(self, expect_head: AuditHead | None = None) -> AuditReport:
        """Verify the whole audit log, and hold history, approvals and receipts against it."""
        return verification.verify(self.database, self.signer.public_key, self.executions_dir, expect_head)

    def audit_export(self) -> Iterator[dict[str, object]]:
        """Yield every audit record, oldest first, in the form that ``audit.verify_export`` verifies offline."""
        for page in log.pages(self.database, 0):
            yield from map(log.export_line, page)

    def audit_payloads(self, type_: AuditType) -> list[dict[str, object]]:
        """Return the payloads of all audit records of one type, oldest first."""
        with self.database.read() as connection:
            return log.payloads(connection, str(type_))

    def freeze(self, reason: str, execution_id: str | None = None, *, by: str = SELF) -> None:
        """Let nothing execute here until :meth:`unfreeze`."""
        payload = {"reason": reason, "execution_id": execution_id}
        self.audit(AuditEvent(AuditType.WORKSPACE_FROZEN, by, payload))

    def unfreeze(self, by: str, reason: str) -> None:
        """Lift a freeze, with the reason that a person gives."""
        self.audit(AuditEvent(AuditType.WORKSPACE_UNFROZEN, by, {"reason": reason}))

    def frozen(self) -> Freeze | None:
        """Return why the workspace is frozen, or None; the newest freeze or unfreeze in the audit log decides."""
        with self.database.read() as connection:
            found = connection.execute(_NEWEST_FREEZE).first()
        if found is None:
            return None
        row = dict(found._mapping)
        problem = log.check_record(row, AuditHead(row["seq"] - 1, row["prev_hash"]), self.signer.public_key)
        if problem is not None:
            return Freeze(f"the audit log was edited: {problem.message}", None, self._clock.now())
        if row["type"] == AuditType.WORKSPACE_UNFROZEN:
            return None
        payload = log.payload_of(row)
        execution_id = payload.get("execution_id")
        return Freeze(
            str(payload.get("reason", "")),
            None if execution_id is None else str(execution_id),
            datetime.fromisoformat(row["at"]),
        )

    def gc(
        self,
        *,
        keep_days: float = 90,
        keep_count: int = 10_000,
        in_use: Collection[str] = (),
        dry_run: bool = False,
        by: str = SELF,
    ) -> GcReport:
        """Remove what is over age or count and needed by nothing; see ``retention.py`` for what is kept.

        Args:
            keep_days: executions and proposals older than this many days may go.
            keep_count: of the others, only this many executions stay.
            in_use: ids of executions that a process is working on or that wait for recovery.
        """
        now, age = self._clock.now(), timedelta(days=keep_days)
        with self.database.read() if dry_run else self.database.write() as connection:
            gone = retention.removable_executions(
                connection, now=now, keep_age=age, keep_count=keep_count, in_use=in_use
            )
            plans = retention.removable_proposals(connection, now=now, keep_age=age, without=gone)
            if not dry_run:
                retention.remove_rows(connection, gone, plans)
                log.append(connection, self.signer, isoformat(now), _gc_events(by, gone, plans))
        freed = 0 if dry_run else retention.remove_directories(self.database, self.executions_dir)
        with self.database.read() as connection:
            files = retention.unreferenced_blobs(connection, self.blobs, now)
        freed += 0 if dry_run else retention.remove_blobs(files)
        return GcReport(tuple(gone), tuple(plans), len(files), freed, dry_run)


def _gc_events(by: str, executions: Sequence[str], plans: Sequence[str]) -> list[tuple[AuditEvent, dict[str, object]]]:
    event = AuditEvent(AuditType.GC_DONE, by, {"executions": len(executions), "proposals": len(plans)})
    longest = max(len(executions), len(plans), 1)
    return [
        (
            event,
            {
                "kind": "gc",
                "executions": list(executions[start : start + _GC_CHUNK]),
                "proposals": list(plans[start : start + _GC_CHUNK]),
            },
        )
        for start in range(0, longest, _GC_CHUNK)
    ]
