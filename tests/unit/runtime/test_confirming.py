"""A change that is in place and kept only if a person says so in time; a dead process is no confirmation."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground, Proposed
from tests.patience import until
from tests.unit.runtime.served import CHANGES, SleptClock, make_sick, status_moves, watched

from lonelycat import ExecutionResult, FileChange, LonelyCat, LonelyCatError
from lonelycat.lifecycle import Status
from lonelycat.runtime.consent import KeyConfirmation, TerminalConfirmation


@pytest.fixture
def asking(ground: Ground) -> Ground:
    """A workspace whose policy asks for a confirmation within a minute."""
    ground.policy["executor"]["confirm"] = "1m"
    ground.policy["executor"]["constraints"] = {"max_execution_time": 30, "max_step_time": 20}
    return watched(ground, interval=1)


def _waiting_for(ground: Ground) -> str:
    """Return the execution that waits, once one does."""
    found: list[str] = []

    def seen() -> bool:
        asked = ground.cat().status().awaiting_confirmation
        found.extend([asked.execution_id] if asked is not None else [])
        return bool(found)

    until(seen, "an execution to wait for a person")
    return found[0]


def _typed(cat: LonelyCat, execution_id: str) -> TerminalConfirmation:
    return TerminalConfirmation(cat.confirm_phrase(execution_id), "/dev/pts/9")


@contextmanager
def _executing(ground: Ground, proposed: Proposed) -> Iterator[tuple[str, Callable[[], ExecutionResult]]]:
    """Execute in a thread until it waits; yield its id, and a function that waits for its end."""
    ends: list[ExecutionResult] = []
    thread = threading.Thread(target=lambda: ends.append(ground.execute(proposed)))
    thread.start()

    def end() -> ExecutionResult:
        thread.join(60)
        (result,) = ends
        return result

    try:
        yield _waiting_for(ground), end
    finally:
        thread.join(60)


def test_a_confirmed_change_is_kept(asking: Ground) -> None:
    with _executing(asking, asking.judge(CHANGES)) as (execution_id, end):
        assert (asking.root / "app/settings.txt").read_text() == "new\n", "it is in place while it waits"
        cat = asking.cat()
        status = cat.status()
        assert status.holder is not None and status.holder.execution_id == execution_id, "the lock is held"
        assert status.awaiting_confirmation is not None
        assert 0 < (status.awaiting_confirmation.deadline - status.awaiting_confirmation.asked_at).total_seconds() <= 60
        shown = cat.show(execution_id)
        assert shown.awaiting_confirmation is not None and shown.execution is None
        cat.confirm(execution_id, by="Ada", note="looks well", confirmation=_typed(cat, execution_id))
        result = end()
    assert (result.status, result.execution_id) == (Status.COMPLETED, execution_id)
    (step,) = [step for step in result.steps if step.name == "confirm"]
    assert step.message.startswith("kept by Ada; ")
    assert status_moves(asking, execution_id)[-2:] == [Status.AWAITING_CONFIRMATION, Status.COMPLETED]
    asking.assert_sound()
    types = [record["type"] for record in asking.cat().audit_export()]
    assert types[-4:] == ["confirmation.awaited", "confirmation.given", "confirmation.ended", "execution.finished"]


def test_one_taken_back_goes_back_at_once(asking: Ground) -> None:
    before = asking.tree()
    with _executing(asking, asking.judge(CHANGES)) as (execution_id, end):
        asking.cat().confirm(execution_id, by="agent:coder", note="I was wrong", keep=False)
        result = end()
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "CONFIRM_REJECTED")
    assert "agent:coder took the change back: I was wrong" in result.message
    assert asking.tree() == before
    asking.assert_sound()


def test_nobody_in_time_takes_it_back(asking: Ground) -> None:
    before = asking.tree()
    clock = SleptClock()
    result = asking.execute_wired(asking.judge(CHANGES), clock=clock)
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "CONFIRM_TIMEOUT")
    assert 60 <= clock.seconds < 61, "its own time: longer than a step and than the whole execution may take"
    assert asking.tree() == before
    assert asking.cat().status().awaiting_confirmation is None
    asking.assert_sound()


def test_the_time_of_the_wait_is_not_the_executions(asking: Ground) -> None:
    """After a wait of 59 seconds in an execution of 30 there is still time to keep the change."""
    answers: list[str] = []

    def answer(now: float) -> None:
        if now >= 59 and not answers:
            cat = asking.cat()
            asked = cat.status().awaiting_confirmation
            assert asked is not None
            answers.append(asked.execution_id)
            cat.confirm(asked.execution_id, by="Ada", confirmation=_typed(cat, asked.execution_id))

    result = asking.execute_wired(asking.judge(CHANGES), clock=SleptClock(answer))
    assert (result.status, answers) == (Status.COMPLETED, [result.execution_id])
    (step,) = [step for step in result.steps if step.name == "confirm"]
    assert int(step.message.split()[3]) > 50, "health was sampled all the while"


def test_a_word_in_the_very_last_moment_that_was_accepted_is_honoured(
    asking: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was recorded after the last look and before the wait was closed."""
    from lonelycat.records.store import Records

    close, said = Records.close_confirmation, []

    def late(records: Records, execution_id: str) -> Any:
        if not said:
            cat = asking.cat()
            said.append(execution_id)
            cat.confirm(execution_id, by="Ada", confirmation=_typed(cat, execution_id))
        return close(records, execution_id)

    monkeypatch.setattr(Records, "close_confirmation", late)
    assert asking.execute_wired(asking.judge(CHANGES), clock=SleptClock()).success
    with pytest.raises(LonelyCatError) as refused:
        asking.cat().confirm(said[0], by="Bob", keep=False)
    assert refused.value.code == "CONFIRMATION_ENDED"


def test_sick_while_it_waits_takes_it_back_whatever_anybody_may_say(asking: Ground) -> None:
    proposed = asking.judge(CHANGES)
    result = asking.execute_wired(proposed, clock=SleptClock(lambda now: make_sick(asking, sick=20 <= now < 21.5)))
    make_sick(asking, sick=False)
    (step,) = [step for step in result.steps if step.name == "confirm"]
    assert (step.status, step.code) == ("failed", "HEALTH_WATCH_FAILED")
    assert not result.success
    assert (asking.root / "app/settings.txt").read_text() == "old\n"


@pytest.mark.parametrize(
    ("by", "code"),
    [
        ("agent:coder", "APPROVAL_BY_PROPOSER"),
        ("Coder", "APPROVAL_BY_PROPOSER"),
        ("agent:x", "APPROVAL_UNKNOWN_APPROVER"),
    ],
)
def test_who_may_not_approve_may_not_confirm(asking: Ground, by: str, code: str) -> None:
    with _executing(asking, asking.judge(CHANGES)) as (execution_id, end):
        cat = asking.cat()
        with pytest.raises(LonelyCatError) as refused:
            cat.confirm(execution_id, by=by, confirmation=_typed(cat, execution_id))
        assert refused.value.code == code
        with pytest.raises(LonelyCatError) as mistyped:
            cat.confirm(execution_id, by="Ada", confirmation=TerminalConfirmation("confirm 00000000", "/dev/pts/9"))
        assert mistyped.value.code == "CONFIRMATION_MISMATCH"
        with pytest.raises(LonelyCatError) as silent:
            cat.confirm(execution_id, by="Ada")
        assert silent.value.code == "APPROVAL_NEEDS_PERSON"
        cat.confirm(execution_id, by="Ada", keep=False)
        assert end().error_code == "CONFIRM_REJECTED"
    assert "confirmation.refused" in {record["type"] for record in asking.cat().audit_export()}


def test_a_registered_approver_confirms_with_the_key_and_only_with_it(asking: Ground, tmp_path: Path) -> None:
    public = asking.cat().new_approver_key(tmp_path / "ada.pem", "Ada")
    other = asking.cat().new_approver_key(tmp_path / "eve.pem", "Eve")
    assert public != other
    asking.policy["approvals"] = {"approvers": {"Ada": {"public_key": public}}}
    asking.write_policy()
    with _executing(asking, asking.judge(CHANGES)) as (execution_id, end):
        cat = asking.cat()
        for confirmation, code in (
            (_typed(cat, execution_id), "APPROVAL_METHOD"),
            (KeyConfirmation(tmp_path / "eve.pem"), "APPROVAL_SIGNATURE"),
        ):
            with pytest.raises(LonelyCatError) as refused:
                cat.confirm(execution_id, by="Ada", confirmation=confirmation)
            assert refused.value.code == code
        cat.confirm(execution_id, by="Ada", confirmation=KeyConfirmation(tmp_path / "ada.pem"))
        assert end().success


def test_it_holds_once_and_for_one_execution(asking: Ground) -> None:
    with _executing(asking, asking.judge(CHANGES)) as (first, end):
        cat = asking.cat()
        phrase = cat.confirm_phrase(first)
        cat.confirm(first, by="Ada", keep=False)
        with pytest.raises(LonelyCatError) as again:
            cat.confirm(first, by="Ada", confirmation=TerminalConfirmation(phrase, "/dev/pts/9"))
        assert again.value.code in ("CONFIRMATION_GIVEN", "CONFIRMATION_ENDED")
        end()
    with pytest.raises(LonelyCatError) as ended:
        asking.cat().confirm(first, by="Ada", keep=False)
    assert ended.value.code == "CONFIRMATION_ENDED"
    for unknown in ("exec_01k0000000000000000000000a", "", "\ud800", "plan_x"):
        with pytest.raises(LonelyCatError) as nobody:
            asking.cat().confirm(unknown, by="Ada", keep=False)
        assert nobody.value.code == "CONFIRMATION_UNKNOWN", unknown
    other = asking.judge([FileChange.update("app/settings.txt", "old\n", "other\n")])
    with _executing(asking, other) as (second, end):
        assert asking.cat().confirm_phrase(second) != phrase
        with pytest.raises(LonelyCatError) as crossed:
            asking.cat().confirm(second, by="Ada", confirmation=TerminalConfirmation(phrase, "/dev/pts/9"))
        assert crossed.value.code == "CONFIRMATION_MISMATCH"
        asking.cat().confirm(second, by="Ada", keep=False)
        end()


def test_a_forged_word_in_the_database_takes_the_change_back(asking: Ground) -> None:
    """Whoever can write to the database but has no key cannot keep a change."""
    import sqlite3
    from contextlib import closing

    with _executing(asking, asking.judge(CHANGES)) as (_, end):
        with closing(sqlite3.connect(asking.root / ".lonelycat/lonelycat.db", timeout=20)) as db:
            db.execute("UPDATE standing SET document = replace(document, '\"answer\":null', '\"answer\":{}')")
            db.commit()
        result = end()
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "STANDING_TAMPERED")
    assert (asking.root / "app/settings.txt").read_text() == "old\n"
    assert asking.cat().doctor() == () or all(f.code != "DIGEST_QUARANTINED" for f in asking.cat().doctor())


def test_a_question_that_vanishes_is_no_confirmation(asking: Ground) -> None:
    import sqlite3
    from contextlib import closing

    with _executing(asking, asking.judge(CHANGES)) as (_, end):
        with closing(sqlite3.connect(asking.root / ".lonelycat/lonelycat.db", timeout=20)) as db:
            db.execute("DELETE FROM standing")
            db.commit()
        result = end()
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "CONFIRMATION_ENDED")


def test_a_dead_process_is_no_confirmation(asking: Ground) -> None:
    plan_id = asking.keep(CHANGES).plan.id
    before = asking.tree()
    process = asking.start("execute", plan_id)
    execution_id = _waiting_for(asking)
    assert asking.cat().status().approved == (), "what runs is not said to be ready to execute"
    phrase = asking.cat().confirm_phrase(execution_id)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with pytest.raises(LonelyCatError) as dead:
        asking.cat().confirm(execution_id, by="Ada", confirmation=TerminalConfirmation(phrase, "/dev/pts/9"))
    assert dead.value.code == "CONFIRMATION_ENDED"
    assert asking.cat().status().awaiting_confirmation is None
    shown = asking.run("show", execution_id).facts
    assert (shown["execution_id"], shown["unfinished"]) == (execution_id, True)
    assert "awaiting_confirmation" not in shown, "nobody waits any more"
    assert asking.run("recover").exit == 0
    assert asking.tree() == before
    (row,) = asking.cat().log()
    assert (row.result.status, row.result.error_code) == (Status.ROLLED_BACK, "EXECUTOR_DIED")
    asking.assert_sound()
    assert asking.cat().doctor() == () or all(f.code != "DIGEST_QUARANTINED" for f in asking.cat().doctor())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_it_waits_rolls_back_and_says_so(asking: Ground, number: int) -> None:
    plan_id = asking.keep(CHANGES).plan.id
    before = asking.tree()
    process = asking.start("execute", plan_id)
    _waiting_for(asking)
    process.send_signal(number)
    answer = asking.answer(process)
    assert (answer.exit, answer.facts["code"], answer.facts["status"]) == (130, "INTERRUPTED", "rolled_back")
    assert asking.tree() == before
    assert asking.cat().status().awaiting_confirmation is None
    asking.assert_sound()


def test_another_execution_waits_for_the_lock_and_is_told_who_has_it(asking: Ground) -> None:
    plan_id = asking.keep([FileChange.create("app/a.md", "a\n")]).plan.id
    with _executing(asking, asking.judge(CHANGES)) as (execution_id, end):
        answer = asking.run("execute", plan_id, "--lock-timeout", "0.1")
        assert (answer.exit, answer.facts["code"]) == (8, "LOCK_TIMEOUT")
        assert execution_id in answer.facts["message"]
        asking.cat().confirm(execution_id, by="Ada", keep=False)
        end()
