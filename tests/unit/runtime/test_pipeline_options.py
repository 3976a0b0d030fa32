"""Dry runs, locking left to the caller, repeats switched off, and what is looked at before anything is touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from tests.acceptance.ground import Ground, Proposed
from tests.patience import until

from lonelycat import ExecutionResult, Executor, FileChange, LockManager
from lonelycat.executor.filesystem import FileSystem
from lonelycat.lifecycle import Status
from lonelycat.runtime.execution_request import Options

CHANGES = (FileChange.create("app/new.txt", "new\n"), FileChange.update("app/settings.txt", "old\n", "new\n"))


def _nothing(ground: Ground, proposed: Proposed) -> None:
    pass


def _other_base(ground: Ground, proposed: Proposed) -> None:
    ground.write({"app/settings.txt": "drifted\n"})


def _taken(ground: Ground, proposed: Proposed) -> None:
    ground.write({"app/new.txt": "there\n"})


def _other_policy(ground: Ground, proposed: Proposed) -> None:
    ground.policy["description"] = "another"
    ground.write_policy()


def _no_policy(ground: Ground, proposed: Proposed) -> None:
    ground.write({"agent/policies/default.yaml": "{"})


def _frozen(ground: Ground, proposed: Proposed) -> None:
    ground.cat()._wiring.records.freeze("a test says so")


def _done_already(ground: Ground, proposed: Proposed) -> None:
    assert ground.execute(proposed).success


def _a_link(ground: Ground, proposed: Proposed) -> None:
    (ground.root / "app/settings.txt").unlink()
    (ground.root / "app/settings.txt").symlink_to(ground.outside)


@pytest.mark.parametrize(
    "disturb", [_nothing, _other_base, _taken, _other_policy, _no_policy, _frozen, _done_already, _a_link]
)
def test_a_dry_run_touches_nothing_and_says_what_the_real_run_says(
    begun: Ground, disturb: Callable[[Ground, Proposed], None]
) -> None:
    proposed = begun.judge(CHANGES)
    disturb(begun, proposed)
    before, rows = begun.inodes(), len(begun.cat().log())
    rehearsed = begun.execute(proposed, dry_run=True)
    assert begun.inodes() == before
    assert len(begun.cat().log()) == rows
    assert begun.leftovers() == []
    assert rehearsed.dry_run
    real = begun.execute(proposed)
    assert (rehearsed.success, rehearsed.error_code) == (real.success, real.error_code)
    assert rehearsed.cached is real.cached
    if not real.success:
        assert (rehearsed.status, rehearsed.message) == (real.status, real.message)


@pytest.mark.parametrize(
    ("section", "broken", "code", "names"),
    [
        ("services", {"kind": "command", "with": {"argv": []}}, "SERVICE_PARAMETERS", {"services": ["web"]}),
        ("services", {"kind": "command", "with": {"restart": ["true"]}}, "SERVICE_PARAMETERS", {"services": ["web"]}),
        ("health_checks", {"kind": "http", "with": {}}, "HEALTH_PARAMETERS", {"health_checks": ["web"]}),
        ("health_checks", {"kind": "tcp", "with": {"port": "x"}}, "HEALTH_PARAMETERS", {"health_checks": ["web"]}),
        ("verification", {"argv": ["true\0"]}, "VERIFICATION_PARAMETERS", {"verification_plan": ["look", "web"]}),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_a_plan_names_is_looked_at_before_anything_is_touched(
    ground: Ground, section: str, broken: dict[str, object], code: str, names: dict[str, list[str]], dry_run: bool
) -> None:
    ground.policy.setdefault(section, {})["web"] = broken
    ground.begin()
    fields = {"verification_plan": ["look"], **names}
    proposed = ground.judge(CHANGES, **fields)
    before = ground.inodes()
    result = ground.execute(proposed, dry_run=dry_run)
    assert (result.status, result.error_code) == (Status.REJECTED, code)
    assert "web" in result.message
    assert ground.inodes() == before
    assert ground.cat().status().frozen is None


def test_a_caller_that_holds_the_lock_executes_under_it(begun: Ground) -> None:
    proposed = begun.judge(CHANGES)
    with LockManager(begun.root, 1).lock_execution("exec_mine", "plan_mine"):
        held = Executor(begun.root, use_locking=False).execute(proposed.plan, proposed.changeset, proposed.decision)
    assert held.success
    assert "lock" not in {step.name for step in held.steps}


def test_a_caller_that_only_says_that_it_holds_the_lock_is_made_to(begun: Ground) -> None:
    proposed = begun.judge(CHANGES)
    result = Executor(begun.root, use_locking=False).execute(proposed.plan, proposed.changeset, proposed.decision)
    assert result.success
    assert "lock" in {step.name for step in result.steps}


def test_without_locking_somebody_elses_lock_is_respected_at_once(begun: Ground) -> None:
    begun.policy["verification"]["look"]["argv"] = begun.argv(
        "(outside / 'in').touch()\nwhile not (outside / 'go').exists(): time.sleep(0.005)"
    )
    begun.write_policy()
    begun.git("commit", "-qam", "slow")
    first = begun.keep([FileChange.create("docs/first.md", "x\n")])
    second = begun.judge(CHANGES)
    process = begun.start("execute", first.plan.id)
    try:
        until((begun.outside / "in").exists, "the first execution to verify")
        result = Executor(begun.root, use_locking=False).execute(second.plan, second.changeset, second.decision)
        assert (result.success, result.error_code) == (False, "LOCK_TIMEOUT")
        (begun.outside / "go").touch()
        assert begun.answer(process).exit == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_without_idempotency_a_repeat_is_executed_and_finds_its_own_change_in_the_way(begun: Ground) -> None:
    proposed = begun.judge(CHANGES)
    assert begun.execute(proposed).success
    assert begun.execute(proposed).cached
    again = begun.execute(proposed, use_idempotency=False)
    assert (again.success, again.cached, again.status) == (False, False, Status.CONFLICT)


def test_a_failing_sink_of_events_stops_nothing(begun: Ground) -> None:
    def sink(event: dict[str, object]) -> None:
        raise RuntimeError("nobody listens")

    proposed = begun.judge(CHANGES)
    result: ExecutionResult = begun.execute(proposed, on_event=sink)
    assert result.success
    assert any("nobody listens" in warning for warning in result.warnings)


def test_options_default_to_the_safe_side() -> None:
    assert Options() == Options(dry_run=False, use_locking=True, use_idempotency=True, lock_timeout=None)


def test_a_root_that_is_replaced_after_it_was_locked_is_not_worked_in(begun: Ground) -> None:
    """The lock is on the one that was there; another executor may be at work in the other."""
    proposed = begun.judge(CHANGES)
    twin = begun.base / "twin"
    shutil.copytree(begun.root, twin, symlinks=True)

    class Replaces(FileSystem):
        def write(self, fd: int, data: bytes) -> None:
            super().write(fd, data)
            if b'"execution_id"' in data and twin.exists():  # execution.lock is written: the workspace is held
                begun.root.rename(begun.base / "away")
                twin.rename(begun.root)

    before = begun.tree()
    result = begun.execute_wired(proposed, filesystem=Replaces())
    assert (result.status, result.error_code) == (Status.CONFLICT, "ROOT_REPLACED"), result
    assert begun.tree() == before
    assert begun.leftovers() == []
    assert begun.execute(proposed).success
