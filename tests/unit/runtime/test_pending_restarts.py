"""Restarts are journalled one by one; what a rollback owes and cannot do stays due until it is done."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.acceptance.ground import Ground
from tests.unit.runtime.dying import assert_dies, die

from lonelycat import FileChange
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.executor.journal import RecordType
from lonelycat.lifecycle import Status
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.checking import ServiceChecks
from lonelycat.settings import Limits, Settings

CHANGES = (FileChange.update("app/settings.txt", "old\n", "new\n"),)
NOTES = "print('%s', pathlib.Path('app/settings.txt').read_text().strip(), file=(outside / 'restarts').open('a'))\n"
UNLESS = "sys.exit((outside / 'stuck').exists())"
NAMES = ("db", "web", "worker")


@pytest.fixture
def served(ground: Ground) -> Ground:
    """Three services that note what they were restarted with; each fails while ``outside/stuck`` exists."""
    ground.policy["services"] = {
        name: {"kind": "command", "with": {"argv": ground.argv(NOTES % name + UNLESS)}, "touches": ["app/**"]}
        for name in NAMES
    }
    return ground.begin()


def _die_in(monkeypatch: pytest.MonkeyPatch, service: str, *, after: bool) -> None:
    restart = ServiceRestarter.restart

    def dying(self: ServiceRestarter, name: str, *rest: Any) -> Any:
        if name == service and not after:
            die()
        done = restart(self, name, *rest)
        if name == service:
            die()
        return done

    monkeypatch.setattr(ServiceRestarter, "restart", dying)


def _executed_by_one_who_dies(ground: Ground) -> None:
    plan_id = ground.keep(CHANGES).plan.id
    assert_dies(lambda: ground.cat().execute(plan_id))


@pytest.mark.parametrize(
    ("service", "after", "noted"),
    [
        ("db", False, ["db old"]),
        ("db", True, ["db new", "db old"]),
        ("web", False, ["db new", "db old", "web old"]),
        ("worker", True, ["db new", "web new", "worker new", "db old", "web old", "worker old"]),
    ],
)
def test_recovery_restarts_exactly_those_whose_restart_had_begun(
    served: Ground, monkeypatch: pytest.MonkeyPatch, service: str, after: bool, noted: list[str]
) -> None:
    with monkeypatch.context() as patch:
        _die_in(patch, service, after=after)
        _executed_by_one_who_dies(served)
    before = (served.root / "app/settings.txt").read_text()
    assert before == "new\n"
    assert served.run("recover").exit == 0
    assert served.noted("restarts") == noted
    assert (served.root / "app/settings.txt").read_text() == "old\n"
    served.assert_sound()


def test_nothing_is_restarted_when_it_died_before_the_first(served: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ServiceChecks, "restart", die)
        _executed_by_one_who_dies(served)
    assert served.run("recover").exit == 0
    assert served.noted("restarts") == []
    served.assert_sound()


def test_begun_and_done_are_in_the_journal_in_order(served: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.executor.transaction import Transaction

    noted: list[tuple[str, str]] = []
    note = Transaction.note

    def noting(self: Transaction, type_: RecordType, body: dict[str, object]) -> None:
        note(self, type_, body)
        noted.append((str(type_), str(body.get("service", ""))))

    monkeypatch.setattr(Transaction, "note", noting)
    assert served.execute(served.judge(CHANGES)).success
    assert noted == [
        *((kind, name) for name in NAMES for kind in ("restart_begun", "restart_done")),
        ("committed", ""),
    ]


def _stuck(served: Ground) -> str:
    """Fail a change so that its rollback cannot restart anything; return the execution."""
    served.policy["verification"]["look"]["argv"] = served.argv("(outside / 'stuck').touch(); sys.exit(3)")
    served.write_policy()
    result = served.execute(served.judge(CHANGES))
    assert result.status is Status.ROLLBACK_FAILED
    served.policy["verification"]["look"]["argv"] = served.argv("pass")
    served.write_policy()
    return result.execution_id


def test_what_a_rollback_could_not_restart_is_due_and_shown(served: Ground) -> None:
    execution_id = _stuck(served)
    due = served.cat().status().pending_restarts
    assert [(item.service, item.execution_id) for item in due] == [(name, execution_id) for name in NAMES]
    findings = [item for item in served.cat().doctor() if item.code == "RESTART_PENDING"]
    assert len(findings) == 3 and all(item.severity == "error" and "runbook.md#" in item.hint for item in findings)
    assert "restart.pending" in {record["type"] for record in served.cat().audit_export()}


def test_a_recovery_that_cannot_restart_either_tells_what_happened(served: Ground) -> None:
    """Nobody died; and what lies in the transaction is a second name of each file, until recovery is through."""
    _stuck(served)
    answer = served.run("recover")
    assert (answer.exit, answer.facts["code"]) == (7, "RECOVERY_FAILED")
    frozen = served.cat().status().frozen
    assert frozen is not None
    assert "died" not in frozen.reason and all(name in frozen.reason for name in NAMES)
    patch = "--- a/app/settings.txt\n+++ b/app/settings.txt\n@@ -1 +1 @@\n-old\n+newer\n"
    (served.base / "next.diff").write_text(patch)
    answer = served.run("propose", "--patch", str(served.base / "next.diff"), "--intent", "x", "--by", "agent:x")
    assert answer.facts["code"] == "OBJECT_HARD_LINKED"
    assert "lonelycat recover" in answer.facts["hint"]


def _clear_away(served: Ground) -> None:
    """What a person may do who has put the files right by hand: the transaction goes, the workspace is released."""
    shutil.rmtree(served.root / ".lonelycat/tx")
    (served.root / ".lonelycat/tx").mkdir()
    served.cat().unfreeze(by="Ada", reason="looked")


@pytest.mark.parametrize("by_recover", [True, False])
def test_the_next_success_restarts_first_what_is_due(served: Ground, by_recover: bool) -> None:
    """The rerun that would otherwise succeed with services that still run what was taken back."""
    _stuck(served)
    _clear_away(served)
    other = served.judge([FileChange.create("docs/a.md", "a\n")])
    before = served.tree()
    refused = served.execute(other)
    assert (refused.status, refused.error_code) == (Status.REJECTED, "RESTART_PENDING")
    assert all(name in refused.message for name in NAMES)
    assert served.tree() == before
    assert served.run("recover").facts["code"] == "RESTART_PENDING"
    (served.outside / "stuck").unlink()
    (served.outside / "restarts").unlink()
    if by_recover:
        answer = served.run("recover")
        assert (answer.exit, answer.facts["restarted"]) == (0, list(NAMES))
        assert served.noted("restarts") == [f"{name} old" for name in NAMES]
    result = served.execute(other)
    assert result.success, result.message
    assert served.noted("restarts") == [f"{name} old" for name in NAMES]
    names = [step.name for step in result.steps]
    assert [name for name in names if name.startswith("pending")] == (
        [] if by_recover else [f"pending.restart:{name}" for name in NAMES]
    )
    assert served.cat().status().pending_restarts == ()
    served.assert_sound()


def test_only_those_that_were_restarted_are_no_longer_due(served: Ground) -> None:
    _stuck(served)
    _clear_away(served)
    served.policy["services"]["web"]["with"]["argv"] = served.argv(NOTES % "web")
    served.write_policy()
    assert served.execute(served.judge([FileChange.create("docs/a.md", "a\n")])).error_code == "RESTART_PENDING"
    assert [item.service for item in served.cat().status().pending_restarts] == ["db", "worker"]


def test_one_that_the_policy_no_longer_defines_is_written_off_by_a_person(served: Ground) -> None:
    _stuck(served)
    del served.policy["services"]["worker"]
    served.write_policy()
    shutil.rmtree(served.root / ".lonelycat/tx")
    (served.root / ".lonelycat/tx").mkdir()
    (served.outside / "stuck").unlink()
    assert served.run("recover").facts["code"] == "RESTART_PENDING"
    (left,) = served.cat().status().pending_restarts
    assert left.service == "worker"
    served.cat().unfreeze(by="Ada", reason="restarted the worker by hand")
    assert served.cat().status().pending_restarts == ()
    (record,) = [r for r in served.cat().audit_export() if r["type"] == "restart.done" and r["actor"] == "Ada"]
    payload: Any = record["payload"]
    assert payload["reason"] == "restarted the worker by hand"


def test_recovery_that_cannot_read_the_policy_owes_the_restarts(
    served: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _die_in(patch, "web", after=True)
        _executed_by_one_who_dies(served)
    policy = served.root / "agent/policies/default.yaml"
    text = policy.read_text()
    policy.write_text("version: 1\nnonsense: true\n")
    assert served.run("recover").exit != 0
    assert (served.root / "app/settings.txt").read_text() == "old\n", "files need no policy"
    assert {item.service for item in served.cat().status().pending_restarts} == {"db", "web"}
    policy.write_text(text)
    assert served.run("recover").exit == 0
    assert served.noted("restarts")[-2:] == ["db old", "web old"]
    assert served.cat().status().pending_restarts == ()


def test_health_that_is_worse_after_recovery_is_no_success_even_without_a_restart(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.policy["executor"]["require_health_checks_for_risk"] = ["LOW"]
    ground.policy["health_checks"] = {"up": {"kind": "file", "with": {"path": "state/well"}, "attempts": 1}}
    ground.write({"app/settings.txt": "old\n", "state/well": "yes\n"})
    ground.begin()

    with monkeypatch.context() as patch:
        patch.setattr(ServiceChecks, "verify", die)
        _executed_by_one_who_dies(ground)
    (ground.root / "state/well").unlink()
    answer = ground.run("recover")
    assert answer.exit == 7
    assert "up" in answer.facts["recovered"][0]["message"]
    assert ground.cat().status().frozen is not None
    (ground.root / "state/well").touch()
    assert ground.run("recover").exit == 0


def test_a_commit_is_refused_while_a_restart_is_not_done(served: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a later change of the pipeline forgets."""

    def forgetful(self: ServiceChecks, names: Any, note: Callable[[RecordType, str], None]) -> None:
        note(RecordType.RESTART_BEGUN, "web")

    monkeypatch.setattr(ServiceChecks, "restart", forgetful)
    result = served.execute(served.judge(CHANGES))
    assert not result.success
    assert "restart of web was begun and is not done" in result.message


def test_a_rollback_starts_again_what_ended_when_it_was_to_reload(ground: Ground) -> None:
    server = (
        "import signal\n"
        "def reload(*_): sys.exit(3) if pathlib.Path('app/settings.txt').read_text() == 'new\\n' else None\n"
        "signal.signal(signal.SIGHUP, reload)\n"
        "while True: time.sleep(0.05)\n"
    )
    ground.policy["services"] = {
        "web": {
            "kind": "process", "action": "reload", "touches": ["app/**"],
            "with": {"argv": ground.argv(server), "settle_seconds": 0.3, "grace_seconds": 1},
        }
    }  # fmt: skip
    ground.begin()
    wiring = Wiring(Settings.for_workspace(ground.root))
    service = wiring.policy().loaded.policy.services["web"]
    restarter = ServiceRestarter(ground.root, SystemClock(), Limits())
    started = restarter.restart("web", service.model_copy(update={"action": "restart"}), 60)
    assert started.ok, started.message
    result = ground.execute(ground.judge(CHANGES))
    try:
        assert (result.status, result.error_code) == (Status.ROLLED_BACK, "SERVICE_RESTART_FAILED"), result.message
        (again,) = [step for step in result.steps if step.name == "rollback.restart:web"]
        assert "reload" in again.message and "runs as process" in again.message
        ground.assert_sound()
    finally:
        pid = int((ground.root / ".lonelycat/run/web.pid").read_text().split()[0])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
