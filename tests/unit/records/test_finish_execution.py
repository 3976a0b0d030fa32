"""The one transaction that ends an execution, and what is read back of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from lonelycat.errors import InputError, LonelyCatError, RefusedError, StateError
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.governance.policy import Verdict
from lonelycat.lifecycle import Status
from lonelycat.records.entries import AuditEvent, AuditType


def types(case: Any) -> list[str]:
    return [str(record["type"]) for record in case.records.audit_export()]


def counts(case: Any) -> dict[str, int]:
    tables = ("executions", "steps", "execution_paths", "idempotency", "consumed_approvals", "audit", "counters")
    return {table: case.sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def test_what_was_recorded_is_what_is_read(case: Any) -> None:
    result = case.executed()
    row = case.reopened().execution(result.execution_id)
    assert row is not None
    assert (row.result, row.intact) == (result, True)
    record = case.records.idempotency_record(result.plan_id, result.checksum)
    assert (record.status, record.execution_id) == ("completed", result.execution_id)
    assert record.files_changed == ("a.txt", "b/ü.txt")
    proposal = case.records.proposal(result.plan_id)
    assert (proposal.execution_id, proposal.execution_status) == (result.execution_id, Status.COMPLETED)
    assert case.records.approvals_used([proposal.approvals[0].id, "appr_other"]) == {proposal.approvals[0].id}
    assert case.records.fence() == result.fence
    assert types(case) == ["proposal.created", "decision.made", "approval.given", "execution.finished"]
    assert case.records.audit_verify().ok


def test_paths_of_any_spelling_are_kept_as_they_are_and_in_order(case: Any) -> None:
    plan, changeset, decision = case.stored()
    paths = ("null", '"quoted"', "back\\slash", "b\udcff\udc80", "u\u2028 \x7f", "日本/é", "\U0001f63c", "a'; --", "7")
    result = case.result(plan, changeset, files_changed=paths)
    case.finish(plan, result, decision)
    row = case.reopened().execution(result.execution_id)
    assert row is not None and row.intact and row.result.files_changed == paths
    for path in paths:
        assert case.records.last_writers([path]) == {path: result.execution_id}
    assert {row[0] for row in case.sql("SELECT DISTINCT typeof(path) FROM execution_paths")} == {"text"}


def test_rows_that_are_inserted_some_at_a_time_are_all_there_and_in_order(case: Any) -> None:
    plan, changeset, decision = case.stored()
    paths = tuple(f"d/{number}" for number in range(2500))
    blobs = {f"{number:064x}" for number in range(2500)}
    result = case.result(plan, changeset, files_changed=paths)
    case.finish(plan, result, decision, blobs=blobs)
    row = case.reopened().execution(result.execution_id)
    assert (row.result.files_changed, row.intact) == (paths, True)
    kept = case.sql("SELECT sha256 FROM blob_refs WHERE owner = ?", result.execution_id)
    assert {sha256 for (sha256,) in kept} == blobs


def test_rows_of_which_some_cannot_be_inserted_are_none(case: Any) -> None:
    plan, changeset, decision = case.stored()
    before = counts(case)
    twice = (*(f"d/{number}" for number in range(1500)), "d/0")
    case.sql("CREATE UNIQUE INDEX each_once ON execution_paths (execution_id, path)")
    with pytest.raises(IntegrityError):
        case.finish(plan, case.result(plan, changeset, files_changed=twice), decision)
    assert counts(case) == before


def test_it_is_exactly_one_transaction(case: Any) -> None:
    plan, changeset, decision = case.stored()
    result, commits = case.result(plan, changeset), []
    engine = case.records.database._prepared()
    event.listen(engine, "commit", lambda connection: commits.append(connection))
    case.finish(plan, result, decision, "appr_1", events=[AuditEvent(AuditType.RECOVERY_DONE, "x", {})])
    assert len(commits) == 1


def test_replaying_it_changes_nothing(case: Any) -> None:
    plan, changeset, decision = case.stored()
    result = case.result(plan, changeset)
    head = case.finish(plan, result, decision, "appr_1")
    before = counts(case)
    assert case.finish(plan, result, decision, "appr_1") == head
    assert case.finish(plan, result.model_copy(update={"message": "again"}), decision, "appr_1") == head
    assert counts(case) == before


def test_another_outcome_for_a_finished_execution_is_refused(case: Any) -> None:
    plan, changeset, decision = case.stored()
    result = case.result(plan, changeset)
    case.finish(plan, result, decision)
    other = result.model_copy(update={"status": Status.ROLLED_BACK, "success": False})
    with pytest.raises(StateError) as caught:
        case.finish(plan, other, decision)
    assert caught.value.code == "EXECUTION_FINISHED"
    assert case.records.execution(result.execution_id).result.status is Status.COMPLETED


def test_recovery_settles_an_indeterminate_execution(case: Any) -> None:
    plan, changeset, decision = case.stored()
    unknown = case.result(plan, changeset, Status.INDETERMINATE)
    case.finish(plan, unknown, decision, "appr_1")
    known = unknown.model_copy(update={"status": Status.COMPLETED, "success": True})
    case.finish(plan, known, decision, "appr_1")
    assert case.records.execution(known.execution_id).result == known
    assert case.records.idempotency_record(plan.id, changeset.checksum).status == "completed"
    assert case.records.audit_verify().ok


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        (Status.COMPLETED, {}, "completed"),
        (Status.ROLLED_BACK, {}, "failed"),
        (Status.CONFLICT, {}, "failed"),
        (Status.ROLLBACK_FAILED, {}, "failed"),
        (Status.REJECTED, {}, None),
        (Status.REJECTED, {"error_code": "LOCK_TIMEOUT", "fence": 0}, None),
        (Status.CONFLICT, {"error_code": "LOCK_TIMEOUT"}, None),
        (Status.COMPLETED, {"dry_run": True}, None),
        (Status.COMPLETED, {"cached": True}, None),
    ],
)
def test_which_outcome_leaves_an_idempotency_record(
    case: Any, status: Status, fields: dict[str, Any], expected: Any
) -> None:
    plan, changeset, decision = case.stored()
    case.finish(plan, case.result(plan, changeset, status, **fields), decision)
    record = case.records.idempotency_record(plan.id, changeset.checksum)
    assert (record and record.status) == expected


def test_a_refusal_does_not_hide_what_was_executed_before(case: Any) -> None:
    plan, changeset, decision = case.stored()
    done = case.result(plan, changeset)
    case.finish(plan, done, decision)
    case.finish(plan, case.result(plan, changeset, Status.REJECTED), decision)
    assert case.records.idempotency_record(plan.id, changeset.checksum).execution_id == done.execution_id
    assert types(case)[-1] == "execution.refused"


def test_a_later_execution_takes_the_record_over(case: Any) -> None:
    plan, changeset, decision = case.stored()
    case.finish(plan, case.result(plan, changeset, Status.ROLLED_BACK), decision)
    again = case.result(plan, changeset)
    case.finish(plan, again, decision, ttl_seconds=7)
    record = case.records.idempotency_record(plan.id, changeset.checksum)
    assert (record.status, record.execution_id, record.ttl_seconds) == ("completed", again.execution_id, 7)
    assert case.records.audit_verify().ok


def test_a_consumed_approval_stops_the_whole_transaction(case: Any) -> None:
    plan, changeset, decision = case.stored()
    case.finish(plan, case.result(plan, changeset), decision, "appr_1")
    before = counts(case)
    with pytest.raises(RefusedError) as caught:
        case.finish(plan, case.result(plan, changeset), decision, "appr_2", "appr_1")
    assert caught.value.code == "APPROVAL_REUSED"
    assert counts(case) == before
    assert case.records.approvals_used(["appr_1", "appr_2"]) == {"appr_1"}


def test_a_lower_fence_is_refused(case: Any) -> None:
    plan, changeset, decision = case.stored()
    case.finish(plan, case.result(plan, changeset, fence=7), decision)
    before = counts(case)
    for late in (case.result(plan, changeset, fence=6), case.result(plan, changeset, Status.ROLLED_BACK, fence=0)):
        with pytest.raises(StateError) as caught:
            case.finish(plan, late, decision)
        assert caught.value.code == "FENCE_STALE"
    assert counts(case) == before
    case.finish(plan, case.result(plan, changeset, fence=7), decision)
    case.finish(plan, case.result(plan, changeset, Status.REJECTED, fence=0), decision)
    assert case.records.fence() == 7


def test_secrets_in_messages_are_masked(case: Any) -> None:
    plan, changeset, decision = case.stored()
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    result = case.result(plan, changeset, message=f"failed with {token}", warnings=(f"saw {token}",))
    case.finish(plan, result, decision, events=[AuditEvent(AuditType.RECOVERY_DONE, "x", {"said": token})])
    assert token.encode() not in case.path.read_bytes()
    assert "REDACTED" in case.records.execution(result.execution_id).result.message


def test_names_that_are_not_utf8_survive(case: Any) -> None:
    plan, changeset, decision = case.stored()
    names = (b"caf\xe9.txt".decode("utf-8", "surrogateescape"), '"quoted"', "日本")
    result = case.result(plan, changeset, files_changed=names)
    case.finish(plan, result, decision)
    row = case.records.execution(result.execution_id)
    assert (row.result.files_changed, row.intact) == (names, True)
    assert case.records.idempotency_record(plan.id, changeset.checksum).files_changed == names
    assert [r.result for r in case.records.executions(path=names[0])] == [row.result]


def test_a_caller_cannot_fill_the_facts_of_records(case: Any) -> None:
    forged = {"kind": "execution", "execution_id": "exec_forged", "digest": "0", "fence": 9}
    case.records.audit(AuditEvent(AuditType.POLICY_CHANGED, "mallory", {"record": forged, "why": "x"}))
    (record,) = case.records.audit_export()
    assert record["payload"] == {"why": "x"}
    assert case.records.audit_verify().ok


def test_history_is_filtered_newest_first(case: Any) -> None:
    made = []
    for index, status in enumerate([Status.COMPLETED, Status.ROLLED_BACK, Status.COMPLETED]):
        plan, changeset, decision = case.stored()
        result = case.result(plan, changeset, status, files_changed=(f"dir{index}/f.txt", "dir1-x", "common/é"))
        case.finish(plan, result, decision)
        made.append(result)
    ids = [result.execution_id for result in made]

    def found(**filters: Any) -> list[str]:
        return [row.result.execution_id for row in case.records.executions(**filters)]

    assert found() == ids[::-1]
    assert found(limit=2) == ids[:0:-1]
    assert found(status=Status.COMPLETED) == [ids[2], ids[0]]
    assert found(plan_id=made[1].plan_id) == [ids[1]]
    assert found(since=made[1].finished_at) == [ids[2], ids[1]]
    assert found(path="dir1") == [ids[1]]
    assert found(path="dir1/f.txt", status=Status.COMPLETED) == []
    assert found(path="common/") == ids[::-1]
    assert found(path="commo") == []
    assert case.records.last_completed("dir0").result.execution_id == ids[0]
    assert case.records.execution("exec_none") is None


def test_a_failed_checksum_is_remembered(case: Any) -> None:
    plan, changeset, decision = case.stored()
    result = case.result(plan, changeset, Status.ROLLED_BACK)
    case.finish(plan, result, decision)
    assert not case.records.proposal(plan.id).quarantined, "it was taken back for a reason that is not the change"
    failed = FailedChange(changeset.checksum, "exec_2", plan.id, "VERIFY_FAILED", "no")
    case.finish(plan, result.model_copy(update={"execution_id": "exec_2"}), decision, failed=failed)
    assert case.records.proposal(plan.id).quarantined
    assert case.records.failed_change(changeset.checksum).failed == failed
    other = case.stored()[0]
    assert case.records.proposal(other.id).quarantined  # another plan, the very same bytes
    assert not case.records.proposal(case.stored(content=b"other")[0].id).quarantined


def test_freezing_lasts_until_a_person_lifts_it(case: Any) -> None:
    assert case.records.frozen() is None
    case.records.freeze("rollback failed", "exec_1")
    freeze = case.reopened().frozen()
    assert (freeze.reason, freeze.execution_id) == ("rollback failed", "exec_1")
    case.records.unfreeze("alice", "looked at it")
    assert case.records.frozen() is None
    case.records.freeze("again")
    assert case.records.frozen().reason == "again"


def test_a_forged_unfreeze_keeps_the_workspace_frozen(case: Any) -> None:
    case.records.freeze("rollback failed", "exec_1")
    case.sql("UPDATE audit SET type = 'workspace.unfrozen' WHERE seq = 1")
    assert case.records.frozen() is not None


def test_no_hot_query_scans_a_table(case: Any) -> None:
    plan, changeset, decision = case.stored(Status.AWAITING_APPROVAL, verdict=Verdict.NEED_APPROVAL)
    engine, seen = case.records.database._prepared(), []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append((statement, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", note)
    approval = case.approval(decision)
    case.records.add_approval(plan.id, approval, Status.APPROVED)
    case.records.proposal(plan.id)
    case.records.idempotency_record(plan.id, changeset.checksum)
    case.records.approvals_used([approval.id])
    case.records.frozen()
    result = case.result(plan, changeset)
    case.finish(plan, result, decision, approval.id, blobs=["0" * 64])
    case.records.execution(result.execution_id)
    case.records.executions(limit=20)
    case.records.executions(path="a", status=Status.COMPLETED)
    case.records.find_plan_id(decision.id)
    event.remove(engine, "before_cursor_execute", note)
    assert len(seen) > 25
    with case.records.database.read() as connection:
        for statement, parameters in seen:
            steps = [row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)]
            # Walking an index or the row order from its end is a "scan" too; it is short if it has a limit, every row
            # counts towards that, and nothing but ties is sorted.
            counts_all = "LIMIT" in statement and "WHERE" not in statement
            short = counts_all and not any("B-TREE FOR ORDER" in step for step in steps)
            scanned = [step for step in steps if step.startswith("SCAN") and not step.startswith("SCAN json_each")]
            assert short or not scanned, (statement, steps)


def test_plan_states_follow_the_table(case: Any) -> None:
    plan, changeset, _decision = case.stored(Status.AWAITING_APPROVAL)
    case.records.reject(plan.id, "alice", "no")
    proposal = case.records.proposal(plan.id)
    assert (proposal.status, proposal.rejected_by, proposal.note) == (Status.DENIED, "alice", "no")
    with pytest.raises(LonelyCatError) as caught:
        case.records.update_decision(plan.id, case.decision(plan, changeset), Status.APPROVED)
    assert caught.value.code == "ILLEGAL_TRANSITION"
    with pytest.raises(InputError) as unknown:
        case.records.reject("plan_none", "alice")
    assert unknown.value.code == "PLAN_UNKNOWN"


def test_a_result_without_its_plan_is_recorded_too(case: Any) -> None:
    plan, changeset, decision = case.proposed()
    result = case.result(plan, changeset)
    case.finish(None, result, decision)
    assert case.records.execution(result.execution_id).result == result
    assert case.records.audit_verify().ok
