"""Someone edits the database with the sqlite3 shell: each edit is found, and where it would matter, refused."""

from __future__ import annotations

import base64
import json
import shutil
from typing import Any

import pytest

from lonelycat.errors import RefusedError
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.lifecycle import Status
from lonelycat.records import audit as log
from lonelycat.records import proposals
from lonelycat.records.entries import AuditHead

EDITS = {
    "audit-payload": "UPDATE audit SET payload = replace(payload, 'LOW', 'HIGH') || ' ' WHERE seq = 2",
    "audit-actor": "UPDATE audit SET actor = 'bob' WHERE seq = 1",
    "audit-time": "UPDATE audit SET at = '2031-01-01T00:00:00.000000Z' WHERE seq = 3",
    "audit-type": "UPDATE audit SET type = 'gc.done' WHERE seq = 4",
    "audit-signature": "UPDATE audit SET signature = (SELECT signature FROM audit WHERE seq = 1) WHERE seq = 2",
    "audit-hash": "UPDATE audit SET hash = substr(hash, 2) || 'x' WHERE seq = 4",
    "audit-blob": "UPDATE audit SET payload = CAST(payload AS BLOB) WHERE seq = 4",
    "audit-null-bytes": "UPDATE audit SET actor = actor || char(0) WHERE seq = 4",
    "audit-first": "DELETE FROM audit WHERE seq = 1",
    "audit-middle": "DELETE FROM audit WHERE seq = 2",
    "audit-all": "DELETE FROM audit",
    "audit-renumbered": "UPDATE audit SET seq = 99 WHERE seq = (SELECT max(seq) FROM audit)",
    "execution-status": "UPDATE executions SET status = 'rolled_back'",
    "execution-document": "UPDATE executions SET document = replace(document, 'done', 'fine')",
    "execution-document-type": "UPDATE executions SET document = 7",
    "execution-plan": "UPDATE executions SET plan_id = 'plan_other'",
    "execution-decision": "UPDATE executions SET decision_id = 'dec_other'",
    "execution-checksum": "UPDATE executions SET checksum = replace(checksum, substr(checksum, 1, 1), 'x')",
    "execution-time": "UPDATE executions SET finished_at = '2031-01-01T00:00:00.000000Z'",
    "execution-digest": "UPDATE executions SET digest = 'f' || substr(digest, 1, 63)",
    "execution-deleted": "DELETE FROM executions",
    "execution-copied": "INSERT INTO executions SELECT 'exec_copy', plan_id, decision_id, checksum, status, "
    "finished_at, document, digest, seal FROM executions LIMIT 1",
    "step-status": "UPDATE steps SET status = 'skipped' WHERE position = 1",
    "step-duration": "UPDATE steps SET duration_seconds = 0 WHERE position = 0",
    "step-deleted": "DELETE FROM steps WHERE position = 1",
    "step-added": "INSERT INTO steps SELECT execution_id, 2, 2, name, status, started_at, 0.0, code, message, log "
    "FROM steps WHERE position = 1",
    "path-edited": "UPDATE execution_paths SET path = 'c.txt' WHERE position = 0",
    "path-deleted": "DELETE FROM execution_paths",
    "idempotency-status": "UPDATE idempotency SET status = 'failed'",
    "idempotency-document": "UPDATE idempotency SET document = replace(document, '3600', '9999')",
    "idempotency-checksum": "UPDATE idempotency SET checksum = 'f' || substr(checksum, 1, 63)",
    "idempotency-deleted": "DELETE FROM idempotency",
    "proposal-plan": "UPDATE proposals SET plan = replace(plan, 'say hello', 'say bye')",
    "proposal-changeset": "UPDATE proposals SET changeset = replace(changeset, 'hello', 'haxxo')",
    "proposal-decision": "UPDATE proposals SET decision = replace(decision, 'NEED_APPROVAL', 'ALLOW')",
    "proposal-status": "UPDATE proposals SET status = 'denied'",
    "proposal-redacted": "UPDATE proposals SET redacted = 1",
    "proposal-note": "UPDATE proposals SET note = 'fine'",
    "proposal-checksum": "UPDATE proposals SET checksum = 'f' || substr(checksum, 1, 63)",
    "proposal-type": "UPDATE proposals SET changeset = 7",
    "proposal-null": "UPDATE proposals SET rejected_by = ''",
    "proposal-deleted": "DELETE FROM proposals",
    "approval-document": "UPDATE approvals SET document = replace(document, 'bob', 'eve')",
    "approval-deleted": "DELETE FROM approvals",
    "consumed-deleted": "DELETE FROM consumed_approvals",
    "consumed-moved": "UPDATE consumed_approvals SET execution_id = 'exec_other'",
    "consumed-added": "INSERT INTO consumed_approvals VALUES ('appr_x', 'exec_x', '2030')",
    "fence-lowered": "UPDATE counters SET value = 0",
    "fence-deleted": "DELETE FROM counters",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_every_edit_of_every_table_is_found(case: Any, edit: str) -> None:
    case.executed()
    case.executed(content=b"second")
    assert case.records.audit_verify().ok
    before = case.path.read_bytes()
    case.sql(edit)
    assert case.path.read_bytes() != before, "the edit did nothing"
    report = case.reopened().audit_verify()
    assert not report.ok
    assert report.first_problem is not None
    assert report.first_problem.message


def test_the_first_bad_record_is_named(case: Any) -> None:
    for _ in range(3):
        case.executed()
    case.sql("UPDATE audit SET actor = 'x' WHERE seq IN (5, 8)")
    report = case.records.audit_verify()
    assert (report.first_problem.code, report.first_problem.seq) == ("AUDIT_HASH", 5)
    assert [problem.seq for problem in report.problems] == [5, 8]


def test_a_rebuilt_chain_without_the_key_is_found(case: Any) -> None:
    case.executed()
    forger, previous = Ed25519Signer.generate(), log.EMPTY
    for seq, at, kind, payload in case.sql("SELECT seq, at, type, payload FROM audit ORDER BY seq"):
        row = {"seq": seq, "at": at, "type": kind, "actor": "eve", "payload": payload, "prev_hash": previous.hash}
        previous = AuditHead(seq, log.canonical_digest(row))
        signature = forger.sign({"statement": log.STATEMENT, "seq": seq, "hash": previous.hash})
        case.sql(
            "UPDATE audit SET actor = 'eve', prev_hash = ?, hash = ?, signature = ? WHERE seq = ?",
            row["prev_hash"],
            previous.hash,
            signature,
            seq,
        )
    codes = [problem.code for problem in case.records.audit_verify().problems]
    assert codes[:4] == ["AUDIT_SIGNATURE"] * 4
    assert "AUDIT_HEAD_MISMATCH" in codes


def test_a_row_replaced_by_an_older_genuine_one_is_found(case: Any) -> None:
    """Every seal is the gate's own; only the newest digest in the log tells."""
    plan, _, decision = case.stored(Status.AWAITING_APPROVAL)
    (old,) = case.sql("SELECT status, digest, seal FROM proposals")
    case.records.reject(plan.id, "alice", "")
    case.sql("UPDATE proposals SET status = ?, digest = ?, seal = ?, rejected_by = NULL, note = ''", *old)
    assert case.records.proposal(plan.id).decision == decision
    report = case.records.audit_verify()
    assert [problem.code for problem in report.problems] == ["PROPOSAL_ALTERED"]


def test_an_audit_log_cut_off_at_its_end_is_found_by_the_receipts(case: Any) -> None:
    result = case.executed()
    case.sql("DELETE FROM audit WHERE seq = 4")
    report = case.records.audit_verify()
    found = {problem.code for problem in report.problems}
    assert "AUDIT_TRUNCATED" in found
    assert any(result.execution_id in problem.message for problem in report.problems)


def test_an_audit_log_cut_off_together_with_its_rows_is_found_by_a_noted_head(case: Any) -> None:
    case.executed()
    keep = case.path.read_bytes()
    second = case.executed(content=b"second")
    noted = case.records.audit_head()
    assert case.records.audit_verify(expect_head=noted).ok
    case.path.write_bytes(keep)
    shutil.rmtree(case.records.executions_dir / second.execution_id)
    assert case.records.audit_verify().ok  # the whole workspace was put back; nothing inside it can tell
    report = case.records.audit_verify(expect_head=noted)
    assert [problem.code for problem in report.problems] == ["AUDIT_TRUNCATED"]
    wrong = case.records.audit_verify(expect_head=AuditHead(1, "f" * 64))
    assert [problem.code for problem in wrong.problems] == ["AUDIT_HEAD_MISMATCH"]


def test_an_edited_or_missing_artifact_is_found(case: Any) -> None:
    result = case.executed()
    folder = case.records.executions_dir / result.execution_id
    plan = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(plan.replace("hello", "bye"))
    report = case.records.audit_verify()
    assert [problem.code for problem in report.problems] == ["RECEIPT_ALTERED"]
    assert "plan.json" in report.problems[0].message
    (folder / "receipt.json").unlink()
    assert [problem.code for problem in case.records.audit_verify().problems] == ["RECEIPT_MISSING"]


def test_a_tampered_proposal_is_refused_and_recorded(case: Any) -> None:
    plan, _, decision = case.stored(Status.AWAITING_APPROVAL)
    case.sql("UPDATE proposals SET changeset = replace(changeset, 'hello', 'haxxo')")
    approval = case.approval(decision)
    for attempt in (
        lambda: case.records.proposal(plan.id),
        lambda: case.records.add_approval(plan.id, approval, Status.APPROVED),
        lambda: case.records.reject(plan.id, "alice", ""),
        lambda: case.records.update_decision(plan.id, decision, Status.APPROVED),
    ):
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert caught.value.code == "STORED_CHANGESET_TAMPERED"
    events = [record for record in case.records.audit_export() if record["type"] == "security.tampered"]
    assert len(events) == 4
    assert events[0]["payload"]["plan_id"] == plan.id
    assert case.sql("SELECT count(*) FROM approvals") == [(0,)]
    assert case.records.proposals() == []
    assert case.records.tampered_proposals() == [plan.id]


def test_a_proposal_with_checksum_and_hash_made_to_fit_is_refused_too(case: Any) -> None:
    """Whoever recomputes everything that is not signed still lacks the key."""
    plan, changeset, _ = case.stored()
    document = json.loads(changeset.model_dump_json())
    from lonelycat.changes.changeset import ChangeSet, FileChange

    forged = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("evil", b"x")], id=changeset.id)
    case.sql("UPDATE proposals SET changeset = ?, checksum = ?", forged.model_dump_json(), forged.checksum)
    assert document["id"] == forged.id
    with pytest.raises(RefusedError):
        case.records.proposal(plan.id)


def test_a_seal_of_another_proposal_does_not_fit(case: Any) -> None:
    first, second = case.stored()[0], case.stored()[0]
    columns = (
        "plan",
        "changeset",
        "decision",
        "body_digest",
        "digest",
        "seal",
        "changeset_id",
        "decision_id",
        "created_at",
    )
    (values,) = case.sql(f"SELECT {', '.join(columns)} FROM proposals WHERE plan_id = ?", second.id)
    case.sql(
        f"UPDATE proposals SET {', '.join(f'{name} = ?' for name in columns)} WHERE plan_id = ?", *values, first.id
    )
    with pytest.raises(RefusedError):
        case.records.proposal(first.id)


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE idempotency SET status = 'completed', document = replace(document, 'failed', 'completed')",
        "UPDATE idempotency SET document = 'x'",
        "UPDATE idempotency SET document = 7",
        "UPDATE idempotency SET seal = ''",
        "UPDATE idempotency SET execution_id = 'exec_other'",
    ],
)
def test_a_forged_idempotency_record_is_no_answer(case: Any, edit: str) -> None:
    plan, changeset, decision = case.stored()
    case.finish(plan, case.result(plan, changeset, Status.ROLLED_BACK), decision)
    case.sql(edit)
    with pytest.raises(RefusedError) as caught:
        case.records.idempotency_record(plan.id, changeset.checksum)
    assert caught.value.code == "IDEMPOTENCY_TAMPERED"
    assert [r["type"] for r in case.records.audit_export()][-1] == "security.tampered"


def test_edited_history_is_shown_as_such(case: Any) -> None:
    result = case.executed()
    case.sql("UPDATE executions SET document = replace(document, 'done', 'fine')")
    row = case.records.execution(result.execution_id)
    assert (row.intact, row.result.message) == (False, "fine")
    case.sql("UPDATE executions SET document = '{'")
    (row,) = case.records.executions()
    assert (row.intact, row.result.error_code, row.result.success) == (False, "HISTORY_TAMPERED", False)


def test_an_export_is_verified_offline(case: Any) -> None:
    case.executed()
    case.executed(content=b"second", intent="naïve \u2028 text")
    key = case.records.signer.public_key
    lines = [json.dumps(record) for record in case.records.audit_export()]
    read = [json.loads(line) for line in lines]
    assert log.verify_export(iter(read), key, case.records.audit_head()) == []
    assert [p.code for p in log.verify_export(iter(read[:-1]), key, case.records.audit_head())] == ["AUDIT_TRUNCATED"]
    assert next(p.code for p in log.verify_export(iter(read[1:]), key)) == "AUDIT_GAP"
    other = base64.b64encode(b"\1" * 32).decode()
    assert {p.code for p in log.verify_export(iter(read), other)} == {"AUDIT_SIGNATURE"}
    read[2]["payload"]["note"] = "edited"
    assert [(p.code, p.seq) for p in log.verify_export(iter(read), key)] == [("AUDIT_HASH", 3)]


def test_verifying_changes_nothing(case: Any) -> None:
    case.executed()
    before = case.path.read_bytes()
    case.records.audit_verify()
    assert case.path.read_bytes() == before


def test_genuine_records_of_two_branches_do_not_make_one_log(case: Any) -> None:
    """A database put back from a backup goes on under the same key: each branch is good, a mixture is not."""
    case.executed()
    backup, key = case.path.read_bytes(), case.records.signer.public_key
    case.records.freeze("one")
    case.records.unfreeze("alice", "one")
    one = list(case.records.audit_export())
    case.path.write_bytes(backup)
    case.records.freeze("two")
    case.records.unfreeze("alice", "two")
    two = list(case.records.audit_export())
    assert log.verify_export(iter(one), key) == log.verify_export(iter(two), key) == []
    mixed = [*one[:5], *two[5:]]
    assert [(p.code, p.seq) for p in log.verify_export(iter(mixed), key)] == [("AUDIT_CHAIN", 6)]


def test_a_digest_made_to_fit_is_not_a_seal(case: Any) -> None:
    plan = case.stored()[0]
    with case.records.database.read() as connection:
        row = proposals.read(connection, plan.id)
    assert row is not None
    forged = row.with_values(note="approved by everyone")
    case.sql("UPDATE proposals SET note = ?, digest = ?", forged.values["note"], forged.digest())
    with pytest.raises(RefusedError) as caught:
        case.records.proposal(plan.id)
    assert caught.value.code == "STORED_CHANGESET_TAMPERED"
