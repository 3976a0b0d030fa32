"""A person's word on what the machine found: keep a change that waits to be confirmed, release one that had failed.

Invariant: both are given like an approval (``consent.py``) and refused now when they do not count; both the word and
the refusal are in the audit log.
"""

from __future__ import annotations

from typing import NoReturn

from lonelycat.changes.digest import HASH_PATTERN
from lonelycat.errors import InputError, RefusedError
from lonelycat.executor.execution_lock import LockManager
from lonelycat.governance.approvals import person_problem, signing_key
from lonelycat.governance.confirmations import (
    ConfirmationTerms,
    GovernanceConfirmation,
    confirmation_phrase,
    confirmation_problem,
)
from lonelycat.governance.signing import verify_signature
from lonelycat.records.entries import AuditEvent, AuditType, AwaitedConfirmation, QuarantinedChange
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.consent import Confirmation, given


def awaited(wiring: Wiring, execution_id: str) -> AwaitedConfirmation:
    """Return the change that waits to be confirmed.

    Raises:
        InputError: ``CONFIRMATION_UNKNOWN``: no such execution waits or has waited.
        RefusedError: ``CONFIRMATION_ENDED`` when it has ended, or its process is dead.
    """
    asked = wiring.records.awaited_confirmation(execution_id) if wiring.has_records else None
    row = wiring.records.execution(execution_id) if wiring.has_records else None
    if row is not None:
        raise RefusedError(
            "CONFIRMATION_ENDED",
            f"{execution_id} has ended as {row.result.status}; there is nothing left to confirm",
            f"`lonelycat show {execution_id}` tells how; `lonelycat revert {execution_id}` takes a kept change back.",
        )
    if asked is None:
        raise InputError(
            "CONFIRMATION_UNKNOWN",
            f"no execution {execution_id[:80]!r} waits to be confirmed",
            "`lonelycat status` names the one that does.",
        )
    holder = LockManager(wiring.settings.workspace, filesystem=wiring.filesystem).holder()
    if holder is None or holder.execution_id != execution_id:
        raise RefusedError(
            "CONFIRMATION_ENDED",
            f"the process that executed {execution_id} is gone, which counts as no confirmation",
            "`lonelycat recover` takes the change back.",
        )
    return asked


def phrase_to_confirm(wiring: Wiring, execution_id: str) -> str:
    """Return what a person types to keep the change of ``execution_id``."""
    return confirmation_phrase(execution_id, awaited(wiring, execution_id).decision_digest)


def confirm(
    wiring: Wiring, execution_id: str, *, by: str, note: str, keep: bool, confirmation: Confirmation | None
) -> AwaitedConfirmation:
    """Record a person's word: keep the change, or take it back at once.

    Args:
        confirmation: how it was given; None only to take it back.

    Raises:
        RefusedError: ``APPROVAL_…`` when it does not count, ``CONFIRMATION_…``.
        InputError: ``APPROVAL_NEEDS_PERSON``, ``CONFIRMATION_UNKNOWN``, or the key cannot be read.
    """
    if keep and confirmation is None:
        raise InputError(
            "APPROVAL_NEEDS_PERSON", "a confirmation is typed by a person or signed with a key", "Give one."
        )
    asked = awaited(wiring, execution_id)
    method, signer, origin = "command", wiring.signer, wiring.settings.user
    if confirmation is not None:
        expected = confirmation_phrase(execution_id, asked.decision_digest)
        method, signer, origin = given(wiring, expected, confirmation)  # type: ignore[assignment]  # a narrower literal
    unsigned = GovernanceConfirmation.model_validate(
        {
            "id": wiring.ids.new("conf"),
            "execution_id": execution_id,
            "plan_id": asked.plan_id,
            "decision_digest": asked.decision_digest,
            "keep": keep,
            "given_by": by,
            "note": note,
            "method": method,
            "given_from": origin[:200],
            "given_at": wiring.clock.now(),
        }
    )
    said = unsigned.model_copy(update={"signature": signer.sign(unsigned.signed_payload())})
    terms = ConfirmationTerms(
        execution_id=execution_id,
        decision_digest=asked.decision_digest,
        proposer=asked.proposed_by,
        policy=wiring.policy().loaded.policy,
        gate_public_key=wiring.signer.public_key,
    )
    problem = confirmation_problem(terms, said)
    if problem is not None:
        _refuse(wiring, by, *problem, execution_id=execution_id)
    wiring.records.answer_confirmation(said)
    return asked


def quarantined_change(wiring: Wiring, checksum: str) -> QuarantinedChange:
    """Return the failed change with this digest.

    Raises:
        InputError: ``NOT_QUARANTINED``.
    """
    could_be = HASH_PATTERN.fullmatch(checksum) and wiring.has_records
    found = wiring.records.failed_change(checksum) if could_be else None
    if found is None:
        raise InputError(
            "NOT_QUARANTINED",
            f"no failed change {checksum[:80]!r} is in quarantine",
            "`lonelycat doctor` names those that are.",
        )
    return found


def phrase_to_release(wiring: Wiring, checksum: str) -> str:
    """Return what a person types to release the failed change with this digest."""
    return _release_phrase(quarantined_change(wiring, checksum).failed.checksum)


def _release_phrase(checksum: str) -> str:
    return f"release {checksum[:8]}"


def release(wiring: Wiring, checksum: str, *, by: str, reason: str, confirmation: Confirmation) -> QuarantinedChange:
    """Lift the quarantine of a failed change.

    Raises:
        RefusedError: ``APPROVAL_…`` when the person may not.
        InputError: ``NOT_QUARANTINED``, ``REASON_MISSING``, or the key cannot be read.
    """
    found = quarantined_change(wiring, checksum)
    if not reason.strip():
        raise InputError("REASON_MISSING", "it is not said why the change is released", "Say it with --reason TEXT.")
    method, signer, origin = given(wiring, _release_phrase(checksum), confirmation)
    policy = wiring.policy().loaded.policy
    problem = person_problem(policy, found.proposed_by, by, method)
    if problem is None:
        statement: dict[str, object] = {"statement": "lonelycat.release.v1", "checksum": checksum, "by": by}
        key, problem = signing_key(policy, wiring.signer.public_key, by, method)
        if problem is None and not verify_signature(key, statement, signer.sign(statement)):
            problem = "APPROVAL_SIGNATURE", f"the key is not that of {by}"
    if problem is not None:
        _refuse(wiring, by, *problem, checksum=checksum)
    facts = {"method": method, "given_from": origin, "failed_execution_id": found.failed.execution_id}
    wiring.records.release_failed_change(checksum, by, reason, **facts)
    return found


def _refuse(wiring: Wiring, by: str, code: str, message: str, **facts: object) -> NoReturn:
    payload = {**facts, "code": code, "message": message}
    wiring.records.audit(AuditEvent(AuditType.CONFIRMATION_REFUSED, by, payload))
    raise RefusedError(code, message, "Somebody whom the policy allows, and who did not propose it, has to say so.")
