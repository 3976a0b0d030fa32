"""All or nothing: whatever fails after the files were changed, the workspace is byte for byte what it was."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.acceptance import everything
from tests.acceptance.ground import Ground, Tree
from tests.acceptance.web_service import Web
from tests.patience import until

from lonelycat import ExecutionResult, FileChange
from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.checks.verifier import Verifier
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction
from lonelycat.lifecycle import Status
from lonelycat.records.store import Records
from lonelycat.runtime.evidence import Evidence

SEEN = f"with (outside / 'seen').open('a') as file: file.write(str({everything.APPLIED}) + '\\n')\n"
MUTATING = (
    "create_file", "open_append", "write", "truncate", "allocate", "set_mode", "set_owner", "set_attribute",
    "make_link", "hard_link", "move", "exchange", "replace", "unlink", "make_directory", "remove_directory", "fsync",
    "syncfs",
)  # fmt: skip
LOOKING = ("open_root", "open_beneath", "open_file", "stat", "read", "read_link", "list")


@pytest.fixture
def full(ground: Ground) -> Ground:
    everything.prepare(ground)
    ground.policy["services"] = {
        "app": {
            "kind": "command",
            "with": {"argv": ground.argv("with (outside / 'restarts').open('a') as file: file.write('restart\\n')")},
            "touches": ["app/**"],
        }
    }
    ground.policy["health_checks"] = {
        "answers": {"kind": "file", "with": {"path": "app/same.txt"}, "touches": ["app/**"], "attempts": 1}
    }
    ground.policy["verification"]["look"]["argv"] = ground.argv(SEEN)
    return ground.begin({"README.md": "# Everything\n"})


def test_everything_is_kept_when_nothing_fails(full: Ground) -> None:
    before = full.tree()
    result = full.execute(full.judge(everything.changes()))
    assert result.status is Status.COMPLETED, result
    after = full.tree()
    assert after["app/private.txt"] == ("file", "600", b"still\n")
    assert after["bin/run.sh"][1] == "644"
    assert after["bin/exec.sh"][1] == "755"
    assert after["link"] == ("link", "", b"app/same.txt")
    assert after["turns"] == ("file", "644", b"a file\n")
    assert after["made/deep/below/moved.txt"][2] == b"moved\n"
    assert after["becomes/directory/now.txt"][2] == b"in a directory now\n"
    assert after["becomes/file"][0] == "file"
    assert after.keys().isdisjoint({"lonely", "lonely/room", "broken", "bin/plain.sh"})
    assert after["app/same.txt"] == before["app/same.txt"]
    assert full.noted("seen") == ["True"]
    full.assert_sound()


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(3)", "VERIFY_FAILED"),
        ("os.kill(os.getpid(), 9)", "VERIFY_KILLED"),
        ("time.sleep(30)", "VERIFY_TIMEOUT"),
        ("print('no tests ran')", "VERIFY_NO_TESTS"),
    ],
)
def test_failed_verification_brings_everything_back(full: Ground, ending: str, code: str) -> None:
    full.policy["verification"]["look"] |= {
        "argv": full.argv(SEEN + ending),
        "timeout": 3 if code == "VERIFY_TIMEOUT" else 60,
        "no_tests": {"output_patterns": ["no tests ran"]},
    }
    full.write_policy()
    before = full.tree()
    proposed = full.judge(everything.changes())
    result = full.execute(proposed)
    assert result.status is Status.ROLLED_BACK, result
    assert full.tree() == before
    assert full.noted("seen") == ["True"], "the files had been changed when the verification ran"
    assert [step.name for step in result.steps if step.status == "failed"] == ["verify:look"]
    assert result.error_code == code
    assert full.noted("restarts") == ["restart", "restart"]
    full.assert_sound()


def test_the_command_line_says_that_it_was_rolled_back(full: Ground) -> None:
    full.policy["verification"]["look"]["argv"] = full.argv(SEEN + "sys.exit(3)")
    full.write_policy()
    proposed = full.keep(everything.changes())
    before = full.tree()
    answer = full.run("execute", proposed.plan.id)
    assert (answer.exit, answer.facts["status"], answer.facts["ok"]) == (6, "rolled_back", False)
    assert full.tree() == before
    full.assert_sound()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_command_line_brings_everything_back(full: Ground, how: signal.Signals) -> None:
    full.policy["verification"]["look"]["argv"] = full.argv(SEEN + "time.sleep(60)")
    full.write_policy()
    proposed = full.keep(everything.changes())
    before = full.tree()
    process = full.start("execute", proposed.plan.id)
    until(lambda: full.noted("seen") == ["True"], "the verification to run")
    process.send_signal(how)
    answer = full.answer(process)
    assert (answer.exit, answer.facts["code"]) == (130, "INTERRUPTED")
    assert full.tree() == before
    (row,) = full.cat().log()
    assert (row.result.status, row.result.error_code) == (Status.ROLLED_BACK, "INTERRUPTED")
    full.assert_sound()


# -- health ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def web(ground: Ground) -> Iterator[Web]:
    everything.prepare(ground)
    with Web(ground).running() as one:
        ground.begin({"web/state": "first\n"})
        yield one


def test_failed_health_brings_files_and_service_back(web: Web) -> None:
    ground = web.ground
    assert ground.execute(ground.judge([FileChange.update("web/state", "first\n", "well\n")])).success
    assert web.ask() == (200, "well")
    before = ground.tree()
    changes = [*everything.changes(), FileChange.update("web/state", "well\n", "sick\n")]
    result = ground.execute(ground.judge(changes))
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "HEALTH_HTTP_500")
    assert ground.tree() == before
    assert web.ask() == (200, "well"), "the service runs with what was put back"
    names = [step.name for step in result.steps]
    checks = ["rollback.health:web-listens", "rollback.health:web-answers"]
    assert names[-4:] == ["rollback", "rollback.restart:web", *checks]
    ground.assert_sound()


def test_a_rollback_that_leaves_the_service_sick_is_no_success(web: Web) -> None:
    """Everything is back, but the service that was healthy before is not: a person has to look."""
    ground = web.ground
    assert ground.execute(ground.judge([FileChange.update("web/state", "first\n", "well\n")])).success
    before = ground.tree()
    ground.policy["services"]["web"]["with"]["argv"] = ground.argv("sys.exit((outside / 'broken').exists())")
    ground.policy["verification"]["look"]["argv"] = ground.argv("(outside / 'broken').touch(); sys.exit(1)")
    ground.policy["services"]["web"]["kind"] = "command"
    ground.policy["services"]["web"]["with"].pop("settle_seconds")
    ground.write_policy()
    before = ground.tree()
    proposed = ground.judge([FileChange.update("web/state", "well\n", "better\n")])
    result = ground.execute(proposed)
    assert (result.status, result.error_code) == (Status.ROLLBACK_FAILED, "ROLLBACK_FAILED")
    assert ground.tree() == before
    refused = ground.execute(ground.judge([FileChange.create("docs/a.md", "a\n")]))
    assert refused.error_code == "WORKSPACE_FROZEN"


# -- exceptions ------------------------------------------------------------------------------------------------------


STEPS: dict[str, tuple[type, str]] = {
    "stage": (Transaction, "stage"),
    "evidence": (Evidence, "keep_both_sides"),
    "apply": (Transaction, "apply"),
    "one file": (Transaction, "_check_displaced"),
    "durable": (Transaction, "settle"),
    "journal": (Transaction, "note"),
    "restart": (ServiceRestarter, "restart"),
    "verify": (Verifier, "run"),
    "health": (HealthChecker, "run"),
}


@pytest.mark.parametrize("step", STEPS)
def test_an_exception_in_any_step_brings_everything_back(
    full: Ground, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    owner, name = STEPS[step]
    original: Callable[..., Any] = getattr(owner, name)
    spared = iter([True] if step == "health" else [])  # its first question is the baseline
    failing = iter([True])

    def once(*arguments: Any, **options: Any) -> Any:
        if next(spared, False) or not next(failing, False):
            return original(*arguments, **options)
        raise RuntimeError("a defect")

    proposed = full.judge(everything.changes(), health_checks=("answers",))
    before = full.tree()
    monkeypatch.setattr(owner, name, once)
    result = full.execute(proposed)
    monkeypatch.undo()
    assert not result.success
    assert result.error_code == "INTERNAL_ERROR", result
    assert full.tree() == before
    full.assert_sound()
    assert full.execute(proposed).status is Status.COMPLETED


@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "rolled back"])
def test_a_result_that_cannot_be_recorded_is_recorded_by_the_next_command(
    full: Ground, monkeypatch: pytest.MonkeyPatch, error: BaseException, kept: bool
) -> None:
    """After the commit point nothing makes it a failure any more; before it, what was undone stays undone."""
    if not kept:
        full.policy["verification"]["look"]["argv"] = full.argv(SEEN + "sys.exit(3)")
        full.write_policy()
    proposed = full.keep(everything.changes())
    before = full.tree()
    monkeypatch.setattr(Records, "finish_execution", _raising(error))
    try:
        result = full.execute(proposed)
    except type(error):
        pass
    else:
        assert (result.success, bool(result.warnings)) == (kept, True)
    monkeypatch.undo()
    assert full.leftovers(), "what is needed to record it is still there"
    full.cat().recover(5)
    assert (full.tree() == before) is not kept
    (row,) = full.cat().log()
    assert row.result.status is (Status.COMPLETED if kept else Status.ROLLED_BACK)
    full.assert_sound()


def _raising(error: BaseException) -> Callable[..., Any]:
    def call(*_arguments: object, **_options: object) -> None:
        raise error

    return call


class Faulty(FileSystem):
    """Fails the call of a number: that one alone, or every changing call from it on, as a dying disk does."""

    def __init__(self, at: int, *, for_good: bool = False, error: Callable[[], BaseException]) -> None:
        self.at, self.for_good, self.error = at, for_good, error
        self.calls = 0
        self.failed: list[str] = []


def _counted(name: str) -> Callable[..., Any]:
    original = getattr(FileSystem, name)

    def call(self: Faulty, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.at or (self.for_good and self.calls > self.at and name in MUTATING):
            self.failed.append(name)
            raise self.error()
        return original(self, *arguments, **options)

    return call


for _name in (*MUTATING, *LOOKING):
    setattr(Faulty, _name, _counted(_name))


def _io_error() -> BaseException:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def _full_disk() -> BaseException:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _defect() -> BaseException:
    return RuntimeError("a defect")


SMALL = [
    FileChange.update("app/settings.txt", "old\n", "new\n"),
    FileChange.delete("lonely/room/only.txt", "alone\n"),
    FileChange.create("made/deep/new.txt", "new\n"),
    FileChange.rename("bin/plain.sh", "bin/exec.sh", "#!/bin/sh\necho plain\n", new_mode="100755"),
]


@pytest.fixture
def quick(full: Ground) -> Ground:
    """The same ground without commands to run, for runs by the hundred."""
    full.policy["executor"]["require_verification_for_risk"] = []
    for section in ("services", "health_checks", "verification"):
        del full.policy[section]
    full.write_policy()
    return full


def _reset(ground: Ground, before: Tree) -> None:
    """Put the files of ``SMALL`` back by hand."""
    for path in sorted(set(ground.tree()) - set(before), reverse=True):
        target = ground.root / path
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink()
    for path, (kind, mode, content) in before.items():
        target = ground.root / path
        if kind == "directory":
            target.mkdir(exist_ok=True)
            target.chmod(int(mode, 8))
        elif kind == "file":
            target.write_bytes(content)
            target.chmod(int(mode, 8))
    assert ground.tree() == before


@pytest.mark.parametrize(
    ("error", "stride"), [(_io_error, 1), (_full_disk, 5), (_defect, 5)], ids=["EIO", "ENOSPC", "a defect"]
)
def test_every_system_call_may_fail(quick: Ground, error: Callable[[], BaseException], stride: int) -> None:
    """Each call in turn, until none is left to fail: before or after, never between, and what is said is true."""
    before = quick.tree()
    after = None
    for at in range(1, 1000, stride):
        filesystem = Faulty(at, error=error)
        result = _outcome(quick, filesystem)
        _assert_whole(quick, filesystem, result, before)
        if result is not None and result.success:
            after = after or quick.tree()
            assert quick.tree() == after
        if quick.tree() != before:
            _reset(quick, before)
        if not filesystem.failed:
            break
    assert at > 60
    assert after is not None
    report = quick.cat().audit_verify()
    assert report.ok, report.problems


def _outcome(ground: Ground, filesystem: FileSystem) -> ExecutionResult | None:
    """Execute; None when it ended with the injected exception itself."""
    try:
        return ground.execute_wired(ground.judge(SMALL), filesystem=filesystem)
    except (OSError, RuntimeError):
        return None


def _assert_whole(ground: Ground, filesystem: Faulty, result: ExecutionResult | None, before: Tree) -> None:
    where = (filesystem.at, filesystem.failed, result)
    now = ground.tree()
    if result is not None and result.success:
        assert now != before, where
        assert (ground.root / "made/deep/new.txt").read_text(encoding="utf-8") == "new\n", where
    else:
        assert result is None or result.status in (
            Status.REJECTED, Status.CONFLICT, Status.ROLLED_BACK, Status.ROLLBACK_FAILED, Status.INDETERMINATE
        ), where  # fmt: skip
        if result is None or result.status in (Status.ROLLBACK_FAILED, Status.INDETERMINATE) or ground.leftovers():
            ground.cat().recover(5)
            now = ground.tree()
            if ground.cat().status().frozen is not None:
                ground.cat().unfreeze(by="maria", reason="looked at it")
        done = (ground.root / "made/deep/new.txt").exists()
        assert now == before or done, where
    if ground.leftovers():
        ground.cat().recover(5)
    assert ground.leftovers() == [], where


def test_a_disk_that_dies_and_comes_back(quick: Ground) -> None:
    """From some call on nothing can be changed any more, the undo included; when the disk is back, recovery undoes."""
    before = quick.tree()
    for at in range(1, 1000, 5):
        filesystem = Faulty(at, for_good=True, error=_io_error)
        result = _outcome(quick, filesystem)
        if result is not None and result.success and not quick.leftovers():
            assert set(filesystem.failed) <= {"unlink"}  # of the lock file, which only tells
            break
        kept = result is not None and result.success
        quick.cat().recover(5)
        if quick.cat().status().frozen is not None:
            quick.cat().unfreeze(by="maria", reason="the disk was replaced")
        assert quick.leftovers() == []
        now = quick.tree()
        if kept:
            assert now != before, at
        elif now != before:  # COMMITTED became durable although the call said that it failed
            assert result is not None
            assert result.status is Status.INDETERMINATE, (at, result)
        if now != before:
            _reset(quick, before)
    assert at > 60
