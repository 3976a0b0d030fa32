"""When profiles are run by the tests as they were, with what, and what their answers mean; the runs are stand-ins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground

from lonelycat import ExecutionResult, FileChange
from lonelycat.checks.result import CheckResult
from lonelycat.checks.sandbox.spec import Rehearsal
from lonelycat.checks.verifier import Rehearsed, Verifier
from lonelycat.lifecycle import Status
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.rehearsal import rehearse_alone
from lonelycat.settings import Settings

CHANGES = (
    FileChange.update("app/shop.py", "old\n", "new\n"),
    FileChange.update("tests/test_shop.py", "old\n", "new\n"),
    FileChange.create("tests/test_new.py", "new\n"),
    FileChange.create("tests/data.txt", "new\n"),
)
FILES = {"app/shop.py": "old\n", "tests/test_shop.py": "old\n", "README.md": "old\n"}
Answer = Callable[[str, Rehearsed | None], str | None]


class Runs:
    """Stands in for the verifier and remembers what it was asked."""

    def __init__(
        self, answer: Answer = lambda name, rehearsed: None, counted: frozenset[str] = frozenset({"a"})
    ) -> None:
        self.answer, self.counted = answer, counted
        self.asked: list[tuple[str, Rehearsal | None, tuple[str, ...], bool]] = []

    def __call__(
        self, name: str, profile: Any, paths: Any, timeout: float, rehearsed: Rehearsed | None = None
    ) -> CheckResult:
        self.asked.append((name, rehearsed.rehearsal if rehearsed else None, tuple(paths), profile.sandbox.enabled))
        code = self.answer(name, rehearsed)
        tests: dict[str, object] = {"tests": {"passed": 1}} if name in self.counted else {}
        return CheckResult(name, "verify", code is None, code, f"{name}: said", 0.1, b"FAIL: test_two\n", tests)


@pytest.fixture
def joint(tmp_path: Path) -> Ground:
    """A workspace with two profiles, of which ``a`` counts its tests."""
    ground = Ground(tmp_path)
    ground.policy["verification"] = {name: {"argv": ["true"], "touches": ["**"]} for name in ("a", "b")}
    ground.policy["content"]["weakened_tests"] = "allow"
    return ground


def _execute(
    ground: Ground, runs: Runs, monkeypatch: pytest.MonkeyPatch, changes: tuple[FileChange, ...] = CHANGES, **rules: Any
) -> ExecutionResult:
    ground.policy["executor"]["verification"] = {"unsandboxed": "allow", **rules}
    ground.begin(FILES)
    monkeypatch.setattr(Verifier, "run", lambda self, *arguments, **more: runs(*arguments, **more))
    return ground.execute(ground.judge(changes))


def _operations(rehearsal: Rehearsal) -> dict[str, str]:
    return {each.path: each.kind for each in (*rehearsal.early, *rehearsal.rest)}


def test_in_place_the_tests_are_put_back_on_an_overlay(joint: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs()
    assert _execute(joint, runs, monkeypatch).success
    assert [(name, overlay is not None) for name, overlay, *_ in runs.asked] == [
        ("a", False),
        ("b", False),
        ("a", True),
    ]
    _, overlay, paths, walled = runs.asked[-1]
    assert overlay is not None and walled, "in a sandbox, although the profile asks for none"
    assert _operations(overlay) == {"tests/test_shop.py": "file", "tests/test_new.py": "delete"}
    assert paths == ("app/shop.py", "tests/data.txt", "tests/test_shop.py")


@pytest.mark.parametrize("mode", ["rehearse", "both"])
def test_a_rehearsal_puts_all_but_the_tests_in_place(joint: Ground, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    for profile in joint.policy["verification"].values():
        profile["sandbox"] = {"enabled": True}
    runs = Runs()
    assert _execute(joint, runs, monkeypatch, mode=mode).success
    names = [name for name, *_ in runs.asked]
    assert names == ["a", "b", "a"] + (["a", "b"] if mode == "both" else [])
    overlay = runs.asked[2][1]
    assert overlay is not None
    assert _operations(overlay) == {"app/shop.py": "file", "tests/data.txt": "file"}


def test_nothing_is_run_again_when_the_change_fails_by_its_own_tests(
    joint: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(lambda name, _: "VERIFY_FAILED" if name == "b" else None)
    assert _execute(joint, runs, monkeypatch).error_code == "VERIFY_FAILED"
    assert [name for name, *_ in runs.asked] == ["a", "b"]


def test_each_profile_that_counts_is_run_again_up_to_the_first_that_fails(
    joint: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(lambda name, overlay: "VERIFY_FAILED" if overlay else None, frozenset({"a", "b"}))
    result = _execute(joint, runs, monkeypatch)
    assert result.error_code == "VERIFY_TESTS_REWRITTEN"
    assert [name for name, *_ in runs.asked] == ["a", "b", "a"]
    runs.asked.clear()
    joint.policy["executor"]["verification"]["joint_changes"] = "report"
    joint.write_policy()
    again = joint.execute(joint.judge([*CHANGES[:2], FileChange.create("app/more.py", "x")]))
    assert [name for name, *_ in runs.asked] == ["a", "b", "a", "b"]
    assert again.success and len(again.warnings) == 2


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("VERIFY_FAILED", "VERIFY_TESTS_REWRITTEN"),
        ("VERIFY_RESULTS_DISAGREE", "VERIFY_TESTS_REWRITTEN"),
        *(
            (code, "VERIFY_OLD_TESTS_NOT_RUN")
            for code in (
                "VERIFY_TIMEOUT", "VERIFY_NO_TESTS", "VERIFY_KILLED", "VERIFY_CRASHED", "VERIFY_STOPPED",
                "VERIFY_MEMORY_LIMIT", "VERIFY_REPORT_MISSING", "VERIFY_COMMAND_NOT_FOUND", "SANDBOX_UNAVAILABLE",
                "SANDBOX_FAILED",
            )
        ),
    ],
)  # fmt: skip
def test_whatever_the_second_run_comes_to_is_a_pass_or_a_failure(
    joint: Ground, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    result = _execute(joint, Runs(lambda _, overlay: code if overlay else None), monkeypatch)
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, told)
    assert "said" in result.message and "tests/test_shop.py" in result.message
    assert ("test_two" in result.message) is (told == "VERIFY_TESTS_REWRITTEN")
    assert joint.judge(CHANGES).decision.reasons[0].code == "DIGEST_QUARANTINED"


def test_a_test_that_somebody_else_edits_meanwhile_is_no_pass_and_stays(
    joint: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited(name: str, _: Rehearsed | None) -> None:
        joint.write({"tests/test_shop.py": "somebody else\n"})

    result = _execute(joint, Runs(edited), monkeypatch)
    assert (result.success, result.status) == (False, Status.CONFLICT)
    assert (joint.root / "tests/test_shop.py").read_text() == "somebody else\n"
    assert (joint.root / "app/shop.py").read_text() == "old\n"


def test_the_second_run_has_the_time_of_a_step_of_its_own(joint: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def run(self: Verifier, name: str, profile: Any, paths: Any, timeout: float, *rest: Any) -> CheckResult:
        limits.append(timeout)
        return Runs()(name, profile, paths, timeout, *rest)

    joint.policy["executor"]["constraints"] = {"max_execution_time": 40, "max_step_time": 30}
    joint.begin(FILES)
    monkeypatch.setattr(Verifier, "run", run)
    assert joint.execute(joint.judge(CHANGES)).success
    assert len(limits) == 3 and all(0 < limit <= 30 for limit in limits)


def test_check_of_a_plan_that_says_it_takes_something_back_makes_no_records(
    joint: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(lambda _, overlay: None)
    joint.begin(FILES)
    monkeypatch.setattr(Verifier, "run", lambda self, *arguments, **more: runs(*arguments, **more))
    proposed = joint.judge(CHANGES, parent_execution_id="exec_01k0000000000000000000000a")
    shutil.rmtree(joint.root / ".lonelycat")
    wiring = Wiring(Settings.for_workspace(joint.root))
    policy = wiring.policy().loaded.policy
    report = rehearse_alone(wiring, proposed.plan, proposed.changeset, proposed.decision, policy, wiring.blobs.open)
    assert report.passed and [found.ok for found in report.old_tests] == [True]
    assert not (joint.root / ".lonelycat/lonelycat.db").exists()
