"""A person's yes: typed at a terminal, or signed with a key that is kept outside the workspace.

Invariants:
- What is typed is bound to one decision; it cannot be known before that decision was shown.
- An approval that does not count is refused now, not at execution, and the refusal is recorded.
- How it was given is part of what is signed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lonelycat.clock import isoformat
from lonelycat.errors import InputError, RefusedError
from lonelycat.governance.approvals import ApprovalTerms, approval_problem, count_valid_approvals, make_approval
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.governance.policy import Verdict
from lonelycat.governance.signing import Ed25519Signer, Signer
from lonelycat.lifecycle import Status
from lonelycat.records.entries import AuditEvent, AuditType, Proposal
from lonelycat.records.keys import load_private_key, write_private_key
from lonelycat.records.redaction import redact_text
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.standing import policy_hash, why_void
from lonelycat.settings import Settings


@dataclass(frozen=True, slots=True)
class TerminalConfirmation:
    """What a person typed, and at which terminal."""

    typed: str
    tty: str


@dataclass(frozen=True, slots=True)
class KeyConfirmation:
    """The file that holds the approver's private key."""

    private_key_path: Path


Confirmation = TerminalConfirmation | KeyConfirmation


_VOID = {
    "expired": ("DECISION_EXPIRED", "the decision has expired, and an approval would be void with it"),
    "policy_changed": ("POLICY_CHANGED", "the policy is not the one that the decision was made under"),
}


def phrase(decision: GovernanceDecision) -> str:
    """Return what must be typed to approve ``decision``."""
    return f"approve {decision.digest()[:8]}"


def phrase_to_approve(wiring: Wiring, proposal: Proposal) -> str:
    """Return what must be typed to approve ``proposal``, before anybody is asked to read it in vain.

    Raises:
        RefusedError: no approval of it would count.
        InputError: ``APPROVAL_NOT_NEEDED``.
    """
    _refuse_settled(proposal)
    void = why_void(proposal.decision, wiring.clock.now(), policy_hash(wiring))
    if void is not None:
        code, why = _VOID[void]
        raise RefusedError(code, why, f"Have it judged anew: `lonelycat propose --rebase {proposal.plan.id}`.")
    return phrase(proposal.decision)


def approve(wiring: Wiring, proposal: Proposal, *, by: str, note: str, confirmation: Confirmation) -> Proposal:
    """Make, check and store an approval; return the proposal with it.

    Raises:
        RefusedError: it does not count, or there is nothing to approve.
        InputError: the key cannot be read.
    """
    _refuse_settled(proposal)
    policy = wiring.policy()
    method, signer, origin = given(wiring, phrase(proposal.decision), confirmation)
    approval = make_approval(
        proposal.decision,
        policy.loaded.policy,
        approved_by=by,
        method=method,
        signer=signer,
        now=wiring.clock.now(),
        ids=wiring.ids,
        note=redact_text(note),
        given_from=origin,
    )
    terms = ApprovalTerms(
        decision=proposal.decision,
        plan=proposal.plan,
        changeset=proposal.changeset,
        policy=policy.loaded.policy,
        policy_hash=policy.loaded.sha256,
        gate_public_key=wiring.signer.public_key,
        now=wiring.clock.now(),
    )
    problem = approval_problem(terms, approval)
    tally = count_valid_approvals(terms, (*proposal.approvals, approval))
    if problem is None:
        problem = next((item for item in tally.problems if item.approval_id == approval.id), None)
    if problem is not None:
        facts = {"plan_id": proposal.plan.id, "code": problem.code, "message": problem.message}
        wiring.records.audit(AuditEvent(AuditType.APPROVAL_REFUSED, by, facts))
        raise RefusedError(
            problem.code, problem.message, f"See `lonelycat show {proposal.plan.id}` for what the change needs."
        )
    status = Status.APPROVED if tally.sufficient else Status.AWAITING_APPROVAL
    wiring.records.add_approval(proposal.plan.id, approval, status)
    if not policy.trusted and not policy.shipped:
        wiring.adopt_policy(policy.loaded.sha256, by=by)
    return wiring.records.proposal(proposal.plan.id) or proposal


def _refuse_settled(proposal: Proposal) -> None:
    if proposal.rejected_by is not None:
        raise RefusedError("PLAN_REJECTED", f"{proposal.rejected_by} said no to it", "Propose the change again.")
    if proposal.decision.verdict is Verdict.DENY:
        raise RefusedError("DECISION_DENIED", "the gate denied this change; no approval lifts a DENY", "Change it.")
    if proposal.decision.verdict is Verdict.ALLOW:
        hint = f"Execute it: `lonelycat execute {proposal.plan.id}`."
        raise InputError("APPROVAL_NOT_NEEDED", "the change is allowed as it is", hint)


def given(wiring: Wiring, expected: str, confirmation: Confirmation) -> tuple[Literal["terminal", "key"], Signer, str]:
    """Return how a person said yes, who signs for it, and where it was said.

    Args:
        expected: the phrase that has to be typed at a terminal.

    Raises:
        RefusedError: ``CONFIRMATION_MISMATCH``.
        InputError: ``KEY_INSIDE_WORKSPACE``, or the key cannot be read.
    """
    if isinstance(confirmation, KeyConfirmation):
        _refuse_inside(wiring.settings, confirmation.private_key_path)
        return "key", load_private_key(confirmation.private_key_path), confirmation.private_key_path.name
    if not secrets.compare_digest(confirmation.typed.strip().encode(), expected.encode()):
        raise RefusedError(
            "CONFIRMATION_MISMATCH", "what was typed is not the phrase for this decision", f"Type: {expected}"
        )
    return "terminal", wiring.signer, f"{confirmation.tty} as {wiring.settings.user} at {isoformat(wiring.clock.now())}"


def _refuse_inside(settings: Settings, path: Path) -> None:
    place = path.expanduser().resolve()
    if place.is_relative_to(settings.workspace) or place.is_relative_to(settings.state_dir):
        raise InputError(
            "KEY_INSIDE_WORKSPACE",
            "an approver's key must not lie where an agent could use it",
            "Keep it outside the workspace, readable by the approver alone.",
        )


def new_approver_key(settings: Settings, path: Path) -> str:
    """Write a new private key to ``path`` (mode 0600, which must not exist) and return the public key.

    Raises:
        InputError: ``KEY_INSIDE_WORKSPACE``, ``KEY_EXISTS``, ``KEY_UNWRITABLE``.
    """
    _refuse_inside(settings, path)
    signer = Ed25519Signer.generate()
    try:
        write_private_key(path.expanduser(), signer)
    except FileExistsError as error:
        raise InputError("KEY_EXISTS", f"there is something at {path} already", "Name another file.") from error
    except OSError as error:
        raise InputError(
            "KEY_UNWRITABLE", f"the key {path} cannot be written: {error.strerror}", "Name a place that you can write."
        ) from error
    return signer.public_key
