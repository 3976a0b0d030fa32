"""Receipts: one signed statement about one execution, next to its artifacts.

Invariant: the receipt holds the digest of every artifact and the head of the audit log, and is signed by the gate.
So an edited, removed or added artifact is seen, and so is an audit log that was cut off before that head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lonelycat.changes import strict_json
from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.digest import FlatRows
from lonelycat.changes.long_json import Rows
from lonelycat.clock import isoformat
from lonelycat.errors import InputError
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision
from lonelycat.governance.signing import Signer, verify_signature
from lonelycat.records.artifacts import RECEIPT, ArtifactDirectory, document_parts
from lonelycat.records.entries import AuditHead
from lonelycat.records.execution import ExecutionResult

STATEMENT = "lonelycat.receipt.v1"


def write_receipt(
    directory: ArtifactDirectory,
    signer: Signer,
    *,
    result: ExecutionResult,
    changeset: ChangeSet,
    decision: GovernanceDecision,
    approvals: Sequence[GovernanceApproval],
    audit_head: AuditHead,
) -> None:
    """Sign and write ``receipt.json``, and make it and all it speaks of durable; call it when all else is written.

    Args:
        approvals: those that the execution consumed.
        audit_head: what ``Records.finish_execution`` returned.
    """
    rows = partial(map, FileChange.canonical, changeset.changes)
    statement: dict[str, object] = {
        "statement": STATEMENT,
        "execution_id": result.execution_id,
        "plan_id": result.plan_id,
        "changeset_id": result.changeset_id,
        "checksum": result.checksum,
        "status": str(result.status),
        "error_code": result.error_code,
        "pre_image": result.pre_image,
        "rollback_image": result.rollback_image,
        "policy_snapshot_hash": decision.policy_snapshot_hash,
        "decision_id": decision.id,
        "decision_digest": decision.digest(),
        "approvals": [
            {"id": a.id, "approved_by": a.approved_by, "method": a.method, "decision_digest": a.decision_digest}
            for a in approvals
        ],
        # It is signed and then written: a long list is made twice rather than held.
        "files": Rows(rows) if changeset.is_long else FlatRows(rows()),
        "artifacts": directory.digests(as_noted=True),
        "audit_head": {"seq": audit_head.seq, "hash": audit_head.hash},
        "started_at": isoformat(result.started_at),
        "finished_at": isoformat(result.finished_at),
        "public_key": signer.public_key,
    }
    directory.seal(document_parts({**statement, "signature": signer.sign(statement)}))


def read_receipt(directory: ArtifactDirectory) -> dict[str, Any]:
    """Return the receipt, unverified.

    Raises:
        InputError: ``ARTIFACT_MISSING``, ``RECEIPT_MALFORMED`` or ``JSON_…``.
    """
    receipt = strict_json.loads(directory.read(RECEIPT), what="receipt")
    if not isinstance(receipt, dict) or not isinstance(receipt.get("signature"), str):
        raise InputError("RECEIPT_MALFORMED", "the receipt is not a signed object", "Restore it from a backup.")
    return receipt


def verify_receipt(directory: ArtifactDirectory, public_key: str) -> tuple[str, ...]:
    """Return what is wrong with an execution's receipt and artifacts, in words; nothing if all is as signed.

    Args:
        public_key: the gate's, from a trusted place; the one in the receipt is only for information.
    """
    try:
        receipt = read_receipt(directory)
    except InputError as error:
        return (f"receipt.json: {error.message}",)
    statement = {key: value for key, value in receipt.items() if key != "signature"}
    if not verify_signature(public_key, statement, receipt["signature"]):
        return ("receipt.json was edited, or not signed by this workspace's gate",)
    if receipt.get("statement") != STATEMENT or receipt.get("execution_id") != directory.execution_id:
        return ("receipt.json belongs to something else",)
    signed, actual = receipt["artifacts"], directory.digests()
    problems = [f"{name} is missing" for name in signed if name not in actual]
    problems += [f"{name} was edited" for name in signed if actual.get(name, signed[name]) != signed[name]]
    problems += [f"{name} was added" for name in actual if name not in signed]
    return tuple(sorted(problems))
