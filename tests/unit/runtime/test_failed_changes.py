"""What was made, failed and taken back needs a person before the same bytes are made again, whoever proposes them."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground, Proposed
from tests.patience import until
from tests.unit.runtime.served import CHANGES, SleptClock, make_sick, watched

from lonelycat import ExecutionResult, FileChange, Verdict
from lonelycat.errors import InputError, LonelyCatError, RefusedError
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.lifecycle import Status
from lonelycat.records.failed_marks import FailedMarks
from lonelycat.runtime.consent import TerminalConfirmation
from lonelycat.runtime.requests import ChangeRequest

BROKEN = "sys.exit((outside / 'broken').exists())"
PATCH = b"""\
diff --git a/app/settings.txt b/app/settings.txt
--- a/app/settings.txt
+++ b/app/settings.txt
@@ -1 +1 @@
-old
+new
"""


@pytest.fixture
def failing(ground: Ground) -> Ground:
    """A workspace whose verification fails while ``outside/broken`` exists, which it does."""
    ground.policy["verification"]["look"]["argv"] = ground.argv(BROKEN)
    (ground.outside / "broken").touch()
    return ground.begin()


def _mend(ground: Ground) -> None:
    (ground.outside / "broken").unlink()


def _failed(ground: Ground, changes: Any = CHANGES) -> tuple[Proposed, ExecutionResult]:
    proposed = ground.keep(changes)
    answer = ground.cat().execute(proposed.plan.id)
    assert answer.status is Status.ROLLED_BACK, answer.message
    return proposed, answer


def _reasons(decision: GovernanceDecision) -> list[str]:
    return [reason.code for reason in decision.reasons if reason.counts]


def _release(ground: Ground, checksum: str, by: str = "Ada") -> None:
    cat = ground.cat()
    typed = TerminalConfirmation(cat.release_phrase(checksum), "/dev/pts/9")
    cat.release(checksum, by=by, reason="the database was down", confirmation=typed)


def test_proposing_the_same_again_needs_a_person_and_says_which_attempt_failed_and_why(failing: Ground) -> None:
    _, result = _failed(failing)
    again = failing.keep(CHANGES, by="agent:other")
    assert again.decision.verdict is Verdict.NEED_APPROVAL
    (reason,) = [reason for reason in again.decision.reasons if reason.code == "DIGEST_QUARANTINED"]
    assert result.execution_id in reason.message and "VERIFY_FAILED" in reason.message
    assert reason.rule.endswith(result.execution_id)
    other = failing.keep([FileChange.update("app/settings.txt", "old\n", "better\n")])
    assert other.decision.verdict is Verdict.ALLOW, "another change is another change"
    assert failing.cat().proposal(again.plan.id).quarantined


def test_check_shows_it_and_stores_nothing(failing: Ground) -> None:
    _failed(failing)
    judged = failing.cat().check(ChangeRequest(patch=PATCH, intent="again", by="agent:x"))
    assert judged.decision.verdict is Verdict.NEED_APPROVAL
    assert "DIGEST_QUARANTINED" in _reasons(judged.decision)
    assert not judged.stored


def test_the_stored_plan_is_not_simply_executed_again(failing: Ground) -> None:
    """Automation that re-applies what was just taken back has to stop at a person."""
    proposed, first = _failed(failing)
    before = failing.tree()
    refused = failing.cat().execute(proposed.plan.id)
    assert (refused.status, refused.error_code) == (Status.REJECTED, "DIGEST_QUARANTINED")
    assert first.execution_id in refused.message
    assert failing.run("execute", proposed.plan.id).exit == 3
    assert failing.cat().execute(proposed.plan.id, dry_run=True).error_code == "DIGEST_QUARANTINED"
    assert failing.tree() == before
    _mend(failing)
    _release(failing, proposed.changeset.checksum)
    assert failing.cat().execute(proposed.plan.id).success
    failing.assert_sound()


def test_a_caller_who_holds_the_decision_may_retry_that_plan_and_no_other(failing: Ground) -> None:
    """P6: a failed one may be retried. It is the same plan and decision; another plan of the same bytes is not."""
    proposed, other = failing.judge(CHANGES), failing.judge(CHANGES)
    assert failing.execute(proposed).status is Status.ROLLED_BACK
    refused = failing.execute(other)
    assert (refused.status, refused.error_code) == (Status.REJECTED, "DIGEST_QUARANTINED")
    _mend(failing)
    assert failing.execute(proposed).success
    failing.write({"app/settings.txt": "old\n"})
    assert failing.judge(CHANGES).decision.verdict is Verdict.ALLOW, "it was kept: nothing is wrong with it any more"
    failing.assert_sound()


def test_an_approval_releases_it_for_that_plan_and_for_that_failure(failing: Ground) -> None:
    _failed(failing)
    again = failing.keep(CHANGES)
    cat = failing.cat()
    with pytest.raises(RefusedError) as own:
        typed = TerminalConfirmation(cat.confirmation_phrase(again.plan.id), "/dev/pts/9")
        cat.approve(again.plan.id, by="coder", confirmation=typed)
    assert own.value.code == "APPROVAL_BY_PROPOSER"
    cat.approve(again.plan.id, by="Ada", confirmation=typed)
    second = cat.execute(again.plan.id)
    assert (second.status, second.error_code) == (Status.ROLLED_BACK, "VERIFY_FAILED"), "it was let through"
    third = cat.execute(again.plan.id)
    assert (third.status, third.error_code) == (Status.REJECTED, "DIGEST_QUARANTINED"), "and failed anew"
    assert second.execution_id in third.message
    assert failing.judge(CHANGES).decision.reasons[0].rule.endswith(second.execution_id)
    failing.assert_sound()


def test_a_decision_from_before_the_failure_does_not_get_through(failing: Ground) -> None:
    early = failing.keep(CHANGES)
    assert early.decision.verdict is Verdict.ALLOW
    _failed(failing)
    refused = failing.cat().execute(early.plan.id)
    assert (refused.status, refused.error_code) == (Status.REJECTED, "DIGEST_QUARANTINED")


def test_a_revert_is_never_held_up(failing: Ground) -> None:
    """Taking a kept change back is safe even if a change with these very bytes, the revert itself, failed before."""
    _mend(failing)
    kept = failing.cat().execute(failing.keep(CHANGES).plan.id)
    assert kept.success
    back = failing.cat().revert(kept.execution_id, by="agent:coder")
    (failing.outside / "broken").touch()
    assert failing.cat().execute(back.plan.id).status is Status.ROLLED_BACK
    by_hand = failing.judge([FileChange.update("app/settings.txt", "new\n", "old\n")])
    assert "DIGEST_QUARANTINED" in _reasons(by_hand.decision), "the same bytes, but not as a revert"
    forged = failing.judge(
        [FileChange.update("app/settings.txt", "new\n", "old\n")], parent_execution_id="exec_01k0000000000000000000000a"
    )
    assert "DIGEST_QUARANTINED" in _reasons(forged.decision), "a parent that does not exist makes no revert"
    _mend(failing)
    assert failing.cat().execute(back.plan.id).success
    assert (failing.root / "app/settings.txt").read_text() == "old\n"


@pytest.mark.parametrize("by", ["coder", "agent:x", "agent:coder"])
def test_who_may_not_approve_may_not_release(failing: Ground, by: str) -> None:
    proposed, _ = _failed(failing)
    with pytest.raises(RefusedError):
        _release(failing, proposed.changeset.checksum, by)
    assert failing.cat().proposal(proposed.plan.id).quarantined
    assert "confirmation.refused" in {record["type"] for record in failing.cat().audit_export()}


def test_a_release_is_audited_and_needs_a_reason_and_something_to_release(failing: Ground) -> None:
    proposed, result = _failed(failing)
    checksum = proposed.changeset.checksum
    cat = failing.cat()
    typed = TerminalConfirmation(cat.release_phrase(checksum), "/dev/pts/9")
    with pytest.raises(InputError) as silent:
        cat.release(checksum, by="Ada", reason=" ", confirmation=typed)
    assert silent.value.code == "REASON_MISSING"
    with pytest.raises(LonelyCatError) as mistyped:
        wrong = TerminalConfirmation("release 00000000", "/dev/pts/9")
        cat.release(checksum, by="Ada", reason="r", confirmation=wrong)
    assert mistyped.value.code == "CONFIRMATION_MISMATCH"
    _release(failing, checksum)
    (record,) = [record for record in cat.audit_export() if record["type"] == "digest.released"]
    payload: Any = record["payload"]
    assert (record["actor"], payload["reason"]) == ("Ada", "the database was down")
    assert payload["failed_execution_id"] == result.execution_id
    assert failing.judge(CHANGES).decision.verdict is Verdict.ALLOW
    for unknown in (checksum, "x", "", "../../etc", "a" * 64):
        with pytest.raises(InputError) as nothing:
            cat.release(unknown, by="Ada", reason="r", confirmation=typed)
        assert nothing.value.code == "NOT_QUARANTINED"
    failing.assert_sound()


def test_doctor_names_it(failing: Ground) -> None:
    proposed, result = _failed(failing)
    (finding,) = [item for item in failing.cat().doctor() if item.code == "DIGEST_QUARANTINED"]
    assert proposed.changeset.checksum in finding.message and result.execution_id in finding.message
    assert "runbook.md#" in finding.hint


# -- what says nothing about the change ----------------------------------------


def _is_free(ground: Ground) -> bool:
    return ground.judge(CHANGES).decision.verdict is Verdict.ALLOW


def test_a_conflict_is_not_the_changes_fault(failing: Ground) -> None:
    proposed = failing.keep(CHANGES)
    failing.write({"app/settings.txt": "somebody else\n"})
    assert failing.cat().execute(proposed.plan.id).status is Status.CONFLICT
    failing.write({"app/settings.txt": "old\n"})
    assert _is_free(failing)


def test_an_interrupt_is_not_the_changes_fault(ground: Ground) -> None:
    ground.policy["verification"]["look"]["argv"] = ground.argv("(outside / 'on').touch(); time.sleep(60)")
    ground.begin()
    process = ground.start("execute", ground.keep(CHANGES).plan.id)
    until((ground.outside / "on").exists, "the verification to run")
    process.send_signal(signal.SIGINT)
    assert ground.answer(process).facts["code"] == "INTERRUPTED"
    assert _is_free(ground)


def test_a_dead_executor_is_not_the_changes_fault(ground: Ground) -> None:
    ground.policy["verification"]["look"]["argv"] = ground.argv("(outside / 'on').touch(); time.sleep(60)")
    ground.begin()
    process = ground.start("execute", ground.keep(CHANGES).plan.id)
    until((ground.outside / "on").exists, "the verification to run")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert ground.run("recover").exit == 0
    assert _is_free(ground)


def test_a_full_disk_is_not_the_changes_fault(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.executor.transaction import Transaction

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    ground.begin()
    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "settle", full)
        assert ground.execute(ground.judge(CHANGES)).error_code == "NO_SPACE"
    assert _is_free(ground)


@pytest.mark.parametrize(("executor", "code"), [({"confirm": 5}, "CONFIRM_TIMEOUT"), ({}, "HEALTH_WATCH_FAILED")])
def test_what_nobody_confirmed_or_what_fell_ill_is(ground: Ground, executor: dict[str, Any], code: str) -> None:
    ground.policy["executor"].update(executor)
    watched(ground, **({"interval": 1} if executor else {"seconds": 4, "interval": 1}))
    ground.policy["health_checks"]["up"].update(attempts=9, failure_threshold=9, interval=1)
    ground.write_policy()
    clock = SleptClock(lambda now: make_sick(ground, sick=code.startswith("HEALTH") and 2 <= now < 2.5))
    result = ground.execute_wired(ground.judge(CHANGES), clock=clock)
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, code)
    assert "DIGEST_QUARANTINED" in _reasons(ground.judge(CHANGES).decision)


def test_a_restart_that_fails_is(ground: Ground) -> None:
    new = "pathlib.Path('app/settings.txt').read_text() == 'new\\n'"
    ground.policy["services"] = {
        "web": {"kind": "command", "with": {"argv": ground.argv(f"sys.exit({new})")}, "touches": ["**"]}
    }
    ground.begin()
    result = ground.execute(ground.judge(CHANGES))
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "SERVICE_RESTART_FAILED")
    assert "DIGEST_QUARANTINED" in _reasons(ground.judge(CHANGES).decision)


# -- records ----------------------------------------


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE standing SET document = replace(document, 'VERIFY', 'NOTHING')", "STANDING_ALTERED"),
        ("DELETE FROM standing", "STANDING_MISSING"),
        ("UPDATE standing SET key = 'other'", "STANDING_MISSING"),
    ],
)
def test_an_edited_quarantine_is_found_and_never_believed(failing: Ground, statement: str, code: str) -> None:
    _failed(failing)
    with closing(sqlite3.connect(failing.root / ".lonelycat/lonelycat.db")) as db:
        db.execute(statement)
        db.commit()
    assert code in {problem.code for problem in failing.cat().audit_verify().problems}
    if code == "STANDING_ALTERED":
        with pytest.raises(LonelyCatError) as refused:
            failing.judge(CHANGES)
        assert refused.value.code == "STANDING_TAMPERED"


def test_marks_come_before_their_rows_and_a_lost_one_is_made_again(tmp_path: Path) -> None:
    marks = FailedMarks(tmp_path)
    assert not marks.has("a" * 64)
    marks.add("a" * 64)
    marks.add("a" * 64)
    assert marks.has("a" * 64)
    assert not any(marks.has(hostile) for hostile in ("", ".", "..", "../x", "a/b", None, 7, "b" * 64))
    marks.remove("a" * 64)
    marks.remove("a" * 64)
    assert not marks.has("a" * 64)


def test_a_judgement_without_anything_in_quarantine_opens_no_database(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.begin()
    monkeypatch.setattr("lonelycat.runtime.bootstrap.Wiring.records", property(lambda _: 1 / 0))
    assert ground.judge(CHANGES).decision.verdict is Verdict.ALLOW
