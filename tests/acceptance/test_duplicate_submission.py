"""Once: the same plan and change set executes once; a repeat is answered from the record and touches nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.acceptance.ground import Ground
from tests.patience import until

from lonelycat import ExecutionResult, Executor, FileChange, IdempotencyCheck, IdempotencyManager
from lonelycat.clock import SystemClock
from lonelycat.lifecycle import Status

COUNTING = "with (outside / 'runs').open('a') as file: file.write('run\\n')\n"
HELD_OPEN = COUNTING + "while not (outside / 'release').exists(): time.sleep(0.01)\n"
CHANGES = (FileChange.update("app/settings.txt", "old\n", "new\n"), FileChange.create("docs/new/page.md", "hello\n"))


class LaterClock(SystemClock):
    """The machine's clock, some seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


@pytest.fixture
def counted(ground: Ground) -> Ground:
    ground.policy["verification"]["look"]["argv"] = ground.argv(COUNTING)
    return ground.begin()


def test_a_repeat_is_answered_from_the_record_and_touches_nothing(counted: Ground) -> None:
    proposed = counted.judge(CHANGES)
    first = counted.execute(proposed)
    assert (first.status, first.cached) == (Status.COMPLETED, False)
    before = counted.inodes()
    second = counted.execute(proposed)
    assert second.cached
    assert second.success
    assert second.execution_id == first.execution_id
    assert second.model_copy(update={"cached": False}) == first
    assert counted.inodes() == before
    assert counted.noted("runs") == ["run"]
    assert len(counted.cat().log()) == 1
    counted.assert_sound()


def test_a_repeat_does_not_undo_what_came_after(counted: Ground) -> None:
    proposed = counted.judge(CHANGES)
    counted.execute(proposed)
    counted.write({"app/settings.txt": "edited by a person since\n"})
    before = counted.inodes()
    assert counted.execute(proposed).cached
    assert counted.inodes() == before


def test_the_command_line_repeats_its_answer(counted: Ground) -> None:
    proposed = counted.keep(CHANGES)
    first, second = (counted.run("execute", proposed.plan.id) for _ in range(2))
    assert (first.exit, second.exit) == (0, 0)
    assert (first.facts["cached"], second.facts["cached"]) == (False, True)
    assert first.facts["execution_id"] == second.facts["execution_id"]
    assert counted.noted("runs") == ["run"]


def test_after_its_time_the_record_no_longer_answers(counted: Ground) -> None:
    proposed = counted.judge(CHANGES)
    first = counted.execute(proposed)
    (counted.root / "docs/new/page.md").unlink()
    counted.write({"app/settings.txt": "old\n"})
    assert counted.execute_wired(proposed, clock=LaterClock(3500)).cached
    again = counted.execute_wired(proposed, clock=LaterClock(3610))
    assert (again.status, again.cached) == (Status.COMPLETED, False)
    assert again.execution_id != first.execution_id
    assert counted.noted("runs") == ["run", "run"]
    assert (counted.root / "docs/new/page.md").read_text(encoding="utf-8") == "hello\n"


def test_a_failed_one_may_run_again(counted: Ground) -> None:
    counted.policy["verification"]["look"]["argv"] = counted.argv(
        COUNTING + "sys.exit(not (outside / 'mended').exists())"
    )
    counted.write_policy()
    proposed = counted.judge(CHANGES)
    before = counted.tree()
    failed = counted.execute(proposed)
    assert failed.status is Status.ROLLED_BACK
    assert counted.tree() == before
    (counted.outside / "mended").touch()
    again = counted.execute(proposed)
    assert (again.status, again.cached) == (Status.COMPLETED, False)
    assert again.execution_id != failed.execution_id
    assert counted.noted("runs") == ["run", "run"]
    assert counted.execute(proposed).execution_id == again.execution_id
    counted.assert_sound()


def test_two_at_once_in_two_processes_execute_once(ground: Ground) -> None:
    ground.policy["verification"]["look"]["argv"] = ground.argv(HELD_OPEN)
    ground.begin()
    plan_id = ground.keep(CHANGES).plan.id
    first = ground.start("execute", plan_id)
    until(lambda: ground.noted("runs") == ["run"], "the first to verify")
    second = ground.start("execute", plan_id)
    until(lambda: ground.at_the_lock(second), "the second to wait")
    (ground.outside / "release").touch()
    one, other = ground.answer(first), ground.answer(second)
    assert (one.exit, other.exit) == (0, 0)
    assert (one.facts["cached"], other.facts["cached"]) == (False, True)
    assert one.facts["execution_id"] == other.facts["execution_id"]
    assert ground.noted("runs") == ["run"]
    assert len(ground.cat().log()) == 1
    ground.assert_sound()


def test_many_threads_that_ask_first_do_the_work_once(counted: Ground) -> None:
    proposed = counted.judge(CHANGES)
    key = (proposed.plan.id, proposed.changeset.checksum)
    done: list[ExecutionResult] = []
    answered: list[str] = []

    def submit(root: Path) -> None:
        with IdempotencyCheck(IdempotencyManager(root, ttl_seconds=3600), *key) as check:
            if check.previous_record is not None:
                answered.append(check.previous_record.execution_id)
                return
            result = Executor(root, use_idempotency=False).execute(proposed.plan, proposed.changeset, proposed.decision)
            done.append(result)
            check.record_result(result)

    threads = [threading.Thread(target=submit, args=(counted.root,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.status for result in done] == [Status.COMPLETED]
    assert answered == [done[0].execution_id] * 3
    assert counted.noted("runs") == ["run"]
