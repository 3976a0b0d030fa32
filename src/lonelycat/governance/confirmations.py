"""A person's word on a change that is in place and waits to be kept: who may give it, and what it is bound to. Pure.

Invariants:
- It is bound to one execution and to the digest of the decision that was executed; it says nothing about any other.
- To keep a change it is given like an approval: by a person whom the policy allows, who is not the proposer, in an
  allowed way, signed with the right key. To take one back it needs no leave: back is where everything is safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from lonelycat.changes.digest import canonical_digest
from lonelycat.changes.model import Hash, Instant, Strict
from lonelycat.changes.plan import Actor, Identifier
from lonelycat.governance.approvals import person_problem, signing_key
from lonelycat.governance.policy import Policy
from lonelycat.governance.signing import verify_signature


class GovernanceConfirmation(Strict):
    """What a person said of one execution: single use.

    Attributes:
        keep: True keeps the change; False takes it back at once.
        method: ``terminal``, ``key``, or for taking back also ``command``: nothing was typed or signed by a person.
        signature: base64 Ed25519 signature over :meth:`signed_payload`: the gate's, or for ``key`` the person's own.
    """

    id: Identifier
    execution_id: Identifier
    plan_id: Identifier
    decision_digest: Hash
    keep: bool
    given_by: Actor
    note: Annotated[str, Field(max_length=2_000)] = ""
    method: Literal["terminal", "key", "command"]
    given_from: Annotated[str, Field(max_length=200)] = ""
    given_at: Instant
    signature: str = ""

    def signed_payload(self) -> dict[str, object]:
        """Return the JSON-compatible form that the signature covers: everything but the signature."""
        return {"statement": "lonelycat.confirmation.v1", **self.model_dump(mode="json", exclude={"signature"})}


@dataclass(frozen=True, slots=True)
class ConfirmationTerms:
    """What a confirmation is judged against.

    Attributes:
        proposer: who proposed the change, and so cannot confirm it.
        gate_public_key: base64 key that signs what is typed at a terminal.
    """

    execution_id: str
    decision_digest: str
    proposer: str
    policy: Policy
    gate_public_key: str


def confirmation_phrase(execution_id: str, decision_digest: str) -> str:
    """Return what a person types to keep exactly this execution's change."""
    return f"confirm {canonical_digest({'execution': execution_id, 'decision': decision_digest})[:8]}"


def confirmation_problem(terms: ConfirmationTerms, said: GovernanceConfirmation) -> tuple[str, str] | None:
    """Return the code and the message for why ``said`` does not count, or None if it does."""
    if (said.execution_id, said.decision_digest) != (terms.execution_id, terms.decision_digest):
        return "CONFIRMATION_OTHER_EXECUTION", f"it was given to {said.execution_id}, or to another decision"
    if said.keep:
        problem = person_problem(terms.policy, terms.proposer, said.given_by, said.method)
        if problem is not None:
            return problem
    key, problem = signing_key(terms.policy, terms.gate_public_key, said.given_by, said.method)
    if problem is not None:
        return problem
    if not verify_signature(key, said.signed_payload(), said.signature):
        return "APPROVAL_SIGNATURE", "its signature is not that of the key that had to sign it"
    return None
