"""However a conflict arises, it is told the same: apply, undo, recovery, a directory or the root replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground

from lonelycat import ExecutionResult, FileChange, Status
from lonelycat.changes.digest import sha256_hex
from lonelycat.executor.filesystem import FileSystem
from lonelycat.runtime.steps import ExecutionContext

UPDATE = FileChange.update("app/settings.txt", "old\n", "new\n")


class Meddling(FileSystem):
    """A file system in which somebody acts right before the first call of one kind."""

    def __init__(self, call: str, act: Callable[[], object]) -> None:
        self._call = call
        self._act: Callable[[], object] | None = act

    def _before(self, name: str) -> None:
        if name == self._call and self._act is not None:
            act, self._act = self._act, None
            act()

    def exchange(self, *arguments: Any) -> None:
        self._before("exchange")
        super().exchange(*arguments)

    def move(self, *arguments: Any) -> None:
        self._before("move")
        super().move(*arguments)


def meddled(ground: Ground, change: FileChange, call: str, act: Callable[[], object]) -> ExecutionResult:
    return ground.execute_wired(ground.judge([change]), filesystem=Meddling(call, act))


def test_a_file_that_was_changed_right_before_the_exchange(begun: Ground) -> None:
    place = begun.root / "app/settings.txt"
    result = meddled(begun, UPDATE, "exchange", lambda: place.write_bytes(b"theirs\n"))
    assert (result.status, result.error_code) == (Status.CONFLICT, "FILE_CHANGED")
    (one,) = result.conflicts
    assert (one.path, one.phase, one.code) == ("app/settings.txt", "apply", "FILE_CHANGED")
    assert (one.expected_hash, one.found_hash) == (sha256_hex(b"old\n"), sha256_hex(b"theirs\n"))
    assert one.git is not None and one.git.state == "uncommitted"
    assert place.read_bytes() == b"theirs\n"
    assert "--rebase " + result.plan_id in result.hint


def test_a_file_that_went_or_came_right_before_it_was_its_turn(begun: Ground) -> None:
    place = begun.root / "app/settings.txt"
    result = meddled(begun, UPDATE, "exchange", place.unlink)
    assert [(one.path, one.code, one.phase) for one in result.conflicts] == [
        ("app/settings.txt", "FILE_MISSING", "apply")
    ]
    assert not place.exists()
    place.write_bytes(b"old\n")
    made = begun.root / "app/made.txt"
    result = meddled(begun, FileChange.create("app/made.txt", "x\n"), "move", lambda: made.write_bytes(b"theirs\n"))
    (one,) = result.conflicts
    assert (one.path, one.code, one.phase) == ("app/made.txt", "FILE_EXISTS", "apply")
    assert (one.expected, one.found_hash) == ("nothing", sha256_hex(b"theirs\n"))
    assert made.read_bytes() == b"theirs\n"


def test_a_directory_that_was_replaced(begun: Ground) -> None:
    def replace() -> None:
        (begun.root / "app").rename(begun.root / "app.old")
        (begun.root / "app").mkdir()

    result = meddled(begun, UPDATE, "exchange", replace)
    assert result.status is Status.CONFLICT
    assert {(one.path, one.code) for one in result.conflicts} >= {("app", "DIRECTORY_CHANGED")}


def test_a_replaced_root_is_a_conflict_with_a_path_of_its_own(begun: Ground) -> None:
    aside = begun.root.with_name("aside")

    def replace() -> None:
        begun.root.rename(aside)
        begun.root.mkdir()

    result = meddled(begun, UPDATE, "exchange", replace)
    codes = {one.code for one in result.conflicts}
    assert result.error_code == "ROOT_REPLACED" and "ROOT_REPLACED" in codes


def test_an_outsider_between_a_crash_and_its_recovery(begun: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    proposed = begun.keep([UPDATE, FileChange.create("app/made.txt", "x\n")])
    pid = os.fork()
    if pid == 0:
        emit = ExecutionContext.emit

        def dying(self: ExecutionContext, type_: str, **facts: object) -> None:
            emit(self, type_, **facts)
            if type_ == "step.finished" and facts.get("step") == "apply":
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(ExecutionContext, "emit", dying)
        begun.cat().execute(proposed.plan.id)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    place = begun.root / "app/settings.txt"
    assert place.read_bytes() == b"new\n"
    place.write_bytes(b"theirs\n")
    told = begun.run("recover").facts["recovered"][0]["conflicts"]
    (row,) = begun.cat().log()
    assert [one["path"] for one in told] == ["app/settings.txt"] == [one.path for one in row.result.conflicts]
    assert (row.result.status, row.result.error_code) == (Status.CONFLICT, "EXECUTOR_DIED")
    (one,) = row.result.conflicts
    assert (one.path, one.code, one.phase) == ("app/settings.txt", "FILE_CHANGED", "recovery")
    assert (one.expected_hash, one.found_hash) == (sha256_hex(b"new\n"), sha256_hex(b"theirs\n"))
    assert one.quarantined is not None
    assert (begun.root / one.quarantined).read_bytes() == b"old\n"
    assert any(one.quarantined in warning for warning in row.result.warnings)
    assert place.read_bytes() == b"theirs\n"
    assert not (begun.root / "app/made.txt").exists()
    begun.assert_sound()


def test_the_records_of_a_conflict_are_sealed_like_the_rest(begun: Ground) -> None:
    proposed = begun.keep([UPDATE])
    (begun.root / "app/settings.txt").write_bytes(b"theirs\n")
    result = begun.cat().execute(proposed.plan.id)
    (row,) = begun.cat().log()
    assert row.intact and row.result.conflicts == result.conflicts != ()
    begun.assert_sound()


def test_a_dry_run_tells_the_same_conflict(begun: Ground) -> None:
    proposed = begun.keep([UPDATE])
    (begun.root / "app/settings.txt").write_bytes(b"theirs\n")
    dry = begun.cat().execute(proposed.plan.id, dry_run=True)
    assert dry.conflicts == begun.cat().execute(proposed.plan.id).conflicts


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_explaining_never_fails(begun: Ground, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    from lonelycat.runtime.git_history import GitHistory
    from lonelycat.runtime.provenance import Provenance

    def broken(*_: object, **__: object) -> None:
        raise error("no")

    monkeypatch.setattr(GitHistory, "at_head", broken)
    monkeypatch.setattr(GitHistory, "content", broken)
    monkeypatch.setattr(Provenance, "last_write", broken)
    proposed = begun.keep([UPDATE])
    (begun.root / "app/settings.txt").write_bytes(b"theirs\n")
    result = begun.cat().execute(proposed.plan.id)
    assert [one.code for one in result.conflicts] == ["FILE_CHANGED"]
    assert result.conflicts[0].git is None
    assert [row.result.status for row in begun.cat().log()] == [Status.CONFLICT]


def test_a_huge_file_is_not_read_again_to_explain_it(begun: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.runtime import conflicts

    proposed = begun.keep([UPDATE])
    with (begun.root / "app/settings.txt").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    looked: list[object] = []
    monkeypatch.setattr(conflicts, "look_at", lambda *given: looked.append(given))
    (one,) = begun.cat().execute(proposed.plan.id).conflicts
    assert (one.code, one.lines, looked) == ("FILE_CHANGED", None, [])


def test_a_git_that_hangs_does_not_hold_the_workspace(begun: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.runtime import provenance

    programs = begun.base / "programs"
    programs.mkdir()
    program = programs / "git"
    program.write_text('#!/bin/sh\ncase "$*" in *rev-parse*) exec /usr/bin/git "$@";; esac\nexec sleep 60\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "_GIT_SECONDS", 0.2)
    proposed = begun.keep([UPDATE])
    (begun.root / "app/settings.txt").write_bytes(b"theirs\n")
    result = begun.cat().execute(proposed.plan.id)
    assert (result.conflicts[0].code, result.conflicts[0].git) == ("FILE_CHANGED", None)
    assert Path("/usr/bin/git").exists()
