"""The proposals' side of Records: store, read, decide, approve, reject."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from weakref import WeakValueDictionary

from sqlalchemy import Connection, select

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import InputError, RefusedError
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision
from lonelycat.lifecycle import Status, advance
from lonelycat.records import audit as log
from lonelycat.records import proposals as rows
from lonelycat.records import tables
from lonelycat.records.entries import AuditEvent, AuditType, OpenPlan, Proposal
from lonelycat.records.foundation import Foundation, is_storable
from lonelycat.records.redaction import redact_text
from lonelycat.records.seal import digest_of
from lonelycat.records.spool import Spool


class ProposalRecords(Foundation):
    """Plans with their change sets, decisions and approvals."""

    @cached_property
    def _stored_changesets(self) -> WeakValueDictionary[str, ChangeSet]:
        """Change sets that were stored here and that somebody still holds, by the digest of what their row says.

        They need not be in memory twice, nor read again: what has the same text, or the same hash of it, is the same.
        """
        return WeakValueDictionary()

    def pack(self, changeset: ChangeSet, decision: GovernanceDecision, spool: Spool | None = None) -> ChangeSet:
        """Return the change set as it is stored: contents that are many bytes in all lie in one blob.

        Checksum and hashes are the same. What was denied for a secret is not put anywhere.

        Args:
            spool: where contents of it may wait.

        Raises:
            RefusedError: ``BLOB_TAMPERED`` when the spool does not hold any longer what was put into it.
        """
        if spool is not None and spool.pack is not None and not rows.denies_a_secret(decision):
            self.blobs.keep_spool(spool)
        inline = [change.content for change in changeset.changes if isinstance(change.content, bytes)]
        if sum(map(len, inline)) <= self.limits.inline_bytes_together or rows.denies_a_secret(decision):
            return changeset
        packed = iter(self.blobs.put_together(inline))
        changes = tuple(
            change.with_content_at(next(packed)) if isinstance(change.content, bytes) else change
            for change in changeset.changes
        )
        return changeset.model_copy(update={"changes": changes})

    def save_proposal(
        self,
        plan: ChangePlan,
        changeset: ChangeSet,
        decision: GovernanceDecision,
        status: Status,
        *,
        bases: Collection[str] = (),
        rebased_from: str | None = None,
    ) -> bool:
        """Store a new proposal; return False, changing nothing, if the very same one is stored already.

        Args:
            bases: hashes of blobs that a rebase of the proposal needs; kept as long as it is.
            rebased_from: the plan whose change this is, on today's content; goes into the audit log.

        Raises:
            RefusedError: ``PLAN_ID_TAKEN`` if another proposal has the plan's id.
        """
        created = self._now()
        stored = rows.first_form(plan, changeset, decision, status, created)
        with self.database.write() as connection:
            earlier = rows.read(connection, plan.id)
            if earlier is not None:
                if earlier.was_made_of(plan, changeset):
                    return False
                raise RefusedError(
                    "PLAN_ID_TAKEN",
                    f"another proposal is stored as {plan.id}",
                    "Give the plan an id of its own, or leave the id out.",
                )
            blobs = rows.blobs_of(changeset) | set(bases)
            digest = rows.write(connection, self.signer, stored, new=True, blobs=blobs)
            payload = {"plan_id": plan.id, "changeset_id": changeset.id, "checksum": changeset.checksum}
            if rebased_from is not None:
                payload["rebased_from"] = rebased_from
            made = AuditEvent(AuditType.PROPOSAL_CREATED, plan.created_by, payload)
            facts = _proposal_facts(plan.id, digest)
            log.append(connection, self.signer, created, [(made, facts), (_decision_event(decision, status), facts)])
        if not stored.values["redacted"]:
            self._stored_changesets[digest_of(stored.values["changeset"])] = changeset
        return True

    def proposal(self, plan_id: str) -> Proposal | None:
        """Return a stored proposal, or None.

        Raises:
            RefusedError: ``STORED_CHANGESET_TAMPERED``, which is recorded as a security event.
        """
        if not is_storable(plan_id):
            return None
        with self._recording_tampering(plan_id), self.database.read() as connection:
            stored = rows.read(connection, plan_id)
            return None if stored is None else self._complete(connection, stored)

    def proposals(self, status: Status | None = None, limit: int | None = 100) -> list[Proposal]:
        """Return intact proposals, newest first; :meth:`tampered_proposals` names the others."""
        with self.database.read() as connection:
            return self._intact(connection, self._plan_ids(connection, status, limit))

    def proposals_of(self, plan_ids: Sequence[str]) -> list[Proposal]:
        """Return those of the named proposals that are stored and intact, in their order."""
        with self.database.read() as connection:
            return self._intact(connection, plan_ids)

    def open_plans(self, status: Status, checksum: str | None = None) -> list[OpenPlan]:
        """Return the plans in ``status`` that were not executed, of any or one change set, newest first."""
        with self.database.read() as connection:
            return rows.open_plans(connection, status, checksum)

    def tampered_proposals(self) -> list[str]:
        """Return the ids of stored proposals that were edited; reads them all."""
        with self.database.read() as connection:
            found = {plan_id: rows.read(connection, plan_id) for plan_id in self._plan_ids(connection, None, None)}
            key = self.signer.public_key
            rows_found = ((plan_id, row) for plan_id, row in found.items() if row is not None)
            return sorted(plan_id for plan_id, row in rows_found if not row.is_intact(connection, key))

    def find_plan_id(self, identifier: str) -> str | None:
        """Return the plan that a plan, change set, decision, approval or execution id belongs to, or None."""
        if not is_storable(identifier):
            return None
        t, e, a = tables.proposals.c, tables.executions.c, tables.approvals.c
        questions = (
            select(t.plan_id).where(t.plan_id == identifier),
            select(t.plan_id).where(t.changeset_id == identifier),
            select(t.plan_id).where(t.decision_id == identifier),
            select(a.plan_id).where(a.id == identifier),
            select(e.plan_id).where(e.execution_id == identifier),
        )
        with self.database.read() as connection:
            for question in questions:
                found = connection.execute(question.limit(1)).scalar_one_or_none()
                if found is not None:
                    return str(found)
        return None

    def update_decision(self, plan_id: str, decision: GovernanceDecision, status: Status) -> None:
        """Put another decision in force, for example after the policy changed.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``STORED_CHANGESET_TAMPERED``.
        """
        with self._changing(plan_id) as (connection, stored, proposal):
            _move(proposal, status)
            changed = rows.decided(stored, proposal.plan, proposal.changeset, decision, status)
            self._rewrite(connection, changed, _decision_event(decision, status))

    def add_approval(self, plan_id: str, approval: GovernanceApproval, status: Status) -> None:
        """Store an approval and the status that the plan has with it; whether it counts, the caller has asked.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``APPROVAL_REUSED`` for an approval id that is stored already;
                ``STORED_CHANGESET_TAMPERED``.
        """
        with self._changing(plan_id) as (connection, stored, proposal):
            _move(proposal, status)
            changed = rows.add_approval(connection, stored.with_values(status=str(status)), approval)
            facts = {
                "plan_id": plan_id,
                "approval_id": approval.id,
                "decision_id": approval.decision_id,
                "decision_digest": approval.decision_digest,
                "method": approval.method,
                "given_from": approval.given_from,
                "note": approval.note,
                "status": str(status),
            }
            self._rewrite(connection, changed, AuditEvent(AuditType.APPROVAL_GIVEN, approval.approved_by, facts))

    def reject(self, plan_id: str, by: str, note: str = "") -> None:
        """Record a person's no; the plan is ``denied`` from then on.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``STORED_CHANGESET_TAMPERED``.
        """
        with self._changing(plan_id) as (connection, stored, proposal):
            _move(proposal, Status.DENIED)
            text = redact_text(note)
            changed = stored.with_values(status=str(Status.DENIED), rejected_by=by, note=text)
            event = AuditEvent(AuditType.PROPOSAL_REJECTED, by, {"plan_id": plan_id, "note": text})
            self._rewrite(connection, changed, event)

    def _complete(self, connection: Connection, stored: rows.StoredProposal) -> Proposal:
        return rows.with_history(connection, self._checked(connection, stored))

    def _checked(self, connection: Connection, stored: rows.StoredProposal) -> Proposal:
        return rows.checked(connection, stored, self.signer.public_key, self._stored_changesets)

    def _intact(self, connection: Connection, plan_ids: Sequence[str]) -> list[Proposal]:
        found = (rows.read(connection, plan_id) for plan_id in plan_ids)
        key = self.signer.public_key
        return [self._complete(connection, row) for row in found if row is not None and row.is_intact(connection, key)]

    def _plan_ids(self, connection: Connection, status: Status | None, limit: int | None) -> list[str]:
        t = tables.proposals.c
        query = select(t.plan_id).order_by(t.created_at.desc(), t.plan_id.desc()).limit(limit)
        if status is not None:
            query = query.where(t.status == str(status))
        return list(connection.execute(query).scalars())

    @contextmanager
    def _changing(self, plan_id: str) -> Iterator[tuple[Connection, rows.StoredProposal, Proposal]]:
        with self._recording_tampering(plan_id), self.database.write() as connection:
            stored = rows.read(connection, plan_id)
            if stored is None:
                raise InputError("PLAN_UNKNOWN", f"no proposal {plan_id} is stored here", "See `lonelycat status`.")
            yield connection, stored, self._checked(connection, stored)

    def _rewrite(self, connection: Connection, stored: rows.StoredProposal, event: AuditEvent) -> None:
        digest = rows.write(connection, self.signer, stored, new=False)
        facts = _proposal_facts(stored.values["plan_id"], digest)
        log.append(connection, self.signer, self._now(), [(event, facts)])


def _proposal_facts(plan_id: str, digest: str) -> dict[str, object]:
    return {"kind": "proposal", "plan_id": plan_id, "digest": digest}


def _decision_event(decision: GovernanceDecision, status: Status) -> AuditEvent:
    facts = {
        "plan_id": decision.plan_id,
        "decision_id": decision.id,
        "decision_digest": decision.digest(),
        "verdict": str(decision.verdict),
        "reasons": sorted({reason.code for reason in decision.reasons if reason.counts}),
        "risk": str(decision.risk_level_effective),
        "policy_snapshot_hash": decision.policy_snapshot_hash,
        "status": str(status),
    }
    return AuditEvent(AuditType.DECISION_MADE, decision.evaluator, facts)


def _move(proposal: Proposal, status: Status) -> None:
    if status is not proposal.status:
        advance(proposal.status, status)
