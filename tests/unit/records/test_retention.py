"""Clean-up: what goes, what stays, and what an interruption leaves."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from typing import Any

import pytest

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.lifecycle import Status
from lonelycat.records import retention
from lonelycat.records.execution import ExecutionResult

DAY = 86_400


def executed(case: Any, *paths: str, **options: Any) -> ExecutionResult:
    """Execute a change of ``paths`` whose idempotency record answers for an hour."""
    plan, changeset, decision = case.stored()
    status = options.pop("status", Status.COMPLETED)
    result = case.result(plan, changeset, status, files_changed=paths or ("a",))
    case.records.artifacts(result.execution_id).write_json("plan.json", {})
    case.finish(plan, result, decision, **options)
    return result


def left(case: Any) -> list[str]:
    return [row.result.execution_id for row in reversed(case.records.executions(limit=None))]


def test_old_executions_go_with_everything_but_their_evidence(case: Any) -> None:
    old = executed(case)
    case.clock.moment += timedelta(days=100)
    new = executed(case)
    report = case.records.gc(keep_days=90)
    assert report.executions == (old.execution_id,)
    assert report.proposals == (old.plan_id,)
    assert report.freed_bytes > 0
    assert left(case) == [new.execution_id]
    assert not (case.records.executions_dir / old.execution_id).exists()
    assert (case.records.executions_dir / new.execution_id).exists()
    assert case.records.idempotency_record(old.plan_id, old.checksum) is None
    assert case.records.proposal(old.plan_id) is None
    assert [record["type"] for record in case.records.audit_export()][-1] == "gc.done"
    assert case.records.audit_verify().ok
    assert case.records.database.damage() == ()


def test_a_dry_run_touches_nothing(case: Any) -> None:
    executed(case)
    case.clock.moment += timedelta(days=100)
    executed(case)
    before = case.path.read_bytes()
    report = case.records.gc(keep_days=90, dry_run=True)
    assert (len(report.executions), report.dry_run) == (1, True)
    assert case.path.read_bytes() == before


def test_only_the_newest_stay_when_there_are_too_many(case: Any) -> None:
    made = [executed(case) for _ in range(5)]
    case.clock.moment += timedelta(hours=2)
    case.records.gc(keep_days=90, keep_count=2)
    assert left(case) == [result.execution_id for result in made[-2:]]


def test_what_can_still_be_reverted_stays(case: Any) -> None:
    first = executed(case, "a", "b")
    second = executed(case, "b")
    third = executed(case, "b")
    executed(case, "b", status=Status.ROLLED_BACK)
    case.clock.moment += timedelta(days=100)
    case.records.gc(keep_days=90, keep_count=0)
    assert left(case) == [first.execution_id, third.execution_id]
    assert second.execution_id not in left(case)


@pytest.mark.parametrize("status", [Status.INDETERMINATE, Status.ROLLBACK_FAILED])
def test_what_needs_a_person_stays(case: Any, status: Status) -> None:
    kept = executed(case, status=status)
    case.clock.moment += timedelta(days=100)
    case.records.gc(keep_days=90, keep_count=0)
    assert left(case) == [kept.execution_id]


def test_what_is_in_use_or_answers_for_a_repeat_stays(case: Any) -> None:
    used = executed(case, status=Status.ROLLED_BACK)
    answering = executed(case, "a", ttl_seconds=200 * DAY)
    executed(case, "a", status=Status.ROLLED_BACK, ttl_seconds=200 * DAY)
    newest = executed(case, "a")
    case.clock.moment += timedelta(days=100)
    case.records.gc(keep_days=90, keep_count=0, in_use=[used.execution_id])
    assert left(case) == [used.execution_id, answering.execution_id, newest.execution_id]


def test_consumed_approvals_are_never_forgotten(case: Any) -> None:
    plan, changeset, decision = case.stored()
    case.finish(plan, case.result(plan, changeset, Status.ROLLED_BACK), decision, "appr_1")
    case.clock.moment += timedelta(days=100)
    assert len(case.records.gc(keep_days=90).executions) == 1
    assert case.records.approvals_used(["appr_1"]) == {"appr_1"}
    assert case.records.audit_verify().ok


def test_pending_proposals_go_by_age_only(case: Any) -> None:
    old = case.stored(Status.AWAITING_APPROVAL)[0]
    case.clock.moment += timedelta(days=100)
    new = case.stored(Status.AWAITING_APPROVAL)[0]
    assert case.records.gc(keep_days=90, keep_count=0).proposals == (old.id,)
    assert case.records.proposal(new.id) is not None
    assert case.records.audit_verify().ok


def test_an_interrupted_clean_up_is_finished_by_the_next(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = [executed(case, status=Status.ROLLED_BACK) for _ in range(3)]
    case.clock.moment += timedelta(days=100)
    real, calls = shutil.rmtree, []

    def dies(path: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            (path / "plan.json").unlink()
            raise KeyboardInterrupt
        real(path)

    monkeypatch.setattr(retention.shutil, "rmtree", dies)
    with pytest.raises(KeyboardInterrupt):
        case.records.gc(keep_days=90)
    assert left(case) == []
    assert case.records.audit_verify().ok
    monkeypatch.undo()
    assert sum((case.records.executions_dir / r.execution_id).exists() for r in old) == 2
    assert case.reopened().gc(keep_days=90).executions == ()
    assert list(case.records.executions_dir.iterdir()) == []


def test_a_planted_removal_does_not_remove_what_is_recorded_or_elsewhere(case: Any) -> None:
    result = executed(case)
    (case.root / "precious").mkdir()
    for planted in (result.execution_id, "../../precious", "..", "."):
        case.sql("INSERT INTO removals VALUES (?)", planted)
    case.records.gc()
    assert (case.records.executions_dir / result.execution_id / "plan.json").exists()
    assert (case.root / "precious").exists()


def _proposed_with(case: Any, ref: BlobRef) -> ChangePlan:
    plan, _, _ = case.proposed()
    changeset = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("big", ref)])
    case.records.save_proposal(plan, changeset, case.decision(plan, changeset), Status.APPROVED)
    return plan


def test_blobs_go_when_nothing_refers_to_them(case: Any) -> None:
    blobs = case.records.blobs
    proposed, reverting, orphan, fresh = (blobs.put_bytes(bytes([65 + n]) * 9) for n in range(4))
    plan = _proposed_with(case, proposed)
    other, changeset, decision = case.stored()
    case.finish(other, case.result(other, changeset, Status.INDETERMINATE), decision, blobs=[reverting.sha256])
    now = case.clock.moment.timestamp()
    for ref in (proposed, reverting, orphan):
        os.utime(blobs.path(ref), (now - 2 * 3600, now - 2 * 3600))
    os.utime(blobs.path(fresh), (now, now))
    report = case.records.gc()
    assert (report.blobs, report.freed_bytes) == (1, 9)
    assert [blobs.has(ref) for ref in (proposed, reverting, orphan, fresh)] == [True, True, False, True]
    case.clock.moment += timedelta(days=100)
    assert plan.id in case.records.gc(keep_days=90).proposals
    assert [blobs.has(ref) for ref in (proposed, reverting, fresh)] == [False, True, False]
