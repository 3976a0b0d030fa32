"""Each numbered step of admission refuses by itself, as if no gate had run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange, checksum_of
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.errors import LonelyCatError, NeedsApprovalError, RefusedError
from lonelycat.executor.admission import AdmissionTerms, admit
from lonelycat.governance.approvals import make_approval
from lonelycat.governance.decision import GovernanceDecision, context_digest
from lonelycat.governance.policy import Policy, Verdict
from lonelycat.governance.signing import Ed25519Signer

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HASH = "a" * 64
GATE = Ed25519Signer.generate()


def _policy(argv: str | None = "true", **executor: Any) -> Policy:
    section = {
        "allowed_paths": ["src/**", "docs/**"],
        "forbidden_paths": ["**/.env"],
        "require_verification_for_risk": ["HIGH"],
        "require_health_checks_for_risk": [],
        **executor,
    }
    profiles = {"tests": {"argv": [argv]}} if argv else {}
    return Policy.model_validate({"version": 1, "name": "t", "executor": section, "verification": profiles})


def _terms(
    *changes: FileChange,
    policy: Policy | None = None,
    verdict: Verdict = Verdict.ALLOW,
    signer: Ed25519Signer = GATE,
    plan_fields: dict[str, Any] | None = None,
    **decision_fields: Any,
) -> AdmissionTerms:
    policy = policy or _policy()
    plan = ChangePlan.new(intent="x", created_by="agent:x", **(plan_fields or {}))
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes or [FileChange.create("src/a", b"1")])
    fields: dict[str, Any] = {
        "id": "dec_1",
        "plan_id": plan.id,
        "changeset_id": changeset.id,
        "checksum": changeset.checksum,
        "verdict": verdict,
        "policy_snapshot_hash": HASH,
        "context_digest": "b" * 64,
        "evaluated_at": NOW,
        "expires_at": NOW + timedelta(hours=1),
        **decision_fields,
    }
    if "context_digest" not in decision_fields:
        fields["context_digest"] = context_digest(plan, changeset, policy, HASH)
    return _signed(
        AdmissionTerms(plan, changeset, GovernanceDecision(**fields), (), policy, HASH, GATE.public_key, NOW), signer
    )


def _signed(terms: AdmissionTerms, signer: Ed25519Signer = GATE) -> AdmissionTerms:
    signature = signer.sign(terms.decision.signed_payload())
    return replace(terms, decision=terms.decision.model_copy(update={"signature": signature}))


def _code(terms: AdmissionTerms, kind: type[LonelyCatError] = RefusedError) -> str:
    with pytest.raises(kind) as caught:
        admit(terms)
    assert caught.value.message and caught.value.hint
    return caught.value.code


def _forged(terms: AdmissionTerms, *changes: FileChange) -> AdmissionTerms:
    """Terms in which the change set was exchanged for ``changes`` and everything was signed again by the gate."""
    changeset = terms.changeset.model_copy(update={"changes": changes, "checksum": checksum_of(changes)})
    decision = terms.decision.model_copy(
        update={
            "checksum": changeset.checksum,
            "context_digest": context_digest(terms.plan, changeset, terms.policy, HASH),
        }
    )
    return _signed(replace(terms, changeset=changeset, decision=decision))


def test_what_was_allowed_is_admitted() -> None:
    assert admit(_terms()) == ()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../x", "PATH_TRAVERSAL"),
        ("/etc/passwd", "PATH_ABSOLUTE"),
        ("src//a", "PATH_NOT_NORMAL"),
        (".git/config", "PATH_PROTECTED"),
        ("src/.GIT/hooks/x", "PATH_PROTECTED"),
        (".lonelycat/locks/guard", "PATH_PROTECTED"),
    ],
)
def test_step_1_shape_whatever_built_the_models(path: str, code: str) -> None:
    terms = _terms()
    forged = FileChange.create("src/a", b"1").model_copy(update={"path": path})
    assert _code(_forged(terms, forged)) == code
    moved = FileChange.rename("src/a", "src/b", b"1").model_copy(update={"old_path": path})
    assert _code(_forged(terms, moved)) == code


def test_step_1_no_path_twice_and_none_at_all() -> None:
    terms, change = _terms(), FileChange.create("src/a", b"1")
    assert _code(_forged(terms, change, change)) == "PATH_DUPLICATE"
    assert _code(_forged(terms)) == "CHANGESET_EMPTY"


def test_step_2_contents_have_their_hashes_and_the_changes_their_checksum() -> None:
    terms = _terms(FileChange.update("src/a", b"1", b"2"))
    (change,) = terms.changeset.changes
    for altered in (
        {"content": b"evil"},
        {"path": "src/b"},
        {"new_mode": "100755"},
        {"old_hash": HASH},
        {"new_hash": HASH},
    ):
        changes = (change.model_copy(update=altered),)
        changeset = terms.changeset.model_copy(update={"changes": changes})
        assert _code(replace(terms, changeset=changeset)) == "CHECKSUM_MISMATCH", altered
    assert _code(_forged(terms, change.model_copy(update={"content": b"evil"}))) == "CHECKSUM_MISMATCH"


@pytest.mark.parametrize("field", ["plan_id", "changeset_id", "checksum"])
def test_step_3_the_decision_is_about_exactly_this(field: str) -> None:
    value = HASH if field == "checksum" else "plan_other"
    assert _code(_terms(**{field: value})) == "DECISION_MISMATCH"


def test_step_3_the_change_set_is_of_this_plan() -> None:
    terms = _terms()
    other = terms.changeset.model_copy(update={"plan_id": "plan_other"})
    assert _code(replace(terms, changeset=other)) == "DECISION_MISMATCH"


def test_step_4_signed_by_this_workspace_unaltered() -> None:
    assert _code(_terms(signer=Ed25519Signer.generate())) == "DECISION_SIGNATURE"
    terms = _terms(verdict=Verdict.DENY)
    for update in ({"verdict": Verdict.ALLOW}, {"expires_at": NOW + timedelta(days=9)}, {"signature": ""}):
        forged = replace(terms, decision=terms.decision.model_copy(update=update))
        assert _code(forged) == "DECISION_SIGNATURE"


@pytest.mark.parametrize(("seconds", "admitted"), [(3599, True), (3600, False), (90_000, False)])
def test_step_4_not_expired(seconds: int, admitted: bool) -> None:
    terms = replace(_terms(), now=NOW + timedelta(seconds=seconds))
    if admitted:
        assert admit(terms) == ()
    else:
        assert _code(terms) == "DECISION_EXPIRED"


def test_step_5_a_deny_is_final() -> None:
    assert _code(_terms(verdict=Verdict.DENY)) == "DECISION_DENIED"


def test_step_6_the_policy_and_all_that_runs_are_what_was_decided_on() -> None:
    terms = _terms(plan_fields={"verification_plan": ["tests"]})
    assert admit(terms) == ()
    assert _code(replace(terms, policy_hash="c" * 64)) == "POLICY_CHANGED"
    assert _code(replace(terms, policy=_policy(argv="false"))) == "CONTEXT_CHANGED"
    assert _code(replace(terms, policy=_policy(argv=None))) == "PROFILE_UNKNOWN"
    assert _code(replace(terms, plan=terms.plan.model_copy(update={"services": ("web",)}))) == "PROFILE_UNKNOWN"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (FileChange.create("src/.env", b"1"), "PATH_FORBIDDEN"),
        (FileChange.create("src/.ENV", b"1"), "PATH_FORBIDDEN"),
        (FileChange.create("elsewhere/a", b"1"), "PATH_NOT_ALLOWED"),
        (FileChange.rename("elsewhere/a", "src/a", b"1"), "PATH_NOT_ALLOWED"),
        (FileChange.rename("src/.env", "src/a", b"1"), "PATH_FORBIDDEN"),
    ],
)
def test_step_7_paths_under_a_forged_allow(change: FileChange, code: str) -> None:
    assert _code(_terms(change)) == code


@pytest.mark.parametrize(
    ("limits", "within", "over"),
    [
        ({"max_files_touched": 2}, 2, 3),
        ({"max_file_bytes": 10}, 1, 1),
        ({"max_total_bytes": 20}, 2, 3),
    ],
)
def test_step_7_limits(limits: dict[str, int], within: int, over: int) -> None:
    policy = _policy(constraints=limits)

    def changes(count: int, size: int) -> list[FileChange]:
        return [FileChange.create(f"src/{n}", b"x" * size) for n in range(count)]

    assert admit(_terms(*changes(within, 10), policy=policy)) == ()
    assert _code(_terms(*changes(over, 11 if within == over else 10), policy=policy)) == "LIMIT_EXCEEDED"


def test_step_7_deletions() -> None:
    policy = _policy(constraints={"max_deletions": 1})
    kept = (FileChange.delete("src/a", b"1"), FileChange.rename("src/b", "src/c", b"1"))
    assert admit(_terms(*kept, policy=policy)) == ()
    assert _code(_terms(*kept, FileChange.delete("src/d", b"1"), policy=policy)) == "LIMIT_EXCEEDED"


@pytest.mark.parametrize("where", ["decision", "plan"])
@pytest.mark.parametrize("kind", ["require_verification_for_risk", "require_health_checks_for_risk"])
def test_step_8_what_the_risk_requires(where: str, kind: str) -> None:
    policy = _policy(**{"require_verification_for_risk": [], kind: ["HIGH"]})
    decision: dict[str, Any] = {"risk_level_effective": RiskLevel.HIGH} if where == "decision" else {}
    plan = {"risk_level_proposed": RiskLevel.HIGH} if where == "plan" else {}
    assert _code(_terms(policy=policy, plan_fields=plan, **decision)) == "REQUIREMENT_MISSING"
    assert admit(_terms(policy=policy)) == ()


def test_step_9_as_many_valid_approvals_as_needed() -> None:
    terms = _terms(verdict=Verdict.NEED_APPROVAL, approvals_required=1)
    assert _code(terms, NeedsApprovalError) == "APPROVAL_MISSING"

    class Ids:
        def new(self, prefix: str) -> str:
            return f"{prefix}_1"

    approval = make_approval(
        terms.decision, terms.policy, approved_by="bob", method="terminal", signer=GATE, now=NOW, ids=Ids()
    )
    given = replace(terms, approvals=(approval,))
    assert admit(given) == (approval,)
    assert _code(replace(given, used_approvals={approval.id})) == "APPROVAL_REUSED"
    late = replace(given, now=approval.expires_at)
    assert _code(late) in ("APPROVAL_EXPIRED", "DECISION_EXPIRED")
    unsigned = approval.model_copy(update={"signature": ""})
    assert _code(replace(terms, approvals=(unsigned,))) == "APPROVAL_SIGNATURE"


ORDER: list[tuple[str, Callable[[AdmissionTerms], AdmissionTerms]]] = [
    ("DECISION_SIGNATURE", lambda terms: replace(terms, gate_public_key=Ed25519Signer.generate().public_key)),
    ("DECISION_EXPIRED", lambda terms: replace(terms, now=NOW + timedelta(days=1))),
    ("POLICY_CHANGED", lambda terms: replace(terms, policy_hash="c" * 64)),
]


def test_the_first_step_that_does_not_hold_refuses() -> None:
    terms = _terms(FileChange.create("elsewhere/.env", b"1"))
    assert _code(terms) == "PATH_FORBIDDEN"
    for code, spoil in reversed(ORDER):
        terms = spoil(terms)
        assert _code(terms) == code
