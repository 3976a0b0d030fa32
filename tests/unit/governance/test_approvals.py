"""Approvals: the one that counts, and every way in which one must not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.clock import RandomIds
from lonelycat.governance.approvals import (
    ApprovalTally,
    ApprovalTerms,
    approval_problem,
    count_valid_approvals,
    identity,
    is_agent,
    make_approval,
    required_approvals,
)
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision, context_digest
from lonelycat.governance.policy import Policy, Verdict
from lonelycat.governance.signing import Ed25519Signer

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
GATE = Ed25519Signer.generate()
ALICE = Ed25519Signer.generate()
IDS = RandomIds()


def make_policy(**approvals: Any) -> Policy:
    return Policy.model_validate(
        {
            "version": 1,
            "name": "test",
            "executor": {"allowed_paths": ["**"]},
            "verification": {"tests": {"argv": ["pytest"]}},
            "approvals": approvals,
        }
    )


def make_terms(policy: Policy | None = None, *, by: str = "agent:coder", content: bytes = b"x") -> ApprovalTerms:
    policy = policy or make_policy()
    plan = ChangePlan.new(intent="change", created_by=by, verification_plan=["tests"])
    changeset = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("a.txt", content)])
    decision = GovernanceDecision(
        id=IDS.new("dec"),
        plan_id=plan.id,
        changeset_id=changeset.id,
        checksum=changeset.checksum,
        verdict=Verdict.NEED_APPROVAL,
        risk_level_effective=RiskLevel.HIGH,
        approvals_required=1,
        policy_snapshot_hash="0" * 64,
        context_digest=context_digest(plan, changeset, policy, "0" * 64),
        evaluated_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    return ApprovalTerms(decision, plan, changeset, policy, "0" * 64, GATE.public_key, NOW)


def approve(terms: ApprovalTerms, by: str = "bob", **options: Any) -> GovernanceApproval:
    settings: dict[str, Any] = {"method": "terminal", "signer": GATE, "now": NOW, "ids": IDS, **options}
    return make_approval(terms.decision, terms.policy, approved_by=by, **settings)


def codes(tally: ApprovalTally) -> list[str]:
    return [problem.code for problem in tally.problems]


def refused(terms: ApprovalTerms, *approvals: GovernanceApproval) -> str:
    """Return the one code for which the last of ``approvals`` does not count."""
    tally = count_valid_approvals(terms, approvals)
    assert approvals[-1] not in tally.valid
    mine = [problem for problem in tally.problems if problem.approval_id == approvals[-1].id]
    assert len(mine) == 1
    return mine[0].code


def resign(approval: GovernanceApproval, signer: Ed25519Signer = GATE, **changes: Any) -> GovernanceApproval:
    changed = approval.model_copy(update=changes)
    return changed.model_copy(update={"signature": signer.sign(changed.signed_payload())})


def test_a_terminal_approval_by_another_person_counts() -> None:
    terms = make_terms()
    tally = count_valid_approvals(terms, [approve(terms)])
    assert tally.sufficient
    assert tally.problems == ()
    assert approval_problem(terms, approve(terms)) is None


def test_none_is_too_few() -> None:
    tally = count_valid_approvals(make_terms(), [])
    assert not tally.sufficient
    assert codes(tally) == ["APPROVAL_MISSING"]


def test_an_allowed_change_needs_none_and_a_denied_one_cannot_be_approved() -> None:
    terms = make_terms()
    allowed = replace(terms, decision=terms.decision.model_copy(update={"verdict": Verdict.ALLOW}))
    assert count_valid_approvals(allowed, []).sufficient
    denied = replace(terms, decision=terms.decision.model_copy(update={"verdict": Verdict.DENY}))
    assert not count_valid_approvals(denied, [approve(denied)]).sufficient


def test_the_quorum_is_the_larger_of_policy_and_decision() -> None:
    terms = make_terms(make_policy(quorum={"HIGH": 2, "LOW": 5}))
    assert required_approvals(terms.decision, terms.policy) == 2
    assert required_approvals(terms.decision.model_copy(update={"approvals_required": 3}), terms.policy) == 3
    assert required_approvals(terms.decision.model_copy(update={"approvals_required": 0}), make_policy()) == 1
    one = count_valid_approvals(terms, [approve(terms)])
    assert (one.sufficient, codes(one)) == (False, ["APPROVAL_MISSING"])
    assert count_valid_approvals(terms, [approve(terms), approve(terms, "carol")]).sufficient


@pytest.mark.parametrize("again", ["bob", "BOB", " bob ", "user:Bob", "ｂｏｂ", "bo\u200bb"])
def test_one_person_counts_once_however_the_name_is_spelled(again: str) -> None:
    terms = make_terms(make_policy(quorum={"HIGH": 2}))
    assert refused(terms, approve(terms), approve(terms, again)) == "APPROVAL_DUPLICATE"


def test_the_same_approval_twice_counts_once() -> None:
    terms = make_terms(make_policy(quorum={"HIGH": 2}))
    approval = approve(terms)
    tally = count_valid_approvals(terms, [approval, approval])
    assert len(tally.valid) == 1
    assert codes(tally) == ["APPROVAL_DUPLICATE", "APPROVAL_MISSING"]


def test_one_key_under_two_names_counts_once() -> None:
    key = {"public_key": ALICE.public_key}
    terms = make_terms(make_policy(quorum={"HIGH": 2}, approvers={"alice": key, "anne": key}))
    first = approve(terms, "alice", method="key", signer=ALICE)
    assert refused(terms, first, approve(terms, "anne", method="key", signer=ALICE)) == "APPROVAL_DUPLICATE"


@pytest.mark.parametrize(
    ("proposer", "approver"),
    [
        ("alice", "alice"),
        ("alice", "Alice"),
        ("agent:alice", "alice"),
        ("alice", "agent:alice"),
        ("agent:alice", "ALICE "),
        ("agent:alice", "user: alice"),
        ("agent:alice", "user:agent:alice"),
        ("agent:alice", "agent :alice"),
        ("agent:alice", "human:alice"),
        ("user:agent:alice", "alice"),
        ("alice", "person: user: Alice"),
        ("ﬁona", "fiona"),
        ("alice", "ali\u200dce"),
    ],
)
def test_the_proposer_cannot_approve(proposer: str, approver: str) -> None:
    terms = make_terms(by=proposer)
    assert refused(terms, approve(terms, approver)) == "APPROVAL_BY_PROPOSER"


def test_different_people_have_different_identities() -> None:
    assert is_agent("user: agent:alice") and is_agent("Agent :x") and not is_agent("user:alice")
    assert len({identity(name) for name in ("alice", "alice2", "al ice", "alice@example.org", "agent alice")}) == 5


def test_an_agent_is_no_person_unless_the_policy_lists_it() -> None:
    terms = make_terms()
    assert refused(terms, approve(terms, "agent:reviewer")) == "APPROVAL_UNKNOWN_APPROVER"
    listed = make_terms(make_policy(approvers={"agent:reviewer": {}}))
    assert count_valid_approvals(listed, [approve(listed, "agent:reviewer")]).sufficient


def test_crossed_approvals_of_two_pending_plans_are_refused() -> None:
    one, two = make_terms(), make_terms()
    assert refused(one, approve(two)) == "APPROVAL_OTHER_PLAN"
    assert refused(two, approve(one)) == "APPROVAL_OTHER_PLAN"


def test_an_approval_whose_plan_id_was_rewritten_is_refused() -> None:
    one, two = make_terms(), make_terms()
    assert refused(one, resign(approve(two), plan_id=one.plan.id)) == "APPROVAL_CONTEXT_CHANGED"


def test_changed_content_voids() -> None:
    terms = make_terms()
    approval = approve(terms)
    other = ChangeSet.build(plan_id=terms.plan.id, changes=[FileChange.create("a.txt", b"evil")])
    assert refused(replace(terms, changeset=other), approval) == "APPROVAL_CONTEXT_CHANGED"


def test_changed_policy_voids() -> None:
    terms = make_terms()
    assert refused(replace(terms, policy_hash="1" * 64), approve(terms)) == "APPROVAL_CONTEXT_CHANGED"


def test_a_changed_or_removed_verification_command_voids() -> None:
    terms = make_terms()
    approval = approve(terms)
    for table in ({"tests": {"argv": ["true"]}}, {}):
        changed = Policy.model_validate(
            {"version": 1, "name": "test", "executor": {"allowed_paths": ["**"]}, "verification": table}
        )
        assert refused(replace(terms, policy=changed), approval) == "APPROVAL_CONTEXT_CHANGED"


def test_a_changed_plan_voids() -> None:
    terms = make_terms()
    approval = approve(terms)
    changed = terms.plan.model_copy(update={"verification_plan": ()})
    assert refused(replace(terms, plan=changed), approval) == "APPROVAL_CONTEXT_CHANGED"


def test_a_new_decision_voids_the_approval_of_the_old_one() -> None:
    terms = make_terms()
    approval = approve(terms)
    for update in ({"id": IDS.new("dec")}, {"risk_level_effective": RiskLevel.CRITICAL}):
        renewed = replace(terms, decision=terms.decision.model_copy(update=update))
        assert refused(renewed, approval) == "APPROVAL_CONTEXT_CHANGED"


def test_a_used_approval_is_refused() -> None:
    terms = make_terms()
    approval = approve(terms)
    assert refused(replace(terms, used_ids=frozenset({approval.id})), approval) == "APPROVAL_REUSED"


def test_expiry_is_exact_and_bounded_by_the_policy() -> None:
    terms = make_terms(make_policy(expires_after=100))
    approval = approve(terms)
    assert approval.expires_at == NOW + timedelta(seconds=100)
    moment = timedelta(microseconds=1)
    assert count_valid_approvals(replace(terms, now=approval.expires_at - moment), [approval]).sufficient
    assert refused(replace(terms, now=approval.expires_at), approval) == "APPROVAL_EXPIRED"
    stretched = resign(approval, expires_at=NOW + timedelta(days=999))
    assert refused(replace(terms, now=NOW + timedelta(seconds=100)), stretched) == "APPROVAL_EXPIRED"


def test_an_approval_never_outlives_the_decision() -> None:
    terms = make_terms()
    short = replace(terms, decision=terms.decision.model_copy(update={"expires_at": NOW + timedelta(seconds=5)}))
    assert approve(short).expires_at == NOW + timedelta(seconds=5)


def test_a_clock_set_back_does_not_lengthen_an_approval() -> None:
    terms = make_terms()
    approval = approve(terms)
    assert refused(replace(terms, now=NOW - timedelta(hours=1)), approval) == "APPROVAL_EXPIRED"
    assert count_valid_approvals(replace(terms, now=NOW - timedelta(minutes=1)), [approval]).sufficient


def test_only_listed_approvers_when_the_policy_lists_any() -> None:
    terms = make_terms(make_policy(approvers={"alice": {}}))
    assert refused(terms, approve(terms, "bob")) == "APPROVAL_UNKNOWN_APPROVER"
    assert refused(terms, approve(terms, "Alice")) == "APPROVAL_UNKNOWN_APPROVER"
    assert count_valid_approvals(terms, [approve(terms, "alice")]).sufficient


def test_the_policy_says_by_what_method() -> None:
    terms = make_terms(make_policy(methods=["key"]))
    assert refused(terms, approve(terms)) == "APPROVAL_METHOD"
    keyed = make_terms(make_policy(methods=["terminal"], approvers={"alice": {"public_key": ALICE.public_key}}))
    assert refused(keyed, approve(keyed, "alice", method="key", signer=ALICE)) == "APPROVAL_METHOD"


def test_an_approver_with_a_key_must_use_it() -> None:
    terms = make_terms(make_policy(approvers={"alice": {"public_key": ALICE.public_key}}))
    assert refused(terms, approve(terms, "alice")) == "APPROVAL_METHOD"
    keyed = approve(terms, "alice", method="key", signer=ALICE)
    assert count_valid_approvals(terms, [keyed]).sufficient


def test_a_key_approval_needs_a_registered_key() -> None:
    terms = make_terms()
    assert refused(terms, approve(terms, "bob", method="key", signer=ALICE)) == "APPROVAL_UNKNOWN_APPROVER"


def test_signatures_of_the_wrong_key_are_refused() -> None:
    terms = make_terms(make_policy(approvers={"alice": {"public_key": ALICE.public_key}, "bob": {}}))
    other = Ed25519Signer.generate()
    assert refused(terms, approve(terms, "bob", signer=other)) == "APPROVAL_SIGNATURE"
    assert refused(terms, approve(terms, "alice", method="key", signer=other)) == "APPROVAL_SIGNATURE"
    assert refused(terms, approve(terms, "alice", method="key", signer=GATE)) == "APPROVAL_SIGNATURE"


@pytest.mark.parametrize("field", sorted(set(GovernanceApproval.model_fields) - {"signature"}))
def test_every_field_is_covered_by_the_signature(field: str) -> None:
    terms = make_terms(make_policy(approvers={"alice": {"public_key": ALICE.public_key}, "bob": {}, "carol": {}}))
    approval = approve(terms, "bob")
    other: dict[str, Any] = {
        "id": "appr_other",
        "plan_id": "plan_other",
        "decision_id": "dec_other",
        "decision_digest": "f" * 64,
        "context_digest": "f" * 64,
        "approved_by": "carol",
        "note": "other",
        "method": "key",
        "given_from": "other",
        "approved_at": NOW + timedelta(seconds=1),
        "expires_at": NOW + timedelta(days=3),
    }
    assert approval_problem(terms, approval) is None
    assert approval_problem(terms, approval.model_copy(update={field: other[field]})) is not None
