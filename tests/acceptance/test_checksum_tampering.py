"""Bytes approved are bytes applied: whatever is altered after the checksum is refused, and recorded as tampering."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from tests.acceptance.ground import Ground

from lonelycat import ChangeSet, FileChange, Operation, Verdict, WriteGate
from lonelycat.errors import RefusedError
from lonelycat.lifecycle import Status

CREATE, UPDATE, RENAME = 0, 1, 2
FILES = {"app/settings.txt": "old\n", "app/moved.txt": "moves\n", "app/other.txt": "other\n"}
CHANGES = (
    FileChange.create("app/made.txt", "made\n"),
    FileChange.update("app/settings.txt", "old\n", "new\n"),
    FileChange.rename("app/moved.txt", "app/there.txt", "moves\n"),
)
OTHER_HASH = FileChange.create("x", "another content").new_hash


@pytest.fixture
def prepared(ground: Ground) -> Ground:
    return ground.begin(FILES)


def _altered(number: int, **values: object) -> Callable[[ChangeSet], ChangeSet]:
    def alter(changeset: ChangeSet) -> ChangeSet:
        changes = list(changeset.changes)
        changes[number] = changes[number].model_copy(update=values)
        return changeset.model_copy(update={"changes": tuple(changes)})

    return alter


def _constructed(number: int, **values: object) -> Callable[[ChangeSet], ChangeSet]:
    """As :func:`_altered`, with models that were never validated."""

    def alter(changeset: ChangeSet) -> ChangeSet:
        changes = list(changeset.changes)
        fields = {name: getattr(changes[number], name) for name in FileChange.model_fields}
        changes[number] = FileChange.model_construct(**{**fields, **values})
        whole = {name: getattr(changeset, name) for name in ChangeSet.model_fields}
        return ChangeSet.model_construct(**{**whole, "changes": tuple(changes)})

    return alter


def _with(*changes: FileChange) -> Callable[[ChangeSet], ChangeSet]:
    return lambda changeset: changeset.model_copy(update={"changes": changes})


ALTERATIONS: dict[str, Callable[[ChangeSet], ChangeSet]] = {
    "content": _altered(CREATE, content=b"evil\n"),
    "content and its hash": _altered(CREATE, content=b"evil\n", new_hash=FileChange.create("x", b"evil\n").new_hash),
    "content of an update": _altered(UPDATE, content=b"evil\n"),
    "path": _altered(CREATE, path="app/elsewhere.txt"),
    "path outside": _constructed(CREATE, path="../outside/evil.txt"),
    "absolute path": _constructed(CREATE, path="/tmp/evil.txt"),
    "protected path": _altered(CREATE, path=".git/hooks/post-checkout"),
    "path that another change has": _altered(CREATE, path="app/settings.txt"),
    "source of a rename": _altered(RENAME, old_path="app/other.txt"),
    "operation": _altered(UPDATE, operation=Operation.CREATE, old_hash=None, old_mode=None),
    "operation alone": _altered(CREATE, operation=Operation.UPDATE),
    "an update made a deletion": _constructed(
        UPDATE, operation=Operation.DELETE, new_hash=None, new_mode=None, content=None
    ),
    "new mode": _altered(CREATE, new_mode="100755"),
    "file made a link": _altered(CREATE, new_mode="120000"),
    "old mode": _altered(UPDATE, old_mode="100755"),
    "new hash": _altered(CREATE, new_hash=OTHER_HASH),
    "new hash of a rename": _altered(RENAME, new_hash=OTHER_HASH, content=b"another content"),
    "old hash": _altered(UPDATE, old_hash=OTHER_HASH),
    "a change more": _with(*CHANGES, FileChange.create("app/more.txt", "more\n")),
    "a change less": _with(*CHANGES[:-1]),
    "changes in another order": _with(*reversed(CHANGES)),
    "checksum": lambda changeset: changeset.model_copy(update={"checksum": "0" * 64}),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_change_set_is_refused_and_recorded(prepared: Ground, name: str) -> None:
    proposed = prepared.judge(CHANGES)
    assert proposed.decision.verdict is Verdict.ALLOW
    altered = ALTERATIONS[name](proposed.changeset)
    before = prepared.inodes()
    result = prepared.execute(proposed, changeset=altered)
    assert result.status is Status.REJECTED
    assert not result.success
    assert prepared.inodes() == before
    assert not prepared.noted("runs")
    events = prepared.security_events()
    assert [event["plan_id"] for event in events] == [proposed.plan.id], result.error_code
    assert events[0]["code"] == result.error_code
    prepared.assert_sound()


@pytest.mark.parametrize("name", ALTERATIONS)
def test_the_gate_denies_it_too(prepared: Ground, name: str) -> None:
    proposed = prepared.judge(CHANGES)
    again = prepared.judge(CHANGES)
    altered = ALTERATIONS[name](proposed.changeset)
    decision = WriteGate.from_workspace(prepared.root).evaluate(proposed.plan, altered)
    assert decision.verdict is Verdict.DENY
    assert {"CHECKSUM_MISMATCH", "GATE_INTERNAL_ERROR"} & {reason.code for reason in decision.reasons}
    result = prepared.execute(proposed, changeset=altered, decision=decision)
    assert result.status is Status.REJECTED
    assert prepared.execute(again).status is Status.COMPLETED


def test_a_checksum_made_anew_does_not_fit_the_decision(prepared: Ground) -> None:
    proposed = prepared.judge(CHANGES)
    other = ChangeSet.build(
        id=proposed.changeset.id,
        plan_id=proposed.plan.id,
        changes=[FileChange.create("app/made.txt", "evil\n"), *CHANGES[1:]],
    )
    assert other.integrity_error() is None
    result = prepared.execute(proposed, changeset=other)
    assert (result.status, result.error_code) == (Status.REJECTED, "DECISION_MISMATCH")
    assert prepared.security_events()[0]["code"] == "DECISION_MISMATCH"
    assert prepared.tree().keys().isdisjoint({"app/made.txt"})


STORED_EDITS = {
    "content": "UPDATE proposals SET changeset = replace(changeset, 'made\\n', 'evil\\n')",
    "path": "UPDATE proposals SET changeset = replace(changeset, 'app/made.txt', 'app/evil.txt')",
    "mode": 'UPDATE proposals SET changeset = replace(changeset, \'"new_mode":"100644"\', \'"new_mode":"100755"\')',
    "operation": "UPDATE proposals SET changeset = replace(changeset, '\"update\"', '\"delete\"')",
    "checksum": "UPDATE proposals SET checksum = printf('%064d', 0)",
    "plan": 'UPDATE proposals SET plan = replace(plan, \'"verification_plan":["look"]\', \'"verification_plan":[]\')',
    "decision": "UPDATE proposals SET decision = replace(decision, 'DENY', 'ALLOW')",
    "status": "UPDATE proposals SET status = 'approved'",
    "not even JSON": "UPDATE proposals SET changeset = 'x'",
    "a number": "UPDATE proposals SET changeset = 7",
    "digest": "UPDATE proposals SET digest = printf('%064d', 0)",
    "seal": "UPDATE proposals SET seal = 'AAAA'",
}


@pytest.mark.parametrize("name", STORED_EDITS)
def test_an_edit_in_the_database_is_refused_and_recorded(prepared: Ground, name: str) -> None:
    changes: tuple[FileChange, ...] = CHANGES
    if name in ("decision", "status"):  # a denied one that somebody turned into an allowed one
        changes = (FileChange.create(".env", "PASSWORD=\n"),)
    proposed = prepared.keep(changes)
    before = prepared.inodes()
    with closing(sqlite3.connect(prepared.root / ".lonelycat" / "lonelycat.db")) as database:
        assert database.execute(STORED_EDITS[name]).rowcount == 1
        database.commit()
    with pytest.raises(RefusedError) as refused:
        prepared.cat().execute(proposed.plan.id)
    assert refused.value.code == "STORED_CHANGESET_TAMPERED"
    assert prepared.inodes() == before
    (event,) = prepared.security_events()
    assert (event["plan_id"], event["code"]) == (proposed.plan.id, "STORED_CHANGESET_TAMPERED")
    assert not prepared.cat().audit_verify().ok


def test_the_command_line_refuses_an_edit_in_the_database(prepared: Ground) -> None:
    proposed = prepared.keep(CHANGES)
    with closing(sqlite3.connect(prepared.root / ".lonelycat" / "lonelycat.db")) as database:
        assert database.execute(STORED_EDITS["content"]).rowcount == 1
        database.commit()
    answer = prepared.run("execute", proposed.plan.id)
    assert (answer.exit, answer.facts["code"]) == (4, "STORED_CHANGESET_TAMPERED")
    assert prepared.run("audit", "verify").exit != 0
    assert [event["code"] for event in prepared.security_events()] == ["STORED_CHANGESET_TAMPERED"]


def test_a_large_content_that_was_edited_where_it_is_stored_is_refused(prepared: Ground) -> None:
    large = b"".join(b"%08d" % number + b"." * 92 + b"\n" for number in range(1_000))
    prepared.git("checkout", "--quiet", "-b", "agent")
    prepared.write({"app/large.txt": large})
    prepared.git("add", "--all")
    prepared.git("commit", "--quiet", "--message=A large file")
    prepared.git("checkout", "--quiet", "main")
    proposed = prepared.run("propose", "--git", "main..agent", "--intent", "Add a large file", "--by", "agent:coder")
    assert proposed.exit == 0, proposed
    before = prepared.tree()
    (blob,) = [path for path in (prepared.root / ".lonelycat/blobs").rglob("*") if path.is_file()]
    blob.chmod(0o600)
    blob.write_bytes(large.replace(b"00000007", b"66666666"))
    answer = prepared.run("execute", proposed.facts["plan_id"])
    assert (answer.exit, answer.facts["code"]) == (4, "BLOB_TAMPERED")
    assert prepared.tree() == before
    assert [event["code"] for event in prepared.security_events()] == ["BLOB_TAMPERED"]
    prepared.assert_sound()


def test_a_forged_record_of_success_does_not_answer(prepared: Ground) -> None:
    """An edited idempotency record would make LonelyCat say "done" of what was rolled back."""
    prepared.policy["verification"]["look"]["argv"] = prepared.argv("sys.exit(1)")
    prepared.write_policy()
    proposed = prepared.judge(CHANGES)
    assert prepared.execute(proposed).status is Status.ROLLED_BACK
    with closing(sqlite3.connect(prepared.root / ".lonelycat" / "lonelycat.db")) as database:
        edit = "UPDATE idempotency SET status = 'completed', document = replace(document, 'failed', 'completed')"
        assert database.execute(edit).rowcount == 1
        database.commit()
    result = prepared.execute(proposed)
    assert (result.status, result.error_code) == (Status.REJECTED, "IDEMPOTENCY_TAMPERED")
    assert not result.success
    assert {event["code"] for event in prepared.security_events()} == {"IDEMPOTENCY_TAMPERED"}
