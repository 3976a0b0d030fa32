"""From a request to a judgement: read, put before the gate and, unless one only looks, kept as a proposal.

Invariants:
- What is only looked at is judged by the same gate and the same planner as what is kept; nothing of it is stored.
- A proposal is kept whatever the verdict; the first that is kept makes the policy that judged it the known one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import ConflictError
from lonelycat.governance.policy import Verdict
from lonelycat.lifecycle import Status
from lonelycat.runtime.judgement import Judgement
from lonelycat.runtime.requests import ChangeRequest, RequestReader

if TYPE_CHECKING:
    from lonelycat.governance.decision import GovernanceDecision
    from lonelycat.records.blobs import BlobStore
    from lonelycat.records.entries import Proposal
    from lonelycat.runtime.bootstrap import Wiring
    from lonelycat.runtime.policy_source import PolicyInForce
    from lonelycat.runtime.rebasing import RebaseReport

_STATUS = {
    Verdict.ALLOW: Status.APPROVED,
    Verdict.NEED_APPROVAL: Status.AWAITING_APPROVAL,
    Verdict.DENY: Status.DENIED,
}


def propose(wiring: Wiring, request: ChangeRequest) -> Judgement:
    """Judge ``request`` and keep it as a proposal.

    Raises:
        InputError, ConflictError, PolicyError: it cannot even be judged.
    """
    policy = wiring.policy()
    with wiring.spooling_blobs() as blobs:
        reader = RequestReader(wiring.settings, wiring.planner(policy, blobs), blobs)
        weighed = _weighed(wiring, policy, *_read(wiring, reader, request), blobs)  # no name holds the contents now
    return _kept(wiring, policy, weighed)


def keep(wiring: Wiring, plan: ChangePlan, changeset: ChangeSet, *, rebased_from: str | None = None) -> Judgement:
    """Judge a ready plan and change set and keep them as a proposal.

    Args:
        rebased_from: the plan that it takes the place of.
    """
    policy = wiring.policy()
    return _kept(wiring, policy, _weighed(wiring, policy, plan, changeset, wiring.records.blobs), rebased_from)


def rebase_and_keep(wiring: Wiring, proposal: Proposal) -> RebaseReport:
    """Put ``proposal`` on today's content and keep that as a proposal of its own, where anything of it is left to do.

    Raises:
        ConflictError, RefusedError: see ``rebasing.py``.
    """
    from lonelycat.runtime.rebasing import RebaseReport, rebase

    plan, changeset, changes = rebase(wiring, proposal)
    judgement = None
    if plan is not None and changeset is not None:
        judgement = keep(wiring, plan, changeset, rebased_from=proposal.plan.id)
    return RebaseReport(proposal.plan.id, judgement, changes)


def check(wiring: Wiring, request: ChangeRequest, *, rehearse: bool) -> Judgement:
    """Judge ``request`` as :func:`propose` would, and store nothing.

    Args:
        rehearse: also run its verification on it, in a sandbox, unless it is denied.
    """
    with wiring.scratch_blobs(needed=request.git_range is not None) as blobs:
        policy = wiring.policy()
        reader = RequestReader(wiring.settings, wiring.planner(policy, blobs), blobs)
        plan, changeset = _read(wiring, reader, request)
        return _looked_at(wiring, plan, changeset, policy, blobs, rehearse)


def check_again(wiring: Wiring, proposal: Proposal, *, rehearse: bool) -> Judgement:
    """Judge ``proposal`` as of now, and store nothing; see :func:`check`.

    Raises:
        RefusedError: ``CONTENT_NOT_KEPT``.
    """
    from lonelycat.runtime.ended import refuse_redacted

    refuse_redacted(proposal)
    return _looked_at(wiring, proposal.plan, proposal.changeset, wiring.policy(), wiring.blobs, rehearse)


def _read(wiring: Wiring, reader: RequestReader, request: ChangeRequest) -> tuple[ChangePlan, ChangeSet]:
    try:
        return reader.read(request)
    except ConflictError as error:
        from lonelycat.runtime.conflicts import explained

        raise explained(wiring, error) from error


class _Weighed(NamedTuple):
    """A change that was put before the gate, as it is to be stored: contents that are many lie in the blob store.

    Attributes:
        bases: hashes of the blobs that a rebase of it needs.
    """

    plan: ChangePlan
    changeset: ChangeSet
    decision: GovernanceDecision
    explanation: tuple[str, ...]
    bases: set[str]


def _weighed(
    wiring: Wiring, policy: PolicyInForce, plan: ChangePlan, changeset: ChangeSet, blobs: BlobStore
) -> _Weighed:
    from lonelycat.runtime.bases import keep_bases

    decision = wiring.gate(policy, blobs=blobs).evaluate(plan, changeset)
    bases: set[str] = set()
    if decision.verdict is not Verdict.DENY:  # which is final: there is nothing to rebase
        bases = keep_bases(wiring, changeset, wiring.contents(policy, blobs))
    explanation = wiring.planner(policy, blobs).explain(plan, changeset).lines
    return _Weighed(plan, wiring.records.pack(changeset, decision, blobs.spool), decision, explanation, bases)


def _kept(wiring: Wiring, policy: PolicyInForce, weighed: _Weighed, rebased_from: str | None = None) -> Judgement:
    from lonelycat.runtime.free_memory import give_back_memory

    plan, changeset, decision, explanation, bases = weighed
    give_back_memory(changeset)
    status = _STATUS[decision.verdict]
    wiring.records.save_proposal(plan, changeset, decision, status, bases=bases, rebased_from=rebased_from)
    if policy.trusted and not policy.shipped and not policy.pinned:
        wiring.adopt_policy(policy.loaded.sha256, by="lonelycat")
    give_back_memory(changeset)
    return Judgement(plan, changeset, decision, status, explanation, stored=True)


def _looked_at(
    wiring: Wiring, plan: ChangePlan, changeset: ChangeSet, policy: PolicyInForce, blobs: BlobStore, rehearse: bool
) -> Judgement:
    decision = wiring.gate(policy, stored=False, blobs=blobs).evaluate(plan, changeset)
    rehearsal = None
    if rehearse:
        from lonelycat.runtime.rehearsal import rehearse_alone

        rehearsal = rehearse_alone(wiring, plan, changeset, decision, policy.loaded.policy, blobs.open)
    explanation = wiring.planner(policy, blobs).explain(plan, changeset).lines
    return Judgement(plan, changeset, decision, _STATUS[decision.verdict], explanation, False, rehearsal)
