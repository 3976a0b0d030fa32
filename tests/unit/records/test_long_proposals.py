"""Proposals whose change set is long: its text lies in parts beside the row, and is held to the row's seal."""

from __future__ import annotations

import os
import signal
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from lonelycat.changes import changeset as changesets
from lonelycat.changes import stored_form
from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.errors import RefusedError
from lonelycat.governance.policy import Verdict
from lonelycat.lifecycle import Status
from lonelycat.records import changeset_texts

NEVER_LONG = 1 << 30


@pytest.fixture(autouse=True)
def _two_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes are long, and each lies in a part of its own: head, change, change, tail."""
    monkeypatch.setattr(changesets, "_LONG", 2)
    monkeypatch.setattr(stored_form, "_TOGETHER", 1)


def _stored_in_its_row(case: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """Store as earlier versions did."""
    with monkeypatch.context() as patch:
        patch.setattr(changesets, "_LONG", NEVER_LONG)
        return case.stored(**options)


def _parts(case: Any, plan_id: str) -> list[str]:
    return [row[0] for row in case.sql("SELECT text FROM changeset_parts WHERE plan_id = ? ORDER BY position", plan_id)]


def test_it_comes_back_as_it_went_in(case: Any) -> None:
    for content in (b"text\r\n", b"\x00\xff", "\u00fcn\u00ef \u2028".encode()):
        plan, changeset, decision = case.stored(content=content)
        parts = _parts(case, plan.id)
        assert (len(parts), "".join(parts)) == (4, changeset.model_dump_json())
        ((column,),) = case.sql("SELECT changeset FROM proposals WHERE plan_id = ?", plan.id)
        assert len(column) < 100
        assert case.records.proposal(plan.id).changeset is changeset
        proposal = case.reopened().proposal(plan.id)
        assert (proposal.plan, proposal.changeset, proposal.decision) == (plan, changeset, decision)
    assert len(case.reopened().proposals()) == 3
    assert case.records.tampered_proposals() == []


def test_everything_is_done_with_it_that_is_done_with_a_short_one(case: Any) -> None:
    result = case.executed()
    other = case.stored(Status.AWAITING_APPROVAL, content=b"other")[0]
    case.records.reject(other.id, "alice", "no")
    assert case.reopened().audit_verify().ok
    assert case.reopened().proposal(result.plan_id).approvals
    assert case.reopened().proposal(other.id).status is Status.DENIED


def test_neither_storing_nor_reading_it_takes_memory_for_its_text(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    refs = [BlobRef(sha256=f"{number:064x}", size=1, pack="f" * 64, offset=number) for number in range(5001)]
    changes = [FileChange.update(f"a/{number}", refs[number + 1], refs[number]) for number in range(5000)]
    plan, _, _ = case.proposed()
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    decision, text = case.decision(plan, changeset), len(changeset.model_dump_json())
    case.records.proposal("plan_none")  # what is loaded and opened once
    tracemalloc.start()
    try:
        case.records.save_proposal(plan, changeset, decision, Status.APPROVED)
        assert case.records.proposal(plan.id).changeset is changeset
        assert tracemalloc.get_traced_memory()[1] < text // 2
        tracemalloc.reset_peak()
        read = case.reopened().proposal(plan.id)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read.changeset == changeset
    assert peak - held < text // 2


EDITS = {
    "changed": "UPDATE changeset_parts SET text = replace(text, 'hello', 'haxxo') WHERE position = 1",
    "changed, the length too": "UPDATE changeset_parts SET text = replace(text, 'hello', 'evil') WHERE position = 1",
    "a blank": "UPDATE changeset_parts SET text = text || ' ' WHERE position = 2",
    "nothing left of one": "UPDATE changeset_parts SET text = '' WHERE position = 1",
    "a number": "UPDATE changeset_parts SET text = CAST(7 AS BLOB) WHERE position = 1",
    "bytes": "UPDATE changeset_parts SET text = CAST(text AS BLOB) WHERE position = 1",
    "the first gone": "DELETE FROM changeset_parts WHERE position = 0",
    "a change gone": "DELETE FROM changeset_parts WHERE position = 2",
    "the last gone": "DELETE FROM changeset_parts WHERE position = 3",
    "all gone": "DELETE FROM changeset_parts",
    "one more": "INSERT INTO changeset_parts SELECT plan_id, 9, ' ' FROM changeset_parts WHERE position = 0",
    "one more before": "INSERT INTO changeset_parts SELECT plan_id, -1, ' ' FROM changeset_parts WHERE position = 0",
    "in another order": "UPDATE changeset_parts SET position = -position WHERE position > 1",
    "swapped with another's": "UPDATE changeset_parts SET text = (SELECT other.text FROM changeset_parts other WHERE "
    "other.plan_id != changeset_parts.plan_id AND other.position = changeset_parts.position)",
    "moved to another": "UPDATE changeset_parts SET position = position + 10, plan_id = (SELECT max(plan_id) FROM "
    "proposals) WHERE plan_id = (SELECT min(plan_id) FROM proposals)",
    "another hash named": "UPDATE proposals SET changeset = substr(changeset, 1, length(changeset) - 1) || 'x'",
    "another's hash and text": "UPDATE proposals SET changeset = (SELECT changeset FROM proposals p WHERE p.plan_id "
    "!= proposals.plan_id)",
    "put into the row": "UPDATE proposals SET changeset = (SELECT group_concat(text, '') FROM (SELECT text FROM "
    "changeset_parts c WHERE c.plan_id = proposals.plan_id ORDER BY position))",
    "no hash named": "UPDATE proposals SET changeset = 'in parts, sha256 '",
    "a row of another type": "UPDATE proposals SET changeset = 7",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
@pytest.mark.parametrize("held", [True, False], ids=["held", "read anew"])
def test_every_edit_is_refused_and_recorded(case: Any, edit: str, held: bool) -> None:
    plan, changeset, decision = case.stored(Status.AWAITING_APPROVAL)
    other = case.stored(content=b"another hello", intent="other")
    approval = case.approval(decision)
    assert len(case.records.proposals()) == 2 and case.records.audit_verify().ok
    case.sql(edit)
    records = case.records if held else case.reopened()
    for attempt in (
        lambda: records.proposal(plan.id),
        lambda: records.add_approval(plan.id, approval, Status.APPROVED),
        lambda: records.reject(plan.id, "alice", ""),
        lambda: records.update_decision(plan.id, decision, Status.APPROVED),
    ):
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert caught.value.code == "STORED_CHANGESET_TAMPERED"
    events = [record for record in records.audit_export() if record["type"] == "security.tampered"]
    assert [event["payload"]["plan_id"] for event in events] == [plan.id] * 4
    assert plan.id in records.tampered_proposals()
    assert {proposal.plan.id for proposal in records.proposals()} <= {other[0].id}
    assert any(problem.code == "PROPOSAL_ALTERED" for problem in records.audit_verify().problems)
    assert changeset.integrity_error() is None


def test_a_forged_text_with_its_own_hash_in_the_row_lacks_the_seal(case: Any) -> None:
    plan, changeset, _ = case.stored()
    forged = ChangeSet.build(
        plan_id=plan.id, changes=[FileChange.create("evil", b"x"), FileChange.create("e", b"")], id=changeset.id
    )
    with case.records.database.write() as connection:
        changeset_texts.write_parts(connection, plan.id, forged)
    column = changeset_texts.column_text(forged)
    case.sql("UPDATE proposals SET changeset = ?, checksum = ?", column, forged.checksum)
    with pytest.raises(RefusedError) as caught:
        case.reopened().proposal(plan.id)
    assert caught.value.code == "STORED_CHANGESET_TAMPERED"


def test_what_is_parsed_is_what_was_hashed(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes to the file between two readings gains nothing by it."""
    plan, _, _ = case.stored()
    read, readings = changeset_texts._stored_parts, []

    def changing(connection: Any, plan_id: str) -> Any:
        readings.append(plan_id)
        return (text if len(readings) == 1 else text.replace("a.txt", "evil1") for text in read(connection, plan_id))

    monkeypatch.setattr(changeset_texts, "_stored_parts", changing)
    with pytest.raises(RefusedError) as caught:
        case.reopened().proposal(plan.id)
    assert caught.value.code == "STORED_CHANGESET_TAMPERED"
    assert len(readings) == 2


def test_a_secret_is_not_stored_and_goes_when_a_later_decision_denies_it(case: Any) -> None:
    first = case.stored(Status.DENIED, content=b"one unique", verdict=Verdict.DENY, codes=("CONTENT_SECRET",))
    plan, changeset, _ = case.stored(content=b"other unique")
    assert "unique" not in "".join(_parts(case, first[0].id))
    assert "unique" in "".join(_parts(case, plan.id))
    case.records.update_decision(
        plan.id, case.decision(plan, changeset, Verdict.DENY, ("CONTENT_SECRET",)), Status.DENIED
    )
    assert case.sql("SELECT count(*) FROM changeset_parts WHERE text LIKE '%unique%'") == [(0,)]
    for each in (first[0], plan):
        proposal = case.reopened().proposal(each.id)
        assert proposal.redacted and len(proposal.changeset.changes) == 2
    assert case.reopened().audit_verify().ok


def test_what_an_earlier_version_put_into_the_row_is_read_and_changed_as_before(
    case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, changeset, decision = _stored_in_its_row(
        case, monkeypatch, status=Status.AWAITING_APPROVAL, content=b"a unique one", verdict=Verdict.NEED_APPROVAL
    )
    records = case.reopened()
    assert records.proposal(plan.id).changeset == changeset
    assert not records.save_proposal(plan, changeset, decision, Status.AWAITING_APPROVAL), "the very same one"
    records.add_approval(plan.id, case.approval(decision), Status.APPROVED)
    assert _parts(case, plan.id) == []
    assert records.audit_verify().ok
    denied = case.decision(plan, changeset, Verdict.DENY, ("CONTENT_SECRET",))
    records.update_decision(plan.id, denied, Status.DENIED)
    assert "unique" not in str(case.sql("SELECT changeset FROM proposals")) + "".join(_parts(case, plan.id))
    assert case.reopened().proposal(plan.id).redacted
    assert not records.save_proposal(plan, changeset, denied, Status.DENIED)
    assert case.reopened().audit_verify().ok


@pytest.mark.parametrize("in_row", [True, False])
def test_the_same_is_stored_once_and_another_body_is_refused(
    case: Any, in_row: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, changeset, decision = _stored_in_its_row(case, monkeypatch) if in_row else case.stored()
    assert not case.records.save_proposal(plan, changeset, decision, Status.APPROVED)
    changes = (*changeset.changes[:1], FileChange.create("evil", b"x"))
    other = ChangeSet.build(plan_id=plan.id, changes=changes, id=changeset.id)
    for body in ((plan, other), (plan.model_copy(update={"intent": "other"}), changeset)):
        with pytest.raises(RefusedError) as caught:
            case.records.save_proposal(*body, decision, Status.APPROVED)
        assert caught.value.code == "PLAN_ID_TAKEN"
    assert case.reopened().proposal(plan.id).changeset == changeset


def test_the_text_goes_with_its_proposal(case: Any) -> None:
    case.stored()
    kept = case.stored(content=b"young")[0]
    case.sql("UPDATE proposals SET created_at = '2000-01-01T00:00:00.000000Z' WHERE plan_id != ?", kept.id)
    case.clock.moment += timedelta(days=1)
    case.records.gc(keep_days=10)
    assert case.sql("SELECT DISTINCT plan_id FROM changeset_parts") == [(kept.id,)]
    assert case.records.database.damage() == ()
    assert case.records.audit_verify().ok


def test_a_kill_between_two_parts_leaves_nothing(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case.stored()
    stored = case.path.read_bytes()
    before = case.sql("SELECT count(*) FROM changeset_parts"), case.sql("SELECT count(*) FROM proposals")
    pid = os.fork()
    if pid == 0:
        real, calls = changeset_texts.stored_parts, []

        def dying(changeset: ChangeSet) -> Any:
            calls.append(changeset)
            for position, text in enumerate(real(changeset)):
                if len(calls) == 2 and position == 2:  # the first is the hash
                    os.kill(os.getpid(), signal.SIGKILL)
                yield text

        changeset_texts.stored_parts = dying
        try:
            case.stored(content=b"other")
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert (case.sql("SELECT count(*) FROM changeset_parts"), case.sql("SELECT count(*) FROM proposals")) == before
    assert case.path.read_bytes() == stored
    assert case.reopened().audit_verify().ok
    case.stored(content=b"other")
