"""A person's yes holds for exactly what it was given to, once, for a while, and never from the proposer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground, Proposed

from lonelycat import ChangeSet, FileChange, GovernanceApproval, Verdict, WriteGate
from lonelycat.clock import RandomIds, SystemClock
from lonelycat.errors import RefusedError
from lonelycat.governance.approvals import make_approval
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.lifecycle import Status
from lonelycat.records.keys import load_private_key
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.consent import KeyConfirmation, TerminalConfirmation
from lonelycat.runtime.execution_request import Options
from lonelycat.settings import Settings

CHANGE = FileChange.update("app/settings.txt", "old\n", "new\n")
OTHER = FileChange.create("app/prices.txt", "1\n")
DAY = 86_400


class LaterClock(SystemClock):
    """The machine's clock, some seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


@pytest.fixture
def governed(ground: Ground) -> Ground:
    """A ground where every change needs the yes of one of two people with keys of their own."""
    approvers = {name: {"public_key": _new_key(_key_file(ground, name))} for name in ("maria", "agent:coder")}
    ground.policy["default_risk"] = "HIGH"
    ground.policy["executor"]["require_health_checks_for_risk"] = []
    ground.policy["executor"]["require_rollback_plan_for_risk"] = []
    ground.policy["approvals"] = {"approvers": approvers, "methods": ["key"], "expires_after": DAY}
    return ground.begin()


def _key_file(ground: Ground, name: str) -> Path:
    return ground.outside / f"{name}.pem"


def _new_key(path: Path) -> str:
    signer = Ed25519Signer.generate()
    path.write_bytes(signer.to_pem())
    path.chmod(0o600)
    return signer.public_key


def _yes(
    ground: Ground, proposed: Proposed, by: str = "maria", *, now: datetime | None = None, **altered: Any
) -> GovernanceApproval:
    """Return an approval that ``by`` signed with the key of that name; ``altered`` before it was signed."""
    signer = load_private_key(_key_file(ground, by))
    approval = make_approval(
        proposed.decision,
        Wiring(Settings.for_workspace(ground.root)).policy().loaded.policy,
        approved_by=by,
        method="key",
        signer=signer,
        now=now or datetime.now(UTC),
        ids=RandomIds(),
    )
    approval = approval.model_copy(update=altered)
    return approval.model_copy(update={"signature": signer.sign(approval.signed_payload())})


def _assert_refused(ground: Ground, result: Any, code: str) -> None:
    assert (result.status, result.error_code) == (Status.REJECTED, code)
    assert (ground.root / "app/settings.txt").read_text(encoding="utf-8") == "old\n"
    assert ground.leftovers() == []


def test_with_a_persons_yes_it_is_executed(governed: Ground) -> None:
    proposed = governed.judge([CHANGE])
    assert proposed.decision.verdict is Verdict.NEED_APPROVAL
    _assert_refused(governed, governed.execute(proposed), "APPROVAL_MISSING")
    assert governed.execute(proposed, [_yes(governed, proposed)]).status is Status.COMPLETED
    governed.assert_sound()


def test_changed_content(governed: Ground) -> None:
    """The yes was for A: B is refused with A's decision, and with a decision of its own."""
    proposed = governed.judge([CHANGE])
    approval = _yes(governed, proposed)
    changed = ChangeSet.build(
        id=proposed.changeset.id,
        plan_id=proposed.plan.id,
        changes=[FileChange.update("app/settings.txt", "old\n", "evil\n")],
    )
    _assert_refused(governed, governed.execute(proposed, [approval], changeset=changed), "DECISION_MISMATCH")
    judged = WriteGate.from_workspace(governed.root).evaluate(proposed.plan, changed)
    result = governed.execute(proposed, [approval], changeset=changed, decision=judged)
    _assert_refused(governed, result, "APPROVAL_CONTEXT_CHANGED")


def test_changed_plan(governed: Ground) -> None:
    """The change is the same, but what would be run to check it is not."""
    proposed = governed.judge([CHANGE])
    approval = _yes(governed, proposed)
    bare = proposed.plan.model_copy(update={"verification_plan": ()})
    result = governed.execute(Proposed(bare, proposed.changeset, proposed.decision), [approval])
    _assert_refused(governed, result, "CONTEXT_CHANGED")


@pytest.mark.parametrize("what", ["a limit", "a verification command"])
def test_changed_policy(governed: Ground, what: str) -> None:
    proposed = governed.judge([CHANGE])
    approval = _yes(governed, proposed)
    if what == "a limit":
        governed.policy["executor"]["constraints"]["max_files_touched"] = 51
    else:
        governed.policy["verification"]["look"]["argv"] = governed.argv("(outside / 'ran').touch()")
    governed.write_policy()
    _assert_refused(governed, governed.execute(proposed, [approval]), "POLICY_CHANGED")
    judged = WriteGate.from_workspace(governed.root).evaluate(proposed.plan, proposed.changeset)
    assert judged.verdict is Verdict.NEED_APPROVAL
    _assert_refused(governed, governed.execute(proposed, [approval], decision=judged), "APPROVAL_CONTEXT_CHANGED")
    assert not (governed.outside / "ran").exists()


def test_changed_command_under_a_policy_hash_that_is_made_to_fit(governed: Ground) -> None:
    """Not the policy's hash alone: the resolved commands themselves are part of what was approved."""
    proposed = governed.judge([CHANGE])
    approval = _yes(governed, proposed)
    governed.policy["verification"]["look"]["argv"] = governed.argv("(outside / 'ran').touch()")
    governed.write_policy()
    sha256 = Wiring(Settings.for_workspace(governed.root)).policy().loaded.sha256
    fitted = proposed.decision.model_copy(update={"policy_snapshot_hash": sha256})
    fitted = fitted.model_copy(update={"signature": governed.gate_key().sign(fitted.signed_payload())})
    _assert_refused(governed, governed.execute(proposed, [approval], decision=fitted), "CONTEXT_CHANGED")
    assert not (governed.outside / "ran").exists()


def test_expired(governed: Ground) -> None:
    proposed = governed.judge([CHANGE])
    soon = datetime.now(UTC) + timedelta(seconds=60)
    approval = _yes(governed, proposed, expires_at=soon)
    late = governed.execute_wired(proposed, [approval], clock=LaterClock(120))
    _assert_refused(governed, late, "APPROVAL_EXPIRED")
    assert governed.execute_wired(proposed, [approval], clock=LaterClock(30)).status is Status.COMPLETED


def test_given_long_ago_and_said_to_hold_forever(governed: Ground) -> None:
    """An approver cannot give more time than the policy does."""
    proposed = governed.judge([CHANGE])
    forever = datetime.now(UTC) + timedelta(days=3650)
    approval = _yes(governed, proposed, now=datetime.now(UTC) - timedelta(seconds=DAY + 1), expires_at=forever)
    _assert_refused(governed, governed.execute(proposed, [approval]), "APPROVAL_EXPIRED")


def test_given_to_a_decision_that_has_expired(governed: Ground) -> None:
    proposed = governed.judge([CHANGE])
    approval = _yes(governed, proposed)
    late = governed.execute_wired(proposed, [approval], clock=LaterClock(DAY + 1))
    _assert_refused(governed, late, "DECISION_EXPIRED")


def test_reused(governed: Ground) -> None:
    """Consumed by an execution that was kept; not by one that was rolled back."""
    proposed = governed.judge([CHANGE])
    approval = _yes(governed, proposed)
    assert governed.execute(proposed, [approval]).status is Status.COMPLETED
    governed.write({"app/settings.txt": "old\n"})
    again = governed.execute(proposed, [approval], use_idempotency=False)
    _assert_refused(governed, again, "APPROVAL_REUSED")
    later = governed.execute_wired(proposed, [approval], clock=LaterClock(3700), options=Options())
    _assert_refused(governed, later, "APPROVAL_REUSED")


def test_crossed_between_two_plans(governed: Ground) -> None:
    one, other = governed.judge([CHANGE]), governed.judge([OTHER])
    _assert_refused(governed, governed.execute(one, [_yes(governed, other)]), "APPROVAL_OTHER_PLAN")
    _assert_refused(governed, governed.execute(other, [_yes(governed, one)]), "APPROVAL_OTHER_PLAN")
    relabelled = _yes(governed, other, plan_id=one.plan.id)
    _assert_refused(governed, governed.execute(one, [relabelled]), "APPROVAL_CONTEXT_CHANGED")


def test_crossed_between_two_decisions_on_one_plan(governed: Ground) -> None:
    proposed = governed.judge([CHANGE])
    again = WriteGate.from_workspace(governed.root).evaluate(proposed.plan, proposed.changeset)
    result = governed.execute(proposed, [_yes(governed, proposed)], decision=again)
    _assert_refused(governed, result, "APPROVAL_CONTEXT_CHANGED")


@pytest.mark.parametrize("spelling", ["agent:coder", "Coder", "person:CODER"])
def test_given_by_the_proposer(governed: Ground, spelling: str) -> None:
    """Even one whom the policy lists among the approvers, with the right key, under any spelling of the name."""
    proposed = governed.judge([CHANGE], by="agent:coder")
    approval = _yes(governed, proposed, by="agent:coder", approved_by=spelling)
    _assert_refused(governed, governed.execute(proposed, [approval]), "APPROVAL_BY_PROPOSER")


def test_signed_by_another_key(governed: Ground) -> None:
    proposed = governed.judge([CHANGE])
    stolen_name = _yes(governed, proposed, by="agent:coder", approved_by="maria")
    _assert_refused(governed, governed.execute(proposed, [stolen_name]), "APPROVAL_SIGNATURE")
    altered = _yes(governed, proposed).model_copy(update={"note": "and everything else"})
    _assert_refused(governed, governed.execute(proposed, [altered]), "APPROVAL_SIGNATURE")
    assert {event["code"] for event in governed.security_events()} == {"APPROVAL_SIGNATURE"}


def test_by_somebody_whom_the_policy_does_not_know(governed: Ground) -> None:
    proposed = governed.judge([CHANGE])
    approval = _yes(governed, proposed, approved_by="mallory")
    _assert_refused(governed, governed.execute(proposed, [approval]), "APPROVAL_UNKNOWN_APPROVER")


def test_one_person_does_not_make_two(governed: Ground) -> None:
    governed.policy["approvals"]["quorum"] = {"HIGH": 2}
    governed.write_policy()
    proposed = governed.judge([CHANGE], by="agent:other")
    twice = [_yes(governed, proposed), _yes(governed, proposed)]
    _assert_refused(governed, governed.execute(proposed, twice), "APPROVAL_DUPLICATE")
    both = [_yes(governed, proposed), _yes(governed, proposed, by="agent:coder")]
    assert governed.execute(proposed, both).status is Status.COMPLETED


def test_the_facade_takes_no_yes_from_the_proposer_nor_with_the_wrong_phrase(governed: Ground) -> None:
    proposed = governed.keep([CHANGE], by="agent:coder")
    cat, plan_id = governed.cat(), proposed.plan.id
    own = KeyConfirmation(_key_file(governed, "agent:coder"))
    with pytest.raises(RefusedError) as refused:
        cat.approve(plan_id, by="agent:coder", confirmation=own)
    assert refused.value.code == "APPROVAL_BY_PROPOSER"
    with pytest.raises(RefusedError) as refused:
        cat.approve(plan_id, by="maria", confirmation=TerminalConfirmation("approve 00000000", "/dev/pts/0"))
    assert refused.value.code == "CONFIRMATION_MISMATCH"
    waiting = governed.run("execute", plan_id)
    assert (waiting.exit, waiting.facts["code"]) == (3, "APPROVAL_MISSING")
    cat.approve(plan_id, by="maria", confirmation=KeyConfirmation(_key_file(governed, "maria")))
    assert governed.run("execute", plan_id).exit == 0
    governed.assert_sound()
