"""Every step made slow for real: it ends at its limit, with a code, and the workspace is as it was."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.ground import Ground
from tests.unit.runtime.dying import assert_dies, die
from tests.unsynced import Unsynced

from lonelycat import ExecutionResult, FileChange
from lonelycat.lifecycle import Status
from lonelycat.runtime.confirming import STEP as CONFIRM

CHANGES = [FileChange.update("app/settings.txt", "old\n", "new\n")] + [
    FileChange.create(f"many/{number}.txt", f"{number}\n") for number in range(20)
]
NEW = "pathlib.Path('app/settings.txt').read_text() == 'new\\n'"


class SlowCalls(Unsynced):
    """A file system some calls of which take ``seconds`` each, and those that wait for the disk no time."""

    def __init__(self, seconds: float, *calls: str) -> None:
        self._seconds = seconds
        self._calls = frozenset(calls)
        self.dragged = 0

    def _drag(self, call: str) -> None:
        if call in self._calls:
            self.dragged += 1
            time.sleep(self._seconds)

    def write(self, fd: int, data: bytes) -> None:
        self._drag("write")
        super().write(fd, data)

    def move(self, *arguments: Any) -> None:
        self._drag("move")
        super().move(*arguments)


@pytest.fixture
def brief(ground: Ground) -> Ground:
    """A workspace whose policy gives a step three seconds, and an execution a minute."""
    ground.policy["executor"]["constraints"] = {"max_execution_time": 60, "max_step_time": 3}
    return ground


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield int(server.getsockname()[1])


def _execute(ground: Ground) -> ExecutionResult:
    return ground.execute_wired(ground.judge(CHANGES), filesystem=Unsynced())


def _assert_taken_back(ground: Ground, before: Any, result: ExecutionResult, step: str, code: str) -> None:
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, code), result.message
    assert [one.name for one in result.steps if one.status == "failed"] == [step]
    assert ground.tree() == before
    assert result.rollback_image == result.pre_image
    ground.assert_sound()


def test_stage(brief: Ground) -> None:
    before = brief.begin().tree()
    slow = SlowCalls(0.2, "write")
    result = brief.execute_wired(brief.judge(CHANGES), filesystem=slow)
    assert (result.status, result.error_code) == (Status.REJECTED, "STEP_TIMEOUT")
    assert [one.name for one in result.steps if one.status == "failed"] == ["stage"]
    assert slow.dragged < len(CHANGES), "it was stopped on the way, not at the end"
    assert brief.tree() == before
    brief.assert_sound()


def test_apply(brief: Ground) -> None:
    before = brief.begin().tree()
    result = brief.execute_wired(brief.judge(CHANGES), filesystem=SlowCalls(0.2, "move"))
    _assert_taken_back(brief, before, result, "apply", "STEP_TIMEOUT")


def test_restart(brief: Ground) -> None:
    brief.policy["services"] = {
        "web": {
            "kind": "command",
            "with": {"argv": brief.argv(f"time.sleep(100 if {NEW} else 0)")},
            "touches": ["**"],
            "timeout": 90,
        }
    }
    before = brief.begin().tree()
    result = _execute(brief)
    _assert_taken_back(brief, before, result, "restart:web", "SERVICE_RESTART_TIMEOUT")


def test_verify(brief: Ground) -> None:
    brief.policy["verification"]["look"] = {"argv": brief.argv("time.sleep(100)"), "timeout": 90}
    before = brief.begin().tree()
    result = _execute(brief)
    _assert_taken_back(brief, before, result, "verify:look", "VERIFY_TIMEOUT")


def _asks(ground: Ground, port: int) -> None:
    ground.policy["executor"]["require_health_checks_for_risk"] = ["LOW"]
    ground.policy["health_checks"] = {
        "up": {
            "kind": "http",
            "with": {"url": f"http://127.0.0.1:{port}/"},
            "timeout": 90,
            "attempts": 100,
            "failure_threshold": 100,
        }
    }


def test_baseline_and_health(brief: Ground, black_hole: int) -> None:
    """A server that never answers costs a step's time each, and the baseline of it is only a warning."""
    _asks(brief, black_hole)
    before = brief.begin().tree()
    result = _execute(brief)
    assert result.status is Status.ROLLED_BACK
    assert result.error_code in ("HEALTH_HTTP_TIMEOUT", "HEALTH_TIMEOUT"), result.error_code
    assert any("failed already before" in warning for warning in result.warnings)
    assert brief.tree() == before
    brief.assert_sound()


@pytest.mark.parametrize("confirm", [False, True])
def test_watch_and_confirm(ground: Ground, black_hole: int, confirm: bool) -> None:
    """The server dies silently once the change is healthy: each sample has a step's time."""
    ground.policy["executor"]["constraints"] = {"max_execution_time": 60, "max_step_time": 3}
    ground.policy["executor"].update({"confirm": 50} if confirm else {})
    ground.policy["executor"]["watch"] = {"interval": 0.2, **({} if confirm else {"seconds": 50})}
    ground.policy["executor"]["require_health_checks_for_risk"] = ["LOW"]
    reach = f"import socket; s = socket.create_connection(('127.0.0.1', {black_hole})); s.recv(1)"
    marks = "mark = outside / 'asked'\nprint(1, file=mark.open('a'))\n"
    code = marks + f"if {NEW} and len(mark.read_text()) > 4:\n    {reach}"
    ground.policy["health_checks"] = {
        "up": {"kind": "command", "with": {"argv": ground.argv(code)}, "timeout": 90, "attempts": 1}
    }
    before = ground.begin().tree()
    result = _execute(ground)
    _assert_taken_back(ground, before, result, CONFIRM if confirm else "watch", "HEALTH_WATCH_FAILED")


def test_settle(brief: Ground) -> None:
    """What cannot be interrupted is judged when it returns: too late is not kept."""
    before = brief.begin().tree()

    class Late(SlowCalls):
        applied = False

        def exchange(self, *arguments: Any) -> None:
            super().exchange(*arguments)
            self.applied = True

        def syncfs(self, fd: int) -> None:
            time.sleep(4 if self.applied else 0)
            super().syncfs(fd)

    result = brief.execute_wired(brief.judge(CHANGES), filesystem=Late(0))
    _assert_taken_back(brief, before, result, "settle", "STEP_TIMEOUT")


def test_the_whole_execution(ground: Ground) -> None:
    """Each step keeps its own limit, and all together do not keep theirs."""
    ground.policy["executor"]["constraints"] = {"max_execution_time": 5, "max_step_time": 4}
    ground.policy["verification"] = {
        name: {"argv": ground.argv("time.sleep(2.5)"), "timeout": 60} for name in ("one", "two", "three")
    }
    before = ground.begin().tree()
    result = _execute(ground)
    assert result.status is Status.ROLLED_BACK
    assert result.error_code in ("EXECUTION_TIMEOUT", "VERIFY_TIMEOUT")
    assert ground.tree() == before
    ground.assert_sound()


def test_the_lock_has_a_limit_of_its_own(brief: Ground) -> None:
    from lonelycat import LockManager

    brief.policy["executor"]["concurrency"] = {"lock_timeout": 0.2}
    brief.begin()
    proposed = brief.judge(CHANGES)
    with LockManager(brief.root).lock_execution("exec_01k0000000000000000000000a", "plan_x"):
        result = brief.execute(proposed)
    assert (result.status, result.error_code) == (Status.REJECTED, "LOCK_TIMEOUT")


# -- rollback and recovery ----------------------------------------


def _hangs_on_the_old_files(ground: Ground) -> None:
    ground.policy["executor"]["constraints"] = {
        "max_execution_time": 60,
        "max_step_time": 30,
        "max_rollback_time": 2,
    }
    code = f"time.sleep(0 if {NEW} or not (outside / 'hang').exists() else 100)"
    ground.policy["services"] = {
        name: {"kind": "command", "with": {"argv": ground.argv(code)}, "touches": ["**"], "timeout": 90}
        for name in ("db", "web")
    }
    (ground.outside / "hang").touch()


def test_a_rollback_gives_up_on_services_but_never_on_files(ground: Ground) -> None:
    _hangs_on_the_old_files(ground)
    ground.policy["verification"]["look"]["argv"] = ground.argv("sys.exit(3)")
    before = ground.begin().tree()
    slow = SlowCalls(0.2, "move")  # 20 files out of the way: four seconds, twice the rollback's time
    result = ground.execute_wired(ground.judge(CHANGES), filesystem=slow)
    assert result.status is Status.ROLLBACK_FAILED
    assert ground.tree() == before, "files go back however long it takes"
    assert result.rollback_image == result.pre_image
    codes = {one.name: one.code for one in result.steps if one.name.startswith("rollback.restart")}
    assert codes == {"rollback.restart:db": "ROLLBACK_TIMEOUT", "rollback.restart:web": "ROLLBACK_TIMEOUT"}
    assert {item.service for item in ground.cat().status().pending_restarts} == {"db", "web"}


def test_a_restart_that_hangs_in_a_rollback_ends_with_it(ground: Ground) -> None:
    _hangs_on_the_old_files(ground)
    ground.policy["verification"]["look"]["argv"] = ground.argv("sys.exit(3)")
    ground.begin()
    result = _execute(ground)
    codes = {one.name: one.code for one in result.steps if one.name.startswith("rollback.restart")}
    assert codes == {"rollback.restart:db": "SERVICE_RESTART_TIMEOUT", "rollback.restart:web": "ROLLBACK_TIMEOUT"}


def test_recovery_has_the_same_limit(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.runtime.checking import ServiceChecks

    _hangs_on_the_old_files(ground)
    before = ground.begin().tree()
    plan_id = ground.keep(CHANGES).plan.id

    with monkeypatch.context() as patch:
        patch.setattr(ServiceChecks, "verify", die)
        assert_dies(lambda: ground.cat().execute(plan_id))
    (recovered,) = ground.cat().recover().recovered
    assert str(recovered.outcome) == "failed"
    assert ground.tree() == before
    (ground.outside / "hang").unlink()
    assert ground.run("recover").exit == 0
    assert ground.cat().status().pending_restarts == ()
