"""Once: a completed execution answers for a repeat, for its time and no longer; one block of a key at a time."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.clock import RandomIds
from lonelycat.errors import LonelyCatError, StateError
from lonelycat.executor.idempotency import IdempotencyCheck, IdempotencyManager
from lonelycat.lifecycle import Status
from lonelycat.records.execution import ExecutionResult
from lonelycat.records.store import Records
from lonelycat.settings import Settings

PLAN = ChangePlan.new(intent="x", created_by="agent:x")
CHANGESET = ChangeSet.build(plan_id=PLAN.id, changes=[FileChange.create("a", b"1")])


@pytest.fixture
def manager(root: Path, clock: Any) -> IdempotencyManager:
    records = Records.open(Settings.for_workspace(root, {}), clock, RandomIds(clock))
    return IdempotencyManager(root, 100, clock=clock, records=lambda: records)


def _result(clock: Any, status: Status = Status.COMPLETED, fence: int = 1, **fields: Any) -> ExecutionResult:
    values: dict[str, Any] = {
        "success": status is Status.COMPLETED,
        "status": status,
        "execution_id": RandomIds(clock).new("exec"),
        "plan_id": PLAN.id,
        "changeset_id": CHANGESET.id,
        "checksum": CHANGESET.checksum,
        "started_at": clock.now(),
        "finished_at": clock.now(),
        "fence": fence,
    }
    return ExecutionResult(**{**values, **fields})


def _check(manager: IdempotencyManager) -> IdempotencyCheck:
    return IdempotencyCheck(manager, PLAN.id, CHANGESET.checksum)


def test_the_second_block_gets_the_record_of_the_first(manager: IdempotencyManager, clock: Any) -> None:
    with _check(manager) as check:
        assert not check.already_executed and check.previous_record is None
        result = _result(clock)
        check.record_result(result)
    with _check(manager) as check:
        assert check.already_executed and check.previous_record is not None
        record = check.previous_record
        assert (record.execution_id, record.status, record.ttl_seconds) == (result.execution_id, "completed", 100)
    assert manager.lookup(PLAN.id, "0" * 64) is None and manager.lookup("plan_other", CHANGESET.checksum) is None


def test_a_failed_one_may_be_retried(manager: IdempotencyManager, clock: Any) -> None:
    with _check(manager) as check:
        check.record_result(_result(clock, Status.ROLLED_BACK, error_code="VERIFY_FAILED"))
    with _check(manager) as check:
        assert not check.already_executed
        check.record_result(_result(clock, fence=2))
    assert manager.lookup(PLAN.id, CHANGESET.checksum) is not None


def test_it_answers_until_its_time_is_over_and_when_the_clock_went_back(
    manager: IdempotencyManager, clock: Any
) -> None:
    with _check(manager) as check:
        check.record_result(_result(clock))
    for seconds, answers in ((99, True), (1, False), (-1000, True), (5000, False)):
        clock.moment += timedelta(seconds=seconds)
        assert (manager.lookup(PLAN.id, CHANGESET.checksum) is not None) is answers, seconds


def test_the_shorter_time_counts_and_zero_never_answers(manager: IdempotencyManager, root: Path, clock: Any) -> None:
    with _check(manager) as check:
        check.record_result(_result(clock))
    shorter = IdempotencyManager(root, 10, clock=clock, records=lambda: manager.records)
    never = IdempotencyManager(root, 0, clock=clock, records=lambda: manager.records)
    longer = IdempotencyManager(root, 10_000, clock=clock, records=lambda: manager.records)
    clock.moment += timedelta(seconds=50)
    found = [each.lookup(PLAN.id, CHANGESET.checksum) is not None for each in (manager, shorter, never, longer)]
    assert found == [True, False, False, True]
    clock.moment -= timedelta(seconds=5000)
    assert never.lookup(PLAN.id, CHANGESET.checksum) is None
    clock.moment += timedelta(seconds=5100)
    assert longer.lookup(PLAN.id, CHANGESET.checksum) is None


@pytest.mark.parametrize("field", ["plan_id", "checksum"])
def test_the_result_of_another_key_is_refused(field: str, manager: IdempotencyManager, clock: Any) -> None:
    other = {"plan_id": "plan_other", "checksum": "0" * 64}[field]
    with _check(manager) as check, pytest.raises(LonelyCatError, match="IDEMPOTENCY_OTHER_KEY"):
        check.record_result(_result(clock, **{field: other}))
    assert manager.lookup(PLAN.id, CHANGESET.checksum) is None


def test_two_simultaneous_blocks_execute_once(manager: IdempotencyManager, clock: Any) -> None:
    executed: list[int] = []
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait()
        with _check(manager) as check:
            if not check.already_executed:
                executed.append(1)
                check.record_result(_result(clock))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert executed == [1]


def test_the_workspace_own_records_are_opened_when_first_needed(root: Path) -> None:
    manager = IdempotencyManager(root)
    assert not (root / ".lonelycat").exists()
    assert manager.lookup(PLAN.id, CHANGESET.checksum) is None
    assert manager.records is manager.records


def test_a_failing_lookup_lets_the_next_block_in_and_leaks_nothing(root: Path, clock: Any) -> None:
    def broken() -> Records:
        raise StateError("DATABASE", "broken", "")

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(StateError, match="broken"), _check(IdempotencyManager(root, 10, records=broken)):
            raise AssertionError("entered")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("make", ["link", "fifo", "directory"])
def test_something_else_in_place_of_its_lock_is_a_typed_refusal(make: str, root: Path) -> None:
    locks = root / ".lonelycat/locks"
    locks.mkdir(parents=True, mode=0o700)
    (root / ".lonelycat").chmod(0o700)
    place = locks / "idempotency"
    {"link": lambda: place.symlink_to("x"), "fifo": lambda: os.mkfifo(place), "directory": place.mkdir}[make]()
    with pytest.raises(StateError, match="LOCKS_UNSAFE"), _check(IdempotencyManager(root)):
        raise AssertionError("entered")
