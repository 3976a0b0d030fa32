"""A person's yes is bound to one decision, given by somebody who may, and recorded with how it was given."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.ground import Ground, Proposed

from lonelycat import FileChange, LonelyCatError, Status
from lonelycat.runtime.consent import KeyConfirmation, TerminalConfirmation, phrase

HELD = FileChange.create(".github/workflows/ci.yml", "on: push\n")


@pytest.fixture
def held(begun: Ground) -> Proposed:
    return begun.keep([HELD])


def _typed(ground: Ground, proposed: Proposed, text: str | None = None) -> TerminalConfirmation:
    return TerminalConfirmation(phrase(proposed.decision) if text is None else text, "/dev/pts/test")


def _refused(ground: Ground, proposed: Proposed, confirmation: object, by: str = "human:owner") -> str:
    with pytest.raises(LonelyCatError) as refused:
        ground.cat().approve(proposed.plan.id, by=by, confirmation=confirmation)  # type: ignore[arg-type]  # either kind
    assert refused.value.hint
    stored = ground.cat().proposal(proposed.plan.id)
    assert stored.status is not Status.APPROVED
    return refused.value.code


def test_the_phrase_is_bound_to_the_decision(begun: Ground, held: Proposed) -> None:
    other = begun.keep([FileChange.create(".github/workflows/other.yml", "on: push\n")])
    assert begun.cat().confirmation_phrase(held.plan.id) == phrase(held.decision) != phrase(other.decision)
    assert phrase(held.decision) != phrase(held.decision.model_copy(update={"checksum": "0" * 64}))
    assert _refused(begun, held, _typed(begun, held, phrase(other.decision))) == "CONFIRMATION_MISMATCH"


@pytest.mark.parametrize("typed", ["", "y", "yes", "approve", "approve 00000000", "APPROVE", "approve \u0430", "\0"])
def test_anything_else_is_no_yes(begun: Ground, held: Proposed, typed: str) -> None:
    assert _refused(begun, held, _typed(begun, held, typed)) == "CONFIRMATION_MISMATCH"
    assert begun.cat().execute(held.plan.id).error_code == "APPROVAL_MISSING"


def test_a_yes_is_recorded_with_how_it_was_given_and_lets_it_run(begun: Ground, held: Proposed) -> None:
    confirmation = TerminalConfirmation(f"  {phrase(held.decision)}\n", "/dev/pts/test")
    approved = begun.cat().approve(held.plan.id, by="human:owner", note="fine", confirmation=confirmation)
    assert approved.status is Status.APPROVED
    (approval,) = approved.approvals
    assert (approval.approved_by, approval.method, approval.note) == ("human:owner", "terminal", "fine")
    assert "/dev/pts/test" in approval.given_from
    assert begun.cat().execute(held.plan.id).success


def test_the_proposer_cannot_approve(begun: Ground, held: Proposed) -> None:
    code = _refused(begun, held, _typed(begun, held), by=held.plan.created_by)
    assert code.startswith("APPROVAL_")
    refusals = [item for item in begun.cat().audit_export() if item["type"] == "approval.refused"]
    assert len(refusals) == 1


def test_one_person_counts_once(ground: Ground) -> None:
    ground.policy["approvals"] = {"quorum": {"LOW": 2, "MEDIUM": 2, "HIGH": 2, "CRITICAL": 2}}
    ground.begin()
    held = ground.keep([HELD])
    first = ground.cat().approve(held.plan.id, by="human:one", confirmation=_typed(ground, held))
    assert first.status is Status.AWAITING_APPROVAL
    assert _refused(ground, held, _typed(ground, held), by="human:one").startswith("APPROVAL_")
    second = ground.cat().approve(held.plan.id, by="human:two", confirmation=_typed(ground, held))
    assert second.status is Status.APPROVED


def test_there_is_nothing_to_approve_in_what_is_settled(begun: Ground, held: Proposed) -> None:
    denied = begun.keep([FileChange.create(".env", "A=1\n")])
    assert _refused(begun, denied, _typed(begun, denied)) == "DECISION_DENIED"
    allowed = begun.keep([FileChange.create("docs/a.md", "x\n")])
    with pytest.raises(LonelyCatError) as refused:
        begun.cat().approve(allowed.plan.id, by="human:owner", confirmation=_typed(begun, allowed))
    assert refused.value.code == "APPROVAL_NOT_NEEDED"
    begun.cat().reject(held.plan.id, by="human:owner", note="no")
    assert _refused(begun, held, _typed(begun, held)) == "PLAN_REJECTED"
    with pytest.raises(LonelyCatError) as no:
        begun.cat().execute(held.plan.id)
    assert no.value.code == "PLAN_REJECTED"


# -- keys ----------------------------------------


def test_an_approvers_key_outside_the_workspace_counts(ground: Ground) -> None:
    ground.begin()
    key = ground.outside / "owner.pem"
    public = ground.cat().new_approver_key(key, "human:owner")
    assert key.stat().st_mode & 0o077 == 0
    ground.policy["approvals"] = {"approvers": {"human:owner": {"public_key": public}}, "methods": ["key"]}
    ground.write_policy()
    held = ground.keep([HELD])
    assert _refused(ground, held, _typed(ground, held)).startswith("APPROVAL_")
    approved = ground.cat().approve(held.plan.id, by="human:owner", confirmation=KeyConfirmation(key))
    assert (approved.status, approved.approvals[0].method) == (Status.APPROVED, "key")
    assert ground.cat().execute(held.plan.id).success


def test_another_key_or_another_name_does_not_count(ground: Ground) -> None:
    ground.begin()
    key, other = ground.outside / "owner.pem", ground.outside / "other.pem"
    public = ground.cat().new_approver_key(key, "human:owner")
    ground.cat().new_approver_key(other, "human:other")
    ground.policy["approvals"] = {"approvers": {"human:owner": {"public_key": public}}}
    ground.write_policy()
    held = ground.keep([HELD])
    assert _refused(ground, held, KeyConfirmation(other)).startswith("APPROVAL_")
    assert _refused(ground, held, KeyConfirmation(key), by="human:other").startswith("APPROVAL_")


@pytest.mark.parametrize(
    "place", ["workspace/key.pem", "workspace/.lonelycat/key.pem", "outside/../workspace/key.pem", "link/key.pem"]
)
def test_a_key_where_an_agent_could_use_it_is_refused(begun: Ground, held: Proposed, place: str) -> None:
    (begun.base / "link").symlink_to(begun.root)
    path = begun.base / place
    for attempt in (
        lambda: begun.cat().new_approver_key(path, "human:owner"),
        lambda: begun.cat().approve(held.plan.id, by="human:owner", confirmation=KeyConfirmation(path)),
    ):
        with pytest.raises(LonelyCatError) as refused:
            attempt()
        assert refused.value.code == "KEY_INSIDE_WORKSPACE"
    assert not path.exists()


def test_a_key_is_never_overwritten_and_never_read_when_others_can_read_it(begun: Ground, held: Proposed) -> None:
    key = begun.outside / "owner.pem"
    begun.cat().new_approver_key(key, "human:owner")
    data = key.read_bytes()
    with pytest.raises(LonelyCatError) as exists:
        begun.cat().new_approver_key(key, "human:owner")
    assert exists.value.code == "KEY_EXISTS"
    assert key.read_bytes() == data
    with pytest.raises(LonelyCatError) as nowhere:
        begun.cat().new_approver_key(begun.outside / "none" / "owner.pem", "human:owner")
    assert nowhere.value.code == "KEY_UNWRITABLE"
    key.chmod(0o644)
    assert _refused(begun, held, KeyConfirmation(key)) == "KEY_UNSAFE"
    assert _refused(begun, held, KeyConfirmation(Path("/nowhere/key.pem"))) == "KEY_UNREADABLE"


def test_a_credential_in_a_note_is_not_kept(begun: Ground, held: Proposed) -> None:
    token = "ghp_" + "q7Rz0Lx4Kd9Wm2Ty6Vb1Nc8Pf3Hj5Gs0Ua4E"
    approved = begun.cat().approve(held.plan.id, by="human:owner", note=token, confirmation=_typed(begun, held))
    assert [approval.note for approval in approved.approvals] == ["[REDACTED-github-token]"]
