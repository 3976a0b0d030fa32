"""Looking changes nothing, shows any id whole, and names everything that is wrong with what to do about it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.acceptance.ground import POLICY_PATH, Ground

from lonelycat import FileChange, LonelyCat, LonelyCatError, Status
from lonelycat.runtime.consent import TerminalConfirmation

CHANGES = (FileChange.create("docs/a.md", "a\n"), FileChange.update("app/settings.txt", "old\n", "new\n"))


def _codes(ground: Ground) -> dict[str, str]:
    findings = ground.cat().doctor()
    assert all(finding.message and finding.hint for finding in findings), findings
    assert len(set(findings)) == len(findings), "each is told once"
    return {finding.code: finding.severity for finding in findings}


# -- status ----------------------------------------


def test_a_workspace_without_state_has_a_status_and_still_no_state(begun: Ground) -> None:
    report = begun.cat().status()
    assert report.initialised is False
    assert not (begun.root / ".lonelycat").exists()


def test_status_sorts_what_waits_from_what_is_done(begun: Ground) -> None:
    allowed = begun.keep(CHANGES)
    held = begun.keep([FileChange.create(".github/workflows/a.yml", "on: x\n")])
    begun.keep([FileChange.create(".env", "A=1\n")])
    report = begun.cat().status()
    assert report.initialised
    assert [item.plan.id for item in report.approved] == [allowed.plan.id]
    assert [item.plan.id for item in report.awaiting_approval] == [held.plan.id]
    assert (report.holder, report.frozen) == (None, None)
    assert (report.unfinished, report.quarantined, report.recent) == ((), (), ())
    result = begun.cat().execute(allowed.plan.id)
    report = begun.cat().status()
    assert report.approved == ()
    assert [row.result.execution_id for row in report.recent] == [result.execution_id]


# -- show and diff ----------------------------------------


def test_any_id_shows_the_whole(begun: Ground) -> None:
    held = begun.keep([FileChange.create(".github/workflows/a.yml", "on: x\n")])
    typed = TerminalConfirmation(begun.cat().confirmation_phrase(held.plan.id), "/dev/pts/test")
    approved = begun.cat().approve(held.plan.id, by="human:owner", confirmation=typed)
    result = begun.cat().execute(held.plan.id)
    ids = (held.plan.id, held.changeset.id, held.decision.id, approved.approvals[0].id, result.execution_id)
    for identifier in ids:
        report = begun.cat().show(identifier)
        assert report.proposal is not None
        assert report.proposal.plan.id == held.plan.id
        assert report.execution is not None
        assert report.execution.result.execution_id == result.execution_id
    whole = begun.cat().show(result.execution_id)
    assert [event["type"] for event in whole.events][:1] == ["step.started"]
    assert any(name.startswith("steps/") for name, _ in whole.logs) or not whole.logs


@pytest.mark.parametrize(
    "identifier", ["plan_none", "exec_none", "cs_none", "", "../../etc/passwd", "x" * 10_000, "\0", "%"]
)
def test_an_unknown_id_is_said_to_be_unknown(begun: Ground, identifier: str) -> None:
    begun.keep(CHANGES)
    for look in (begun.cat().show, begun.cat().diff):
        with pytest.raises(LonelyCatError) as refused:
            look(identifier)
        assert refused.value.code == "ID_UNKNOWN"
        assert len(refused.value.message) < 300


def test_damaged_events_do_not_hide_the_rest(begun: Ground) -> None:
    kept = begun.keep(CHANGES)
    result = begun.cat().execute(kept.plan.id)
    events = begun.root / ".lonelycat/executions" / result.execution_id / "events.jsonl"
    events.write_bytes(b"{torn\n\xff\xfe\n" + events.read_bytes())
    report = begun.cat().show(result.execution_id)
    assert [event["type"] for event in report.events[:3]] == ["unreadable", "unreadable", "step.started"]
    events.unlink()
    assert begun.cat().show(result.execution_id).events == ()


def test_the_diff_of_a_proposal_and_of_its_execution_are_the_same_text(begun: Ground) -> None:
    kept = begun.keep(CHANGES)
    before = begun.cat().diff(kept.plan.id)
    assert before == begun.cat().preview(kept.plan.id)
    assert b"-old\n+new\n" in before
    result = begun.cat().execute(kept.plan.id)
    assert begun.cat().diff(result.execution_id) == before


@pytest.mark.parametrize("drift", ["edited", "gone", "directory", "link"])
def test_a_preview_on_a_drifted_workspace_shows_what_was_proposed_and_not_somebody_elses_text(
    begun: Ground, drift: str
) -> None:
    kept = begun.keep(CHANGES)
    path = begun.root / "app/settings.txt"
    path.unlink()
    (begun.outside / "private").write_text("private\n")
    if drift == "edited":
        path.write_text("private\n")
    elif drift == "directory":
        path.mkdir()
    elif drift == "link":
        path.symlink_to(begun.outside / "private")
    shown = begun.cat().preview(kept.plan.id)
    assert b"private" not in shown
    assert b"+++ b/app/settings.txt\n@@ -1 +1 @@\n-old\n+new\n" in shown


# -- doctor ----------------------------------------


def test_nothing_is_wrong_with_a_workspace_in_use(begun: Ground) -> None:
    begun.cat().execute(begun.keep(CHANGES).plan.id)
    assert _codes(begun) == {}


def test_the_shipped_policy_is_a_warning(tmp_path_factory: pytest.TempPathFactory) -> None:
    findings = LonelyCat.open(tmp_path_factory.mktemp("bare")).doctor()
    assert [(item.code, item.severity) for item in findings] == [("POLICY_SHIPPED", "warning")]


def _change_policy(ground: Ground) -> None:
    ground.policy["description"] = "changed"
    ground.write_policy()


def _lose_policy(ground: Ground) -> None:
    (ground.root / POLICY_PATH).unlink()


def _freeze(ground: Ground) -> None:
    ground.cat()._wiring.records.freeze("a test says so")


def _stray(ground: Ground) -> None:
    (ground.root / ".lonelycat/tx/exec_stray").mkdir()


def _quarantine(ground: Ground) -> None:
    (ground.root / ".lonelycat/quarantine").mkdir(exist_ok=True)
    (ground.root / ".lonelycat/quarantine/something").write_text("kept\n")


def _edit_proposal(ground: Ground) -> None:
    _sql(ground, "UPDATE proposals SET status = 'denied' WHERE status = 'approved'")


def _edit_audit(ground: Ground) -> None:
    _sql(ground, "UPDATE audit SET payload = payload || ' '")


def _lose_database(ground: Ground) -> None:
    (ground.root / ".lonelycat/lonelycat.db").unlink()


def _lose_key(ground: Ground) -> None:
    (ground.root / ".lonelycat/keys/gate.pem").unlink()


def _damage_database(ground: Ground) -> None:
    (ground.root / ".lonelycat/lonelycat.db").write_bytes(b"not a database " * 1_000)


def _damage_key(ground: Ground) -> None:
    (ground.root / ".lonelycat/keys/gate.pem").write_text("not a key\n")


def _sql(ground: Ground, statement: str) -> None:
    connection = sqlite3.connect(ground.root / ".lonelycat/lonelycat.db")
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()


FINDINGS: dict[str, tuple[Callable[[Ground], None], str]] = {
    "POLICY_NOT_ADOPTED": (_change_policy, "warning"),
    "POLICY_MISSING": (_lose_policy, "error"),
    "WORKSPACE_FROZEN": (_freeze, "error"),
    "TRANSACTION_UNFINISHED": (_stray, "error"),
    "QUARANTINED": (_quarantine, "warning"),
    "STORED_CHANGESET_TAMPERED": (_edit_proposal, "error"),
    "AUDIT": (_edit_audit, "error"),
    "DATABASE_MISSING": (_lose_database, "error"),
    "DATABASE_CORRUPT": (_damage_database, "error"),
    "KEY_MISSING": (_lose_key, "error"),
    "KEY_MALFORMED": (_damage_key, "error"),
}


@pytest.mark.parametrize("code", FINDINGS)
def test_what_is_wrong_is_found_and_looking_changes_nothing(begun: Ground, code: str) -> None:
    begun.keep(CHANGES)
    begun.cat().execute(begun.keep([FileChange.create("docs/b.md", "b\n")]).plan.id)
    disturb, severity = FINDINGS[code]
    disturb(begun)
    before = begun.inodes()
    first = _codes(begun)
    assert [found for name, found in first.items() if name.startswith(code)][:1] == [severity], first
    assert begun.inodes() == before
    assert _codes(begun) == first


def test_releasing_what_is_not_frozen_is_bad_input(begun: Ground) -> None:
    with pytest.raises(LonelyCatError) as refused:
        begun.cat().unfreeze(by="human", reason="x")
    assert refused.value.code == "NOT_FROZEN"
    _freeze(begun)
    begun.cat().unfreeze(by="human", reason="looked")
    assert begun.cat().status().frozen is None
    types = [record["type"] for record in begun.cat().audit_export()]
    assert types[-2:] == ["workspace.frozen", "workspace.unfrozen"]


def test_the_log_can_be_asked_by_status_plan_path_and_number(begun: Ground) -> None:
    kept = begun.keep(CHANGES)
    done = begun.cat().execute(kept.plan.id)
    begun.cat().execute(begun.keep([FileChange.update("app/settings.txt", "odd\n", "x\n")]).plan.id)
    cat = begun.cat()
    assert [row.result.status for row in cat.log()] == [Status.CONFLICT, Status.COMPLETED]
    assert [row.result.execution_id for row in cat.log(status=Status.COMPLETED)] == [done.execution_id]
    assert [row.result.execution_id for row in cat.log(plan_id=kept.plan.id)] == [done.execution_id]
    assert [row.result.execution_id for row in cat.log(path="docs/a.md")] == [done.execution_id]
    assert len(cat.log(path="app/settings.txt")) == 2
    assert len(cat.log(limit=1)) == 1
    assert cat.log(path="nothing") == []


@pytest.mark.parametrize("damage", [_lose_database, _damage_database, _lose_key, _damage_key])
def test_what_the_hint_says_about_a_loss_without_a_backup_helps(
    begun: Ground, damage: Callable[[Ground], None]
) -> None:
    begun.cat().execute(begun.keep(CHANGES).plan.id)
    damage(begun)
    with pytest.raises(LonelyCatError) as refused:
        begun.cat().status()
    state = begun.root / ".lonelycat"
    assert str(state) in refused.value.message
    assert f"move {state} away as evidence and run `lonelycat init`" in refused.value.hint
    state.rename(begun.outside / "evidence")
    begun.cat().init(offline=True)
    assert _codes(begun) == {}
    assert begun.cat().execute(begun.keep([FileChange.create("docs/b.md", "b\n")]).plan.id).success


def test_who_looks_where_nothing_was_recorded_begins_nothing(tmp_path: Path) -> None:
    cat = LonelyCat.open(tmp_path)
    assert cat.log() == []
    assert [finding.code for finding in cat.doctor()] == ["POLICY_SHIPPED"]
    looks: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: cat.show("plan_x"), "ID_UNKNOWN"),
        (lambda: cat.diff("plan_x"), "ID_UNKNOWN"),
        (lambda: cat.proposal("plan_x"), "PLAN_UNKNOWN"),
        (cat.audit_verify, "NOTHING_RECORDED"),
        (cat.audit_export, "NOTHING_RECORDED"),
    )
    for look, code in looks:
        with pytest.raises(LonelyCatError) as refused:
            look()
        assert refused.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "full"),
    [
        ("NO_SPACE", {"f_bavail": 3}),
        ("NO_SPACE", {"f_favail": 1, "f_files": 1000}),
        ("READ_ONLY", {"f_flag": os.ST_RDONLY}),
        (None, {"f_favail": 0, "f_files": 0}),
    ],
)
def test_a_disk_that_takes_nothing_is_found(
    begun: Ground, monkeypatch: pytest.MonkeyPatch, code: str | None, full: dict[str, int]
) -> None:
    """A file system that counts no files, as btrfs does, is not full of them."""
    begun.keep(CHANGES)
    assert _codes(begun) == {}
    fields = {name: getattr(os.statvfs(begun.root), name) for name in ("f_bavail", "f_frsize", "f_favail", "f_files")}
    found = SimpleNamespace(**{**fields, "f_flag": 0, **full})
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    assert [finding.code for finding in begun.cat().doctor()] == ([] if code is None else [code]), "told once a disk"
