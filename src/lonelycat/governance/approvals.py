"""Which approvals count for a decision, and whether there are enough of them. Pure.

Invariants:
- An approval counts only if every question has the right answer: same plan, same decision digest, same
  context recomputed now, unused, unexpired, by a person whom the policy allows, who is not the proposer, in
  an allowed way, with a signature of the right key. The first wrong answer voids it, with a stable code.
- Approvals never lift a DENY.
- One person counts once, and so does one key, under whatever names.

Who is who: two names are one person if they are equal after :func:`identity`, which folds case, Unicode
compatibility forms and white space and drops every leading ``agent:``, ``user:``, ``person:`` or ``human:``.
So the agent that proposed as ``agent:alice`` cannot approve as ``Alice``, nor as ``user:agent:alice``. A name
that says ``agent:`` is not a person, and counts only if the policy lists exactly that name among its approvers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.paths import fold
from lonelycat.changes.plan import ChangePlan
from lonelycat.clock import IdSource
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision, context_digest
from lonelycat.governance.policy import Policy, Verdict
from lonelycat.governance.signing import Signer, verify_signature

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the future an approval may have been given; more means that a clock was set back."""

_AGENT = "agent"
_KINDS = (_AGENT, "user", "person", "human")


@dataclass(frozen=True, slots=True)
class ApprovalProblem:
    """Why an approval does not count, or why there are too few; ``approval_id`` is None for the latter."""

    code: str
    message: str
    approval_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalTally:
    """The approvals that count, how many are needed, and what is wrong with the rest."""

    valid: tuple[GovernanceApproval, ...]
    required: int
    problems: tuple[ApprovalProblem, ...]
    possible: bool = True

    @property
    def sufficient(self) -> bool:
        """Whether there are enough; never for a denied change."""
        return self.possible and len(self.valid) >= self.required


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """What approvals are judged against: the decision, and everything that it was made about, as it is *now*.

    Attributes:
        policy_hash: SHA-256 of the policy file's bytes, as read now.
        gate_public_key: base64 key that signs terminal approvals.
        used_ids: ids of approvals that an earlier execution has consumed.
    """

    decision: GovernanceDecision
    plan: ChangePlan
    changeset: ChangeSet
    policy: Policy
    policy_hash: str
    gate_public_key: str
    now: datetime
    used_ids: Collection[str] = ()

    def context(self) -> str | None:
        """Return the context digest recomputed now, or None if the policy lost a profile that it needs."""
        try:
            return context_digest(self.plan, self.changeset, self.policy, self.policy_hash)
        except KeyError:
            return None


def identity(name: str) -> str:
    """Return the form under which two spellings of one person's name are equal."""
    return _parts(name)[1]


def is_agent(name: str) -> bool:
    """Tell whether the name says that it is an agent's."""
    return _AGENT in _parts(name)[0]


def _parts(name: str) -> tuple[list[str], str]:
    """Return the kinds that stand before a name, and the name itself, folded."""
    rest = " ".join(fold(name).split())
    kinds: list[str] = []
    while True:
        kind, colon, after = rest.partition(":")
        if not colon or kind.strip() not in _KINDS:
            return kinds, rest
        kinds.append(kind.strip())
        rest = after.strip()


def required_approvals(decision: GovernanceDecision, policy: Policy) -> int:
    """Return how many approvals the decision needs: the quorum for its risk, at least what it says."""
    if decision.verdict is not Verdict.NEED_APPROVAL:
        return 0
    quorum = {str(level): count for level, count in policy.approvals.quorum.items()}
    return max(1, decision.approvals_required, quorum.get(str(decision.risk_level_effective), 1))


def make_approval(
    decision: GovernanceDecision,
    policy: Policy,
    *,
    approved_by: str,
    method: Literal["terminal", "key"],
    signer: Signer,
    now: datetime,
    ids: IdSource,
    note: str = "",
    given_from: str = "",
) -> GovernanceApproval:
    """Return a signed approval of ``decision``; whether it counts is asked by :func:`count_valid_approvals`.

    Args:
        signer: the gate's for ``terminal``, the approver's own for ``key``.
        given_from: where it was given, for example a terminal's name or a key's file; recorded only.
    """
    expires = min(now + timedelta(seconds=policy.approvals.expires_after), decision.expires_at)
    unsigned = GovernanceApproval(
        id=ids.new("appr"),
        plan_id=decision.plan_id,
        decision_id=decision.id,
        decision_digest=decision.digest(),
        context_digest=decision.context_digest,
        approved_by=approved_by,
        note=note,
        method=method,
        given_from=given_from,
        approved_at=now,
        expires_at=expires,
    )
    return unsigned.model_copy(update={"signature": signer.sign(unsigned.signed_payload())})


def count_valid_approvals(terms: ApprovalTerms, approvals: Sequence[GovernanceApproval]) -> ApprovalTally:
    """Sort ``approvals`` into those that count and those that do not, in the order given.

    Problems carry ``APPROVAL_OTHER_PLAN``, ``_CONTEXT_CHANGED``, ``_REUSED``, ``_EXPIRED``, ``_BY_PROPOSER``,
    ``_UNKNOWN_APPROVER``, ``_METHOD``, ``_SIGNATURE`` or ``_DUPLICATE``, and ``APPROVAL_MISSING`` if too few
    count.
    """
    context, digest = terms.context(), terms.decision.digest()
    required = required_approvals(terms.decision, terms.policy)
    valid: list[GovernanceApproval] = []
    problems: list[ApprovalProblem] = []
    seen: set[str] = set()
    for approval in approvals:
        found = _problem(terms, approval, context, digest)
        marks = _marks(terms.policy, approval)
        if found is None and not seen.isdisjoint(marks):
            found = ("APPROVAL_DUPLICATE", f"{approval.approved_by} already approved; one person counts once")
        if found is None:
            seen |= marks
            valid.append(approval)
        else:
            problems.append(ApprovalProblem(*found, approval.id))
    if len(valid) < required:
        problems.append(
            ApprovalProblem("APPROVAL_MISSING", f"{len(valid)} of {required} approvals that this change needs")
        )
    return ApprovalTally(tuple(valid), required, tuple(problems), terms.decision.verdict is not Verdict.DENY)


def approval_problem(terms: ApprovalTerms, approval: GovernanceApproval) -> ApprovalProblem | None:
    """Return why this one approval does not count, or None if it does."""
    found = _problem(terms, approval, terms.context(), terms.decision.digest())
    return None if found is None else ApprovalProblem(*found, approval.id)


def _marks(policy: Policy, approval: GovernanceApproval) -> set[str]:
    """Return what makes two approvals come from one hand: the approval itself, the person, the key."""
    marks = {f"id {approval.id}", f"person {identity(approval.approved_by)}"}
    registered = policy.approvals.approvers.get(approval.approved_by)
    if registered is not None and registered.public_key is not None:
        marks.add(f"key {registered.public_key}")
    return marks


def _problem(
    terms: ApprovalTerms, approval: GovernanceApproval, context: str | None, digest: str
) -> tuple[str, str] | None:
    return (
        _binding_problem(terms, approval, context, digest)
        or _use_problem(terms, approval)
        or _person_problem(terms, approval)
        or _signature_problem(terms, approval)
    )


def _binding_problem(
    terms: ApprovalTerms, approval: GovernanceApproval, context: str | None, digest: str
) -> tuple[str, str] | None:
    decision = terms.decision
    if not approval.plan_id == terms.plan.id == decision.plan_id == terms.changeset.plan_id:
        return "APPROVAL_OTHER_PLAN", f"it approves {approval.plan_id}, not {terms.plan.id}"
    if (approval.decision_id, approval.decision_digest) != (decision.id, digest):
        return "APPROVAL_CONTEXT_CHANGED", "it was given to another decision than the one in force"
    if context is None or not approval.context_digest == decision.context_digest == context:
        return (
            "APPROVAL_CONTEXT_CHANGED",
            "the change, the policy, or the checks that will run are no longer what was approved",
        )
    return None


def _use_problem(terms: ApprovalTerms, approval: GovernanceApproval) -> tuple[str, str] | None:
    if approval.id in terms.used_ids:
        return "APPROVAL_REUSED", "it was consumed by an earlier execution; an approval holds once"
    if approval.approved_at > terms.now + CLOCK_SKEW:
        return "APPROVAL_EXPIRED", "it was given in the future; a clock was set back"
    longest = approval.approved_at + timedelta(seconds=terms.policy.approvals.expires_after)
    if terms.now >= min(approval.expires_at, longest):
        return "APPROVAL_EXPIRED", f"it expired at {min(approval.expires_at, longest).isoformat()}"
    return None


def _person_problem(terms: ApprovalTerms, approval: GovernanceApproval) -> tuple[str, str] | None:
    return person_problem(terms.policy, terms.plan.created_by, approval.approved_by, approval.method)


def person_problem(policy: Policy, proposer: str, name: str, method: str) -> tuple[str, str] | None:
    """Return the code and the message for why ``name`` may not say yes in this way, or None if they may."""
    rules = policy.approvals
    if identity(name) == identity(proposer):
        return "APPROVAL_BY_PROPOSER", f"{name} proposed the change and cannot approve it"
    listed = name in rules.approvers
    if rules.approvers and not listed:
        return "APPROVAL_UNKNOWN_APPROVER", f"the policy does not list {name} as an approver"
    if not listed and is_agent(name):
        return "APPROVAL_UNKNOWN_APPROVER", f"{name} is an agent, not a person"
    if method not in rules.methods:
        return "APPROVAL_METHOD", f"the policy does not accept approvals given by {method}"
    if method == "terminal" and listed and rules.approvers[name].public_key is not None:
        return "APPROVAL_METHOD", f"{name} has a registered key and approves with it only"
    return None


def _signature_problem(terms: ApprovalTerms, approval: GovernanceApproval) -> tuple[str, str] | None:
    key, problem = signing_key(terms.policy, terms.gate_public_key, approval.approved_by, approval.method)
    if problem is not None:
        return problem
    if not verify_signature(key, approval.signed_payload(), approval.signature):
        return "APPROVAL_SIGNATURE", "its signature is not that of the key that had to sign it"
    return None


def signing_key(policy: Policy, gate_public_key: str, name: str, method: str) -> tuple[str, tuple[str, str] | None]:
    """Return the public key that has to have signed what ``name`` said in this way, and why there is none."""
    if method != "key":
        return gate_public_key, None
    registered = policy.approvals.approvers.get(name)
    if registered is None or registered.public_key is None:
        return "", ("APPROVAL_UNKNOWN_APPROVER", f"the policy holds no public key of {name}")
    return registered.public_key, None
