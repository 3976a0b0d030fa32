"""Proposals and their approvals in the database.

Invariants:
- A proposal's digest covers every column and every approval; the gate seals it. What was edited by hand is refused.
  Of a long change set the column holds the hash of a text beside the row (``changeset_texts.py``).
- A change that was denied for a secret is stored without contents: a reference to bytes that are kept nowhere.
- An approval is consumed once: its id is the primary key of the table of consumed approvals.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.exc import IntegrityError

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import LonelyCatError, RefusedError, StateError
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision
from lonelycat.governance.policy import Verdict
from lonelycat.governance.secret_names import told_paths
from lonelycat.governance.signing import Signer
from lonelycat.lifecycle import Status
from lonelycat.records import changeset_texts as texts
from lonelycat.records import standing
from lonelycat.records.database import insert_rows
from lonelycat.records.entries import OpenPlan, Proposal
from lonelycat.records.redaction import redact_json
from lonelycat.records.seal import digest_of, is_sealed, seal
from lonelycat.records.standing import Standing
from lonelycat.records.tables import approvals, blob_refs, consumed_approvals, executions, proposals

TABLE = "proposals"
_COLUMNS = (
    "plan_id",
    "changeset_id",
    "decision_id",
    "checksum",
    "status",
    "created_at",
    "plan",
    "changeset",
    "decision",
    "rejected_by",
    "note",
    "body_digest",
)


@dataclass(frozen=True, slots=True)
class StoredProposal:
    """A proposal's row as it lies in the database: its columns and its approvals' documents, in order.

    Attributes:
        beside: the change set whose text is still to be put beside the row; None where that has been done, or where
            the row itself holds the text.
    """

    values: dict[str, Any]
    approvals: tuple[str, ...]
    beside: ChangeSet | None = None

    def with_values(self, **values: Any) -> StoredProposal:
        """Return the row with other values in some columns."""
        return replace(self, values={**self.values, **values})

    def digest(self) -> str:
        """Return the digest over everything but digest and seal themselves."""
        redacted = "redacted" if self.values["redacted"] else "whole"
        return digest_of(*(self.values[name] for name in _COLUMNS), redacted, *self.approvals)

    def is_intact(self, connection: Connection, public_key: str) -> bool:
        """Tell whether the row, and what lies beside it, is as the gate sealed it."""
        try:
            digest = self.digest()
            key, signature = str(self.values["plan_id"]), str(self.values["seal"])
            sealed = digest == self.values["digest"] and is_sealed(public_key, TABLE, key, digest, signature)
            return sealed and texts.is_whole(connection, key, self.values["changeset"])
        except (AttributeError, TypeError):  # a column of another type than text
            return False

    def was_made_of(self, plan: ChangePlan, changeset: ChangeSet) -> bool:
        """Tell whether this is the row of that very plan and change set, whatever was decided since."""
        plan_text, body = plan.model_dump_json(), self.values["body_digest"]
        if body == digest_of(plan_text, texts.column_text(changeset)):
            return True
        # An earlier version put the text into the row, however long it was.
        return changeset.is_long and bool(body == digest_of(plan_text, changeset.model_dump_json()))


def first_form(
    plan: ChangePlan, changeset: ChangeSet, decision: GovernanceDecision, status: Status, created_at: str
) -> StoredProposal:
    """Return the row for a new proposal."""
    plan_text, changeset_text = plan.model_dump_json(), texts.column_text(changeset)
    values: dict[str, Any] = {
        "plan_id": plan.id,
        "changeset_id": changeset.id,
        "checksum": changeset.checksum,
        "created_at": created_at,
        "plan": plan_text,
        "changeset": changeset_text,
        "rejected_by": None,
        "note": "",
        "redacted": False,
        "body_digest": digest_of(plan_text, changeset_text),
    }
    beside = changeset if texts.lies_beside(changeset_text) else None
    return decided(StoredProposal(values, (), beside), plan, changeset, decision, status)


def decided(
    stored: StoredProposal, plan: ChangePlan, changeset: ChangeSet, decision: GovernanceDecision, status: Status
) -> StoredProposal:
    """Return the row with another decision; contents go if it denies because of a secret."""
    values = {
        **stored.values,
        "decision_id": decision.id,
        "decision": decision.model_dump_json(),
        "status": str(status),
    }
    if not denies_a_secret(decision):
        return replace(stored, values=values)
    names = told_paths([*plan.affected_paths, *(path for change in changeset.changes for path in change.paths)])
    told = plan.model_copy(update={"affected_paths": tuple(names[path] for path in plan.affected_paths)})
    shown = ChangePlan.model_validate(redact_json(told.model_dump(mode="json")))
    kept = without_contents(changeset, names)
    values |= {"plan": shown.model_dump_json(), "changeset": texts.column_text(kept), "redacted": True}
    return replace(stored, values=values, beside=kept if texts.lies_beside(values["changeset"]) else None)


def denies_a_secret(decision: GovernanceDecision) -> bool:
    """Tell whether the change was denied because of a secret, so that its contents are not to be kept."""
    return decision.verdict is Verdict.DENY and any("SECRET" in reason.code.upper() for reason in decision.reasons)


def without_contents(changeset: ChangeSet, names: Mapping[str, str]) -> ChangeSet:
    """Return the change set with each inline content replaced by a reference that leads nowhere, as it is told.

    Args:
        names: by path, the path to tell. The checksum stays that of the change itself.
    """
    changes = tuple(_without_content(change, names) for change in changeset.changes)
    return changeset.model_copy(update={"changes": changes})


def _without_content(change: FileChange, names: Mapping[str, str]) -> FileChange:
    if any(names[path] != path for path in change.paths):
        old_path = None if change.old_path is None else names[change.old_path]
        change = change.model_copy(update={"path": names[change.path], "old_path": old_path})
    if change.new_size is None or change.new_hash is None:
        return change
    return change.with_content_at(BlobRef(sha256=change.new_hash, size=change.new_size))


def read(connection: Connection, plan_id: str) -> StoredProposal | None:
    """Return a proposal's row as it is, unchecked, or None."""
    row = connection.execute(select(proposals).where(proposals.c.plan_id == plan_id)).first()
    if row is None:
        return None
    documents = connection.execute(
        select(approvals.c.document).where(approvals.c.plan_id == plan_id).order_by(approvals.c.position)
    ).scalars()
    return StoredProposal(dict(row._mapping), tuple(documents))


def checked(
    connection: Connection, stored: StoredProposal, public_key: str, known: Mapping[str, ChangeSet]
) -> Proposal:
    """Return the proposal that the row holds.

    Args:
        known: change sets that are in memory, by the digest of what their row says of them.

    Raises:
        RefusedError: ``STORED_CHANGESET_TAMPERED`` if the row, or what lies beside it, is not as the gate sealed it.
    """
    values = stored.values
    try:
        if not stored.is_intact(connection, public_key):
            raise ValueError("the seal does not match")
        return Proposal(
            plan=ChangePlan.model_validate_json(values["plan"]),
            changeset=_changeset(connection, values, known),
            decision=GovernanceDecision.model_validate_json(values["decision"]),
            status=Status(values["status"]),
            approvals=tuple(GovernanceApproval.model_validate_json(text) for text in stored.approvals),
            created_at=datetime.fromisoformat(values["created_at"]),
            rejected_by=values["rejected_by"],
            note=values["note"],
            redacted=bool(values["redacted"]),
        )
    except (ValueError, TypeError, LonelyCatError) as error:
        raise RefusedError(
            "STORED_CHANGESET_TAMPERED",
            f"the stored proposal {values['plan_id']} was edited in the database",
            "Nothing was touched. Run `lonelycat audit verify`, find out who did it, and propose the change anew.",
        ) from error


def _changeset(connection: Connection, values: dict[str, Any], known: Mapping[str, ChangeSet]) -> ChangeSet:
    same = known.get(digest_of(values["changeset"])) if known else None
    return texts.load(connection, values["plan_id"], values["changeset"]) if same is None else same


def write(
    connection: Connection, signer: Signer, stored: StoredProposal, *, new: bool, blobs: Collection[str] = ()
) -> str:
    """Insert or replace a proposal's row under its new digest and seal, and return the digest.

    Args:
        blobs: of a new one, hashes of the blobs that it needs; none of one whose contents are not kept.
    """
    digest, key = stored.digest(), stored.values["plan_id"]
    values = {**stored.values, "digest": digest, "seal": seal(signer, TABLE, key, digest)}
    if new:
        connection.execute(proposals.insert(), values)
        if blobs and not values["redacted"]:
            insert_rows(connection, blob_refs, ("owner", "sha256"), ((key, blob) for blob in sorted(set(blobs))))
    else:
        changed = connection.execute(proposals.update().where(proposals.c.plan_id == key).values(values)).rowcount
        if changed != 1:
            raise StateError("DATABASE_CORRUPT", f"the proposal {key} vanished while it was updated", "See `doctor`.")
    if stored.beside is not None:
        texts.write_parts(connection, key, stored.beside)
    if values["redacted"] and not new:
        connection.execute(delete(blob_refs).where(blob_refs.c.owner == key))
    return digest


def blobs_of(changeset: ChangeSet) -> set[str]:
    """Return the hashes of the blobs that hold contents of ``changeset``."""
    return {change.content.blob for change in changeset.changes if isinstance(change.content, BlobRef)}


def add_approval(connection: Connection, stored: StoredProposal, approval: GovernanceApproval) -> StoredProposal:
    """Insert an approval's row and return the proposal's row with it."""
    document = approval.model_dump_json()
    try:
        connection.execute(
            approvals.insert(),
            {
                "id": approval.id,
                "plan_id": stored.values["plan_id"],
                "position": len(stored.approvals),
                "document": document,
            },
        )
    except IntegrityError as error:
        raise RefusedError(
            "APPROVAL_REUSED", f"the approval {approval.id} was given before", "Give a new one."
        ) from error
    return replace(stored, approvals=(*stored.approvals, document))


def used(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of the approvals were consumed."""
    found = select(consumed_approvals.c.approval_id).where(consumed_approvals.c.approval_id.in_(ids))
    return set(connection.execute(found).scalars())


def consumed_by(connection: Connection, execution_id: str) -> set[str]:
    """Return the approvals that an execution consumed."""
    mine = select(consumed_approvals.c.approval_id).where(consumed_approvals.c.execution_id == execution_id)
    return set(connection.execute(mine).scalars())


def consume(connection: Connection, ids: Sequence[str], execution_id: str, at: str) -> list[str]:
    """Mark approvals as used up by an execution, and return them without repeats.

    Those that this very execution consumed before (while it was ``indeterminate``) stay as they are.

    Raises:
        RefusedError: ``APPROVAL_REUSED`` if another execution used one of them; the caller's transaction must end.
    """
    wanted = list(dict.fromkeys(ids))
    earlier = consumed_by(connection, execution_id) if wanted else set()
    rows = [{"approval_id": i, "execution_id": execution_id, "consumed_at": at} for i in wanted if i not in earlier]
    if not rows:
        return wanted
    try:
        written = connection.execute(consumed_approvals.insert(), rows).rowcount
    except IntegrityError as error:
        raise RefusedError(
            "APPROVAL_REUSED",
            f"an approval of {execution_id} was consumed by an earlier execution",
            "An approval holds once; ask for a new one.",
        ) from error
    if written != len(rows):
        raise StateError("DATABASE_CORRUPT", "not every approval could be marked as used", "See `lonelycat doctor`.")
    return wanted


def open_plans(connection: Connection, status: Status, checksum: str | None = None) -> list[OpenPlan]:
    """Return the plans in ``status`` that were not executed, newest first; one whose execution was refused was not.

    With ``checksum`` only those with this change set.

    Of each, only its decision is read. What was edited beyond reading is left out.
    """
    p, e = proposals.c, executions.c
    newest = select(e.status).where(e.plan_id == p.plan_id).order_by(e.finished_at.desc(), e.execution_id.desc())
    not_executed = func.coalesce(newest.limit(1).scalar_subquery(), str(Status.REJECTED)) == str(Status.REJECTED)
    query = select(p.plan_id, p.decision).where(p.status == str(status), not_executed)
    if checksum is not None:
        query = query.where(p.checksum == checksum)
    found = []
    for plan_id, decision in connection.execute(query.order_by(p.created_at.desc(), p.plan_id.desc())):
        with suppress(ValueError, TypeError, KeyError):
            facts = json.loads(decision)
            expires_at = datetime.fromisoformat(facts["expires_at"])
            found.append(OpenPlan(plan_id, expires_at, facts["policy_snapshot_hash"]))
    return found


def with_history(connection: Connection, proposal: Proposal) -> Proposal:
    """Return the proposal with its newest execution, and whether its digest is in quarantine."""
    t = executions.c
    query = select(t.execution_id, t.status).where(t.plan_id == proposal.plan.id)
    newest = connection.execute(query.order_by(t.finished_at.desc(), t.execution_id.desc()).limit(1)).first()
    return replace(
        proposal,
        quarantined=standing.stands(connection, Standing.FAILED_CHANGE, proposal.changeset.checksum),
        execution_id=None if newest is None else newest.execution_id,
        execution_status=None if newest is None else Status(newest.status),
    )
