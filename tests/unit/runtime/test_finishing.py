"""How an execution ends when the end itself goes wrong: rollback, restarts, health, records and the commit point."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.acceptance.ground import Ground, Proposed

from lonelycat import ExecutionResult, FileChange
from lonelycat.clock import SystemClock
from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import JournalWriter, RecordType
from lonelycat.lifecycle import Status
from lonelycat.records.artifacts import ArtifactDirectory
from lonelycat.records.store import Records

CHANGES = (
    FileChange.create("app/deep/new.txt", "new\n"),
    FileChange.update("app/settings.txt", "old\n", "new\n"),
)
FAILS = "print('Ran 1 test'); sys.exit(3)"


def _verification(ground: Ground, code: str, **more: object) -> None:
    ground.policy["verification"]["look"] = {"argv": ground.argv(code), "timeout": 60, **more}


def _health(ground: Ground, code: str, **more: object) -> None:
    ground.policy["executor"]["require_health_checks_for_risk"] = ["LOW"]
    ground.policy["health_checks"] = {
        "up": {"kind": "command", "with": {"argv": ground.argv(code)}, "attempts": 1, "failure_threshold": 1, **more}
    }


def _service(ground: Ground, code: str) -> None:
    ground.policy["services"] = {"web": {"kind": "command", "with": {"argv": ground.argv(code)}, "touches": ["**"]}}


def _steps(result: ExecutionResult) -> list[tuple[str, str, str | None]]:
    return [(step.name, step.status, step.code) for step in result.steps]


NEW = "pathlib.Path('app/settings.txt').read_text() == 'new\\n'"
NOTE = "print(pathlib.Path('app/settings.txt').read_text().strip(), file=(outside / 'seen').open('a'))"


# -- rollback with restarts and health ----------------------------------------


def test_services_are_restarted_again_on_the_old_files_and_asked_for_health(ground: Ground) -> None:
    _service(ground, NOTE)
    _health(ground, f"sys.exit(1 if {NEW} else 0)")
    ground.begin()
    before = ground.tree()
    result = ground.execute(ground.judge(CHANGES))
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "HEALTH_COMMAND_FAILED")
    assert ground.noted("seen") == ["new", "old"]
    names = [name for name, _, _ in _steps(result)]
    assert names[-3:] == ["rollback", "rollback.restart:web", "rollback.health:up"]
    assert ground.tree() == before
    ground.assert_sound()


def test_health_that_does_not_come_back_is_a_failed_rollback_and_freezes(ground: Ground) -> None:
    broken = "outside / 'broken'"
    _health(ground, f"if {NEW}: ({broken}).touch()\nsys.exit(({broken}).exists())")
    ground.begin()
    before = ground.tree()
    result = ground.execute(ground.judge(CHANGES))
    assert (result.status, result.error_code) == (Status.ROLLBACK_FAILED, "ROLLBACK_FAILED")
    assert "up" in result.message
    assert ground.tree() == before, "the files went back all the same"
    again = ground.execute(ground.judge([FileChange.create("docs/x.md", "x\n")]))
    assert (again.status, again.error_code) == (Status.REJECTED, "WORKSPACE_FROZEN")
    (ground.outside / "broken").unlink()
    ground.cat().recover(1)
    (row,) = [row for row in ground.cat().log() if row.result.execution_id == result.execution_id]
    assert row.result.status is Status.ROLLBACK_FAILED, "recovery does not make it look better than it was"
    ground.cat().unfreeze(by="human", reason="mended")
    assert ground.execute(ground.judge([FileChange.create("docs/x.md", "x\n")])).success
    assert ground.leftovers() == []


def test_a_restart_that_fails_only_after_the_rollback_is_a_failed_rollback(ground: Ground) -> None:
    count = "marks = outside / 'restarts'\nprint(1, file=marks.open('a'))\n"
    _service(ground, count + "sys.exit(marks.read_text() != '1\\n')")
    _verification(ground, FAILS)
    ground.begin()
    result = ground.execute(ground.judge(CHANGES))
    assert result.status is Status.ROLLBACK_FAILED
    assert "service web" in result.message
    assert result.message.startswith("look"), result.message
    assert ground.cat().status().frozen is not None


def test_health_that_failed_already_is_warned_of_and_not_asked_for_after_a_rollback(ground: Ground) -> None:
    _health(ground, "sys.exit(1)")
    ground.begin()
    result = ground.execute(ground.judge(CHANGES))
    assert result.status is Status.ROLLED_BACK
    assert any("up failed already before the change" in warning for warning in result.warnings)
    assert "rollback.health:up" not in {step.name for step in result.steps}


def test_health_that_failed_already_must_hold_for_a_change_to_be_kept(ground: Ground) -> None:
    _health(ground, f"sys.exit(0 if {NEW} else 1)")
    ground.begin()
    result = ground.execute(ground.judge(CHANGES))
    assert result.success
    assert len(result.warnings) == 1


# -- time limits ----------------------------------------


def test_a_step_has_no_more_time_than_the_policy_gives_a_step(ground: Ground) -> None:
    ground.policy["executor"]["constraints"]["max_step_time"] = 2
    _verification(ground, "time.sleep(100)")
    before = ground.begin().tree()
    result = ground.execute(ground.judge(CHANGES))
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "VERIFY_TIMEOUT")
    assert ground.tree() == before


class _Leaping(SystemClock):
    """A clock on which every verification takes an hour."""

    def __init__(self) -> None:
        self.leap = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leap


def test_the_whole_execution_has_no_more_time_than_the_policy_gives_it(ground: Ground) -> None:
    clock = _Leaping()
    before = ground.begin().tree()
    proposed = ground.judge(CHANGES)

    class Slow(FileSystem):
        def exchange(self, *arguments: Any) -> None:
            super().exchange(*arguments)
            clock.leap += 3600

    result = ground.execute_wired(proposed, clock=clock, filesystem=Slow())
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "EXECUTION_TIMEOUT")
    assert ground.tree() == before, "the rollback has a time of its own"
    ground.assert_sound()


# -- a rollback that cannot be made ----------------------------------------


class _Failing(FileSystem):
    """Fails calls for which ``when`` holds."""

    def __init__(self, when: Callable[[str, tuple[Any, ...]], bool], error: int = errno.EIO) -> None:
        self.when = when
        self.error = error

    def _maybe(self, call: str, *arguments: Any) -> None:
        if self.when(call, arguments):
            raise OSError(self.error, os.strerror(self.error))

    def replace(self, *arguments: Any) -> None:
        self._maybe("replace", *arguments)
        super().replace(*arguments)

    def exchange(self, *arguments: Any) -> None:
        self._maybe("exchange", *arguments)
        super().exchange(*arguments)

    def move(self, *arguments: Any) -> None:
        self._maybe("move", *arguments)
        super().move(*arguments)

    def hard_link(self, *arguments: Any) -> None:
        self._maybe("hard_link", *arguments)
        super().hard_link(*arguments)


def test_a_rollback_that_fails_freezes_keeps_every_old_content_and_can_be_recovered(ground: Ground) -> None:
    _verification(ground, "(outside / 'verified').touch(); " + FAILS)
    before = ground.begin().tree()
    proposed = ground.judge(CHANGES)
    broken = _Failing(lambda call, _: (ground.outside / "verified").exists())
    result = ground.execute_wired(proposed, filesystem=broken)
    assert (result.status, result.error_code) == (Status.ROLLBACK_FAILED, "ROLLBACK_FAILED")
    assert len(ground.leftovers()) == 1
    assert ground.cat().status().frozen is not None
    recovered = ground.cat().recover(1).recovered
    assert [str(item.outcome) for item in recovered] == ["undone"]
    assert ground.tree() == before
    assert ground.cat().status().frozen is not None, "a person looks, whatever recovery did"
    ground.cat().unfreeze(by="human", reason="looked")
    ground.assert_sound()


def test_evidence_that_cannot_be_written_takes_the_change_back(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ground.begin().tree()
    proposed = ground.judge(CHANGES)
    real = ArtifactDirectory.append_event

    def full(self: ArtifactDirectory, event: dict[str, object]) -> None:
        if (ground.root / "app/deep/new.txt").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, event)

    monkeypatch.setattr(ArtifactDirectory, "append_event", full)
    result = ground.execute(proposed)
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "NO_SPACE")
    assert "evidence" in result.message
    assert ground.tree() == before
    ground.assert_sound()


def test_an_artifact_that_is_edited_after_the_change_was_settled_is_no_part_of_the_receipt(ground: Ground) -> None:
    ground.begin()

    def edit(event: dict[str, object]) -> None:
        if (event["type"], event.get("step")) == ("step.started", "commit"):
            (patch,) = (ground.root / ".lonelycat/executions").glob("*/diff.patch")
            patch.write_bytes(patch.read_bytes().replace(b"old", b"odd"))

    result = ground.execute(ground.judge(CHANGES), on_event=edit)
    assert result.success and result.warnings == ()
    problems = ground.cat().audit_verify().problems
    assert [(problem.code, problem.message) for problem in problems] == [
        ("RECEIPT_ALTERED", f"{result.execution_id}: diff.patch was edited")
    ]


@pytest.mark.parametrize("error", [StateError("DATABASE_FULL", "full", "Free some."), OSError(errno.ENOSPC, "full")])
def test_evidence_and_database_failing_after_the_commit_point_is_success_with_a_warning(
    begun: Ground, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    proposed = begun.judge(CHANGES)
    real = Records.finish_execution

    def failing(self: Records, *arguments: Any, **named: Any) -> object:
        raise error

    def full(self: ArtifactDirectory, event: dict[str, object]) -> None:
        if event.get("status") == "completed":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ArtifactDirectory, "append_event", full)
    monkeypatch.setattr(Records, "finish_execution", failing)
    result = begun.execute(proposed)
    assert (result.success, result.status, result.error_code) == (True, Status.COMPLETED, None)
    assert any("could not be recorded yet" in warning for warning in result.warnings)
    assert len(begun.leftovers()) == 1, "so that recovery records it"
    assert (begun.root / "app/deep/new.txt").exists()
    monkeypatch.setattr(Records, "finish_execution", real)
    recovered = begun.cat().recover(1).recovered
    assert [str(item.outcome) for item in recovered] == ["committed"]
    (row,) = begun.cat().log()
    assert (row.result.execution_id, row.result.status) == (result.execution_id, Status.COMPLETED)
    assert begun.execute(proposed).cached
    begun.assert_sound()


@pytest.mark.parametrize("durable", [True, False])
def test_a_commit_whose_durability_is_unknown_is_indeterminate_until_recovery_has_looked(
    begun: Ground, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    before = begun.tree()
    proposed = begun.judge(CHANGES)
    real = JournalWriter.append

    def append(self: JournalWriter, type_: RecordType, body: dict[str, object]) -> None:
        if type_ is RecordType.COMMITTED:
            if durable:
                real(self, type_, body)
            raise OSError(errno.EIO, "Input/output error")
        real(self, type_, body)

    monkeypatch.setattr(JournalWriter, "append", append)
    result = begun.execute(proposed)
    assert (result.success, result.status, result.error_code) == (False, Status.INDETERMINATE, "COMMIT_UNKNOWN")
    assert "recover" in result.hint
    monkeypatch.undo()
    recovered = begun.cat().recover(1).recovered
    assert [str(item.outcome) for item in recovered] == ["committed" if durable else "undone"]
    assert (begun.tree() == before) is not durable
    (row,) = begun.cat().log()
    assert row.result.status is (Status.COMPLETED if durable else Status.ROLLED_BACK)
    begun.assert_sound()


def test_a_freeze_that_cannot_be_written_still_ends_as_a_failed_rollback(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    _verification(ground, "(outside / 'verified').touch(); " + FAILS)
    ground.begin()
    proposed = ground.judge(CHANGES)

    def failing(self: Records, *arguments: Any, **named: Any) -> object:
        raise StateError("DATABASE_FULL", "the database is full", "Free some space.")

    monkeypatch.setattr(Records, "finish_execution", failing)
    monkeypatch.setattr(Records, "freeze", failing)
    broken = _Failing(lambda call, _: (ground.outside / "verified").exists())
    result = ground.execute_wired(proposed, filesystem=broken)
    assert (result.status, result.error_code) == (Status.ROLLBACK_FAILED, "ROLLBACK_FAILED")
    assert any("could not be frozen" in warning for warning in result.warnings)
    assert len(ground.leftovers()) == 1


def test_an_operating_system_error_in_the_check_after_a_rollback_is_a_failed_rollback(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lonelycat.checks.health.checker import HealthChecker

    _health(ground, f"sys.exit(1 if {NEW} else 0)")
    ground.begin()
    real, calls = HealthChecker.run, []

    def run(self: HealthChecker, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(self, *arguments)

    monkeypatch.setattr(HealthChecker, "run", run)
    result = ground.execute(ground.judge(CHANGES))
    assert len(calls) == 3
    assert result.status is Status.ROLLBACK_FAILED
    assert "Resource temporarily unavailable" in result.message


@pytest.mark.parametrize("error", [RuntimeError("a defect"), KeyboardInterrupt(), MemoryError(), SystemExit(3)])
def test_whatever_ends_the_checks_the_files_go_back(
    begun: Ground, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    from lonelycat.checks.verifier import Verifier

    def run(*_: object) -> None:
        raise error

    before = begun.tree()
    proposed: Proposed = begun.judge(CHANGES)
    monkeypatch.setattr(Verifier, "run", run)
    result = begun.execute(proposed)
    assert result.status is Status.ROLLED_BACK
    assert result.error_code == ("INTERRUPTED" if isinstance(error, KeyboardInterrupt) else "INTERNAL_ERROR")
    assert begun.tree() == before
    begun.assert_sound()
