"""One at a time: of two change sets at once one runs and the other waits; they never overlap."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from tests.acceptance.ground import Ground
from tests.patience import until

from lonelycat import ExecutionResult, FileChange, LockManager
from lonelycat.lifecycle import Status

ALONE = """
try:
    os.close(os.open(outside / 'inside', os.O_CREAT | os.O_EXCL))
except FileExistsError:
    sys.exit('two executions at once')
with (outside / 'runs').open('a') as file:
    file.write('enter\\n')
"""
WORK = "time.sleep(0.05)\n"
HELD_OPEN = "while not (outside / 'release').exists(): time.sleep(0.01)\n"
LEAVE = """
with (outside / 'runs').open('a') as file:
    file.write('leave\\n')
os.unlink(outside / 'inside')
"""
BEFORE_THE_LOCK = ("validate", "lock")


@pytest.fixture
def held_open(ground: Ground) -> Ground:
    """A ground whose verification ends only when the file ``release`` is there."""
    ground.policy["verification"]["look"]["argv"] = ground.argv(ALONE + HELD_OPEN + LEAVE)
    return ground.begin()


def _file(number: int) -> list[FileChange]:
    return [FileChange.create(f"made/by/{number}.txt", f"{number}\n" * 100)]


def _span(ground: Ground, execution_id: str) -> tuple[datetime, datetime]:
    """Return when the first step under the lock began and when the last one ended, as the evidence has it."""
    path = ground.root / ".lonelycat" / "executions" / execution_id / "events.jsonl"
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    times = [
        datetime.fromisoformat(event["at"])
        for event in events
        if event["type"].startswith("step.") and event["step"] not in BEFORE_THE_LOCK
    ]
    return min(times), max(times)


def _assert_apart(ground: Ground, execution_ids: list[str]) -> None:
    spans = sorted(_span(ground, execution_id) for execution_id in execution_ids)
    assert len(spans) == len(execution_ids)
    for (_, ended), (began, _) in itertools.pairwise(spans):
        assert ended <= began
    assert ground.noted("runs") == ["enter", "leave"] * len(execution_ids)


@contextmanager
def _running(ground: Ground, plan_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """Execute ``plan_id`` up to the middle of its verification; the block decides when it goes on."""
    process = ground.start("execute", plan_id)
    try:
        until(lambda: ground.noted("runs") == ["enter"], "the first execution to verify")
        yield process
    finally:
        (ground.outside / "release").touch()
        process.wait(60)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def test_two_threads_take_turns(held_open: Ground) -> None:
    proposed = [held_open.judge(_file(number)) for number in range(2)]
    results: dict[int, ExecutionResult] = {}
    waiting = threading.Event()

    def tell(event: dict[str, object]) -> None:
        if event["type"] == "lock.waiting":
            waiting.set()

    def work(number: int) -> None:
        results[number] = held_open.execute(proposed[number], on_event=tell)

    first = threading.Thread(target=work, args=(0,))
    second = threading.Thread(target=work, args=(1,))
    first.start()
    until(lambda: held_open.noted("runs") == ["enter"], "the first execution to verify")
    second.start()
    until(lambda: waiting.is_set() or not second.is_alive(), "the second to wait, or to end")
    waited = waiting.is_set()
    (held_open.outside / "release").touch()
    first.join()
    second.join()
    assert waited
    assert [results[number].status for number in range(2)] == [Status.COMPLETED] * 2, results
    _assert_apart(held_open, [results[number].execution_id for number in range(2)])
    held_open.assert_sound()


def test_two_processes_take_turns(held_open: Ground) -> None:
    plans = [held_open.keep(_file(number)).plan.id for number in range(2)]
    with _running(held_open, plans[0]) as first:
        second = held_open.start("execute", plans[1])
        until(lambda: held_open.at_the_lock(second), "the second execution to wait")
        assert not (held_open.root / "made/by/1.txt").exists()
        (held_open.outside / "release").touch()
        answers = [held_open.answer(first), held_open.answer(second)]
    assert [answer.exit for answer in answers] == [0, 0], answers
    assert sorted(path.name for path in (held_open.root / "made/by").iterdir()) == ["0.txt", "1.txt"]
    _assert_apart(held_open, [answer.facts["execution_id"] for answer in answers])
    held_open.assert_sound()


def test_five_processes_on_one_file_never_mix(ground: Ground) -> None:
    """All of them replace the same file: one is kept, the others find another base; no bytes of two ever mix."""
    ground.policy["verification"]["look"]["argv"] = ground.argv(ALONE + WORK + LEAVE)
    ground.begin()
    plans = [
        ground.keep([FileChange.update("app/settings.txt", "old\n", f"{number}" * 5000)]).plan.id for number in range(5)
    ]
    processes = [ground.start("execute", plan_id) for plan_id in plans]
    answers = [ground.answer(process) for process in processes]
    statuses = sorted(str(answer.facts["status"]) for answer in answers)
    assert statuses == ["completed"] + ["conflict"] * 4
    winner = next(number for number, answer in enumerate(answers) if answer.exit == 0)
    assert (ground.root / "app/settings.txt").read_text(encoding="utf-8") == f"{winner}" * 5000
    assert {answer.exit for answer in answers} == {0, 5}
    assert ground.noted("runs") == ["enter", "leave"]
    ground.assert_sound()


def test_who_does_not_want_to_wait_is_told_who_holds_the_workspace(held_open: Ground) -> None:
    plans = [held_open.keep(_file(number)).plan.id for number in range(2)]
    before = held_open.tree()
    with _running(held_open, plans[0]) as first:
        lock_file = held_open.root / ".lonelycat/locks/execution.lock"
        holder = json.loads(lock_file.read_text(encoding="utf-8"))
        assert (holder["plan_id"], holder["pid"]) == (plans[0], first.pid)
        answer = held_open.run("execute", plans[1], "--lock-timeout", "0.2")
        assert (answer.exit, answer.facts["code"]) == (8, "LOCK_TIMEOUT")
        for told in (holder["execution_id"], plans[0], str(first.pid)):
            assert told in answer.facts["message"]
        assert not (held_open.root / "made/by/1.txt").exists()
        (held_open.outside / "release").touch()
        assert held_open.answer(first).exit == 0
    assert set(held_open.tree()) - set(before) == {"made", "made/by", "made/by/0.txt"}
    assert held_open.run("execute", plans[1]).exit == 0
    held_open.assert_sound()


def test_the_policy_says_how_long_an_executor_waits(ground: Ground) -> None:
    ground.policy["executor"]["concurrency"] = {"lock_timeout": 0.1}
    ground.begin()
    proposed = ground.judge(_file(1))
    with LockManager(ground.root, timeout_seconds=1).lock_execution("exec_holder", "plan_holder"):
        result = ground.execute(proposed)
    assert (result.status, result.error_code) == (Status.REJECTED, "LOCK_TIMEOUT")
    assert "exec_holder (plan plan_holder" in result.message
    assert ground.execute(proposed).status is Status.COMPLETED
    ground.assert_sound()
