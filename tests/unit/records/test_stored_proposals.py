"""Proposals: what is stored, and what is deliberately not."""

from __future__ import annotations

import gc
import os
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.errors import RefusedError
from lonelycat.governance.policy import Verdict
from lonelycat.governance.signing import verify_signature
from lonelycat.lifecycle import Status
from lonelycat.records.entries import AuditEvent, AuditType


def test_a_proposal_comes_back_as_it_went_in(case: Any) -> None:
    for content in (b"text\r\n", b"\x00\xff", "ünï \u2028".encode()):
        parts = case.stored(Status.APPROVED, content=content)
        proposal = case.reopened().proposal(parts[0].id)
        assert (proposal.plan, proposal.changeset, proposal.decision) == parts
        assert (proposal.status, proposal.redacted, proposal.approvals) == (Status.APPROVED, False, ())
        assert proposal.changeset.integrity_error() is None
        key = case.records.signer.public_key
        assert verify_signature(key, proposal.decision.signed_payload(), proposal.decision.signature)
    assert case.records.proposal("plan_none") is None


def test_a_change_set_that_is_still_held_is_not_in_memory_twice(case: Any) -> None:
    plan, changeset, _ = case.stored()
    assert case.records.proposal(plan.id).changeset is changeset
    read_anew = case.reopened().proposal(plan.id).changeset
    assert read_anew == changeset and read_anew is not changeset


def test_a_change_set_that_nobody_holds_is_not_kept_for_being_stored(case: Any) -> None:
    case.stored()  # what it returns goes at once
    gc.collect()
    assert len(case.records._stored_changesets) == 0


def test_what_was_stored_under_another_text_is_not_taken_for_the_stored(case: Any) -> None:
    plan, changeset, _ = case.stored(content=b"some quite unique content")
    case.sql("UPDATE proposals SET changeset = replace(changeset, 'unique', 'common')")
    with pytest.raises(RefusedError) as caught:
        case.records.proposal(plan.id)
    assert caught.value.code == "STORED_CHANGESET_TAMPERED"
    case.sql("UPDATE proposals SET changeset = replace(changeset, 'common', 'unique')")
    assert case.records.proposal(plan.id).changeset is changeset
    case.records.update_decision(
        plan.id, case.decision(plan, changeset, Verdict.DENY, ("CONTENT_SECRET",)), Status.DENIED
    )
    assert b"unique" not in case.records.proposal(plan.id).changeset.model_dump_json().encode()


def test_the_same_proposal_twice_is_stored_once(case: Any) -> None:
    parts = case.proposed()
    assert case.records.save_proposal(*parts, Status.APPROVED)
    assert not case.records.save_proposal(*parts, Status.APPROVED)
    assert case.records.audit_head().seq == 2


def test_another_body_under_the_same_id_is_refused(case: Any) -> None:
    plan, changeset, decision = case.stored()
    other = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("evil", b"x")], id=changeset.id)
    for body in ((plan, other), (plan.model_copy(update={"intent": "other"}), changeset)):
        with pytest.raises(RefusedError) as caught:
            case.records.save_proposal(*body, decision, Status.APPROVED)
        assert caught.value.code == "PLAN_ID_TAKEN"
    assert case.records.proposal(plan.id).changeset == changeset


def test_a_change_denied_for_a_secret_is_stored_without_it(case: Any) -> None:
    secret = b"ghp_" + b"a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    plan, changeset, _ = case.stored(
        Status.DENIED,
        content=b"password: " + secret,
        verdict=Verdict.DENY,
        codes=("SECRET_FOUND",),
        intent=f"use {secret.decode()}",
    )
    proposal = case.records.proposal(plan.id)
    assert secret not in case.path.read_bytes()
    assert proposal.redacted
    assert proposal.changeset.checksum == changeset.checksum
    assert [change.path for change in proposal.changeset.changes] == ["a.txt", "b/ü.txt"]
    assert isinstance(proposal.changeset.changes[0].content, BlobRef)
    assert not case.records.blobs.has(proposal.changeset.changes[0].content)
    assert case.records.audit_verify().ok


def test_other_denied_and_held_changes_keep_their_contents(case: Any) -> None:
    denied = case.stored(Status.DENIED, verdict=Verdict.DENY, codes=("PATH_FORBIDDEN",))
    held = case.stored(Status.AWAITING_APPROVAL, verdict=Verdict.NEED_APPROVAL, codes=("SECRET_FOUND",))
    for parts in (denied, held):
        assert case.records.proposal(parts[0].id).changeset == parts[1]


def test_contents_go_when_a_later_decision_denies_for_a_secret(case: Any) -> None:
    plan, changeset, _ = case.stored(Status.APPROVED, content=b"some quite unique content")
    verdict = case.decision(plan, changeset, Verdict.DENY, ("CONTENT_SECRET",))
    case.records.update_decision(plan.id, verdict, Status.DENIED)
    proposal = case.records.proposal(plan.id)
    assert (proposal.redacted, proposal.status, proposal.decision) == (True, Status.DENIED, verdict)
    assert "unique content" not in str(case.sql("SELECT changeset FROM proposals"))
    assert case.records.audit_verify().ok


# -- many contents ---------------------------------------------------------------------------------------------------


def _large(case: Any, verdict: Verdict = Verdict.ALLOW, codes: tuple[str, ...] = ()) -> Any:
    """Return (plan, change set, decision) of contents that are over the limit together, and of each other kind."""
    plan, _, _ = case.proposed()
    half = case.settings.limits.inline_bytes_together // 2
    changes = [
        FileChange.create("a", b"a" * half),
        FileChange.delete("gone", b"old"),
        FileChange.create("large", BlobRef(sha256="1" * 64, size=1 << 30)),
        FileChange.update("b", b"old", b"\xff" * half),
        FileChange.rename("from", "to", b"same"),
        FileChange.create("c", b"c"),
    ]
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    return plan, changeset, case.decision(plan, changeset, verdict, codes)


def _contents(case: Any, changeset: ChangeSet) -> list[bytes | BlobRef | None]:
    return [
        case.records.blobs.read(change.content)
        if isinstance(change.content, BlobRef) and change.content.pack is not None
        else change.content
        for change in changeset.changes
    ]


def test_contents_over_the_limit_lie_in_one_blob(case: Any) -> None:
    plan, changeset, decision = _large(case)
    packed = case.records.pack(changeset, decision)
    case.records.save_proposal(plan, packed, decision, Status.APPROVED)
    stored = case.reopened().proposal(plan.id).changeset
    assert stored == packed
    assert (stored.checksum, stored.integrity_error()) == (changeset.checksum, None)
    assert _contents(case, stored) == [change.content for change in changeset.changes]
    assert len(list(case.records.blobs)) == 1
    assert len(case.sql("SELECT changeset FROM proposals")[0][0]) < 4096
    assert case.records.audit_verify().ok


def test_storing_and_loading_what_is_packed_takes_no_memory_for_the_contents(case: Any) -> None:
    plan, changeset, decision = _large(case)
    packed = case.records.pack(changeset, decision)
    case.records.proposal("plan_none")  # what is loaded and opened once
    tracemalloc.start()
    try:
        case.records.save_proposal(plan, packed, decision, Status.APPROVED)
        assert case.records.proposal(plan.id).changeset == packed
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < case.settings.limits.inline_bytes_together // 2


def test_contents_up_to_the_limit_stay_in_the_proposal(case: Any) -> None:
    plan, changeset, decision = _large(case)
    within = ChangeSet.build(plan_id=plan.id, changes=changeset.changes[:-1])
    assert case.records.pack(within, decision) is within
    assert list(case.records.blobs) == []


def test_contents_denied_for_a_secret_are_not_packed(case: Any) -> None:
    _, changeset, decision = _large(case, Verdict.DENY, ("SECRET_FOUND",))
    assert case.records.pack(changeset, decision) is changeset
    assert list(case.records.blobs) == []


def test_a_changed_content_is_packed_as_it_is_and_not_as_it_is_stated(case: Any) -> None:
    _, changeset, decision = _large(case)
    forged = changeset.changes[0].model_copy(update={"content": b"evil" * 1024 * 1024})
    tampered = changeset.model_copy(update={"changes": (forged, *changeset.changes[1:])})
    assert case.records.pack(tampered, decision).integrity_error() is not None


def test_a_pack_goes_with_its_proposal_or_with_its_contents(case: Any) -> None:
    for redact in (False, True):
        plan, changeset, decision = _large(case)
        packed = case.records.pack(changeset, decision)
        case.records.save_proposal(plan, packed, decision, Status.APPROVED)
        later = case.clock.moment + timedelta(days=1)
        ((_, file),) = case.records.blobs
        os.utime(file, (case.clock.moment.timestamp(), case.clock.moment.timestamp()))
        case.clock.moment = later
        case.records.gc(keep_days=10)
        assert file.exists()
        if redact:
            denied = case.decision(plan, packed, Verdict.DENY, ("CONTENT_SECRET",))
            case.records.update_decision(plan.id, denied, Status.DENIED)
        case.records.gc(keep_days=10 if redact else 0)
        assert not file.exists()
        assert case.records.audit_verify().ok


def test_an_approval_is_stored_once(case: Any) -> None:
    plan, _, decision = case.stored(Status.AWAITING_APPROVAL, verdict=Verdict.NEED_APPROVAL)
    approval = case.approval(decision)
    case.records.add_approval(plan.id, approval, Status.APPROVED)
    assert case.records.proposal(plan.id).approvals == (approval,)
    other = case.stored(Status.AWAITING_APPROVAL, verdict=Verdict.NEED_APPROVAL)[0]
    for target in (plan.id, other.id):
        with pytest.raises(RefusedError) as caught:
            case.records.add_approval(target, approval, Status.APPROVED)
        assert caught.value.code == "APPROVAL_REUSED"
    assert case.records.proposal(other.id).status is Status.AWAITING_APPROVAL


def test_lists_and_lookups(case: Any) -> None:
    one = case.stored(Status.AWAITING_APPROVAL)
    two = case.stored(Status.APPROVED)
    three = case.stored(Status.AWAITING_APPROVAL)
    result = case.result(two[0], two[1])
    case.finish(two[0], result, two[2])

    def ids(*arguments: Any) -> list[str]:
        return [proposal.plan.id for proposal in case.records.proposals(*arguments)]

    assert ids() == [three[0].id, two[0].id, one[0].id]
    assert ids(Status.AWAITING_APPROVAL) == [three[0].id, one[0].id]
    assert ids(None, 1) == [three[0].id]
    for identifier in (two[0].id, two[1].id, two[2].id, result.execution_id):
        assert case.records.find_plan_id(identifier) == two[0].id
    assert case.records.find_plan_id("exec_none") is None


def test_events_keep_their_order_type_actor_and_time(case: Any) -> None:
    for kind in AuditType:
        case.records.audit(AuditEvent(kind, "alice", {"what": str(kind)}))
    records = list(case.records.audit_export())
    assert [record["seq"] for record in records] == list(range(1, len(AuditType) + 1))
    assert [record["type"] for record in records] == [str(kind) for kind in AuditType]
    assert [record["at"] for record in records] == sorted(str(record["at"]) for record in records)
    assert {record["actor"] for record in records} == {"alice"}
    assert case.records.audit_verify().records == len(AuditType)
