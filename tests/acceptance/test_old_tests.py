"""A change of code that rewrites its tests is held to the tests as they were, and only a person lets it fail them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Answer, Ground
from tests.debian import program

from lonelycat import ExecutionResult, FileChange
from lonelycat.lifecycle import Status
from lonelycat.runtime.consent import TerminalConfirmation

PRICE = "def price(n):\n    return n * 10\n"
BROKEN = "def price(n):\n    return n * 11\n"
FASTER = "def price(n):\n    return 10 * n\n"
TESTS = """\
import unittest
from app.price import price


class Prices(unittest.TestCase):
    def test_two(self):
        self.assertEqual(price(2), 20)
"""
AGREEING = TESTS.replace("20", "22")
GROWN = TESTS + "\n    def test_none(self):\n        self.assertEqual(price(0), 0)\n"
CODE, TEST = "app/price.py", "tests/test_price.py"
FILES = {"app/__init__.py": "", CODE: PRICE, "tests/__init__.py": "", TEST: TESTS, "README.md": "a shop\n"}
BREAKS = (FileChange.update(CODE, PRICE, BROKEN), FileChange.update(TEST, TESTS, AGREEING))
GROWS = (FileChange.update(CODE, PRICE, FASTER), FileChange.update(TEST, TESTS, GROWN))


@pytest.fixture
def shop(tmp_path: Path) -> Ground:
    """A workspace with code and a unit test, which its policy runs in a sandbox; the gate is silent about tests."""
    program("bwrap", "bubblewrap")
    ground = Ground(tmp_path)
    ground.policy["executor"]["verification"] = {}
    ground.policy["content"]["weakened_tests"] = "allow"
    ground.policy["verification"] = {
        "tests": {"argv": ["{python}", "-m", "unittest", "discover"], "timeout": 60, "sandbox": {"enabled": True}}
    }
    return ground


def _begin(ground: Ground, files: Mapping[str, str] | None = None, **rules: str) -> Ground:
    ground.policy["executor"]["verification"].update(rules)
    return ground.begin({**FILES, **(files or {})})


def _do(ground: Ground, *changes: FileChange) -> ExecutionResult:
    return ground.execute(ground.judge(changes))


def _run(ground: Ground, command: str, changes: Iterable[FileChange], *more: str) -> Answer:
    place = ground.base / "changes.json"
    place.write_text(json.dumps({"changes": [change.model_dump(mode="json") for change in changes]}))
    return ground.run(command, "--changeset", str(place), "--intent", "change the price", "--by", "agent:coder", *more)


def _approve(ground: Ground, plan_id: str) -> None:
    cat = ground.cat()
    typed = TerminalConfirmation(cat.confirmation_phrase(plan_id), "/dev/pts/9")
    cat.approve(plan_id, by="Ada", confirmation=typed)


def _checks(result: ExecutionResult) -> list[str]:
    """Return the names of the steps that ran tests."""
    return [step.name for step in result.steps if step.name.partition(":")[0] in ("rehearse", "verify", "old-tests")]


def _told(ground: Ground, execution_id: str) -> dict[str, Any]:
    """Return the one event about the tests as they were."""
    lines = (ground.root / ".lonelycat/executions" / execution_id / "events.jsonl").read_text().splitlines()
    (event,) = [event for line in lines if (event := json.loads(line))["type"] == "old_tests"]
    return dict(event)


# -- what is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "checks"),
    [
        ("in_place", ["verify:tests", "old-tests:tests"]),
        ("rehearse", ["rehearse", "rehearse:tests", "old-tests:tests"]),
        ("both", ["rehearse", "rehearse:tests", "old-tests:tests", "verify:tests"]),
    ],
)
def test_tests_that_grow_beside_code_that_does_what_it_did(shop: Ground, mode: str, checks: list[str]) -> None:
    result = _do(_begin(shop, mode=mode), *GROWS)
    assert (result.status, result.warnings, _checks(result)) == (Status.COMPLETED, (), checks)
    step = next(step for step in result.steps if step.name == "old-tests:tests")
    assert (step.status, step.message) == ("ok", "tests: passed: 1 passed, by the tests as they were")
    event = _told(shop, result.execution_id)
    assert (event["code"], event["tests"]["passed"], event["old_tests"]["passed"]) == (None, 2, 1)
    assert event["left_out"] == [TEST]
    assert (shop.root / TEST).read_text() == GROWN
    shop.assert_sound()


@pytest.mark.parametrize(
    "changes",
    [
        [GROWS[1], FileChange.update("README.md", "a shop\n", "the shop\n")],
        [GROWS[0], FileChange.create("tests/test_more.py", TESTS)],
    ],
    ids=["tests and documents", "code and new tests"],
)
def test_what_is_no_joint_change_runs_once(shop: Ground, changes: list[FileChange]) -> None:
    result = _do(_begin(shop), *changes)
    assert (result.status, _checks(result)) == (Status.COMPLETED, ["verify:tests"])


def test_what_counts_no_tests_is_not_run_again(shop: Ground) -> None:
    quiet = {"argv": ["{python}", "-c", "import app.price"], "results": {"format": "exit_code"}}
    shop.policy["verification"]["tests"].update(quiet)
    assert _checks(_do(_begin(shop), *BREAKS)) == ["verify:tests"]


def test_a_moved_test_is_run_where_it_was(shop: Ground) -> None:
    moved = FileChange.rename(TEST, "tests/test_prices.py", TESTS, new_content=GROWN)
    result = _do(_begin(shop), GROWS[0], moved)
    assert result.status is Status.COMPLETED
    event = _told(shop, result.execution_id)
    assert (event["tests"]["passed"], event["old_tests"]["passed"]) == (2, 1)


def test_new_tests_neither_speak_for_the_old_ones_nor_get_in_their_way(shop: Ground) -> None:
    """A new test that needs a helper as it becomes, beside the old test; and new data that the code needs."""
    code = FileChange.update(CODE, PRICE, "def price(n):\n    return n * int(open('tests/rate.txt').read())\n")
    helper = FileChange.update("tests/__init__.py", "", "TWO = 2\n")
    new = FileChange.create("tests/test_new.py", "import tests\n" + TESTS.replace("price(2)", "price(tests.TWO)"))
    result = _do(_begin(shop), code, helper, new, FileChange.create("tests/rate.txt", "10"))
    assert result.status is Status.COMPLETED, result.message
    assert _told(shop, result.execution_id)["left_out"] == ["tests/__init__.py", "tests/test_new.py"]


# -- what is not ------------------------------------------------------------------------------------------------------


def test_code_that_broke_with_its_test_edited_to_agree_needs_a_person(shop: Ground) -> None:
    """Rolled back; then a person sees which old test fails; then it is kept, and it is told; then it may go back."""
    before = _begin(shop).tree()
    first = _run(shop, "run", BREAKS)
    assert (first.exit, first.facts["status"], first.facts["code"]) == (6, "rolled_back", "VERIFY_TESTS_REWRITTEN")
    assert shop.tree() == before
    assert "test_two" in first.facts["message"] and TEST in first.facts["message"]
    steps = shop.root / ".lonelycat/executions" / first.facts["execution_id"] / "steps"
    assert any(b"22 != 20" in path.read_bytes() for path in steps.glob("*old-tests*"))

    again = _run(shop, "run", BREAKS)
    assert (again.exit, again.facts["verdict"]) == (3, "NEED_APPROVAL")
    (reason,) = again.facts["reasons"]
    assert reason["code"] == "DIGEST_QUARANTINED"
    assert "VERIFY_TESTS_REWRITTEN" in reason["message"] and "test_two" in reason["message"]
    assert shop.tree() == before

    _approve(shop, again.facts["plan_id"])
    kept = shop.run("execute", again.facts["plan_id"])
    assert (kept.exit, kept.facts["status"]) == (0, "completed")
    (warning,) = kept.facts["warnings"]
    assert "test_two" in warning and "a person has approved" in warning
    event = _told(shop, kept.facts["execution_id"])
    assert (event["code"], event["tests"]["passed"]) == ("VERIFY_TESTS_REWRITTEN", 1)
    assert (event["old_tests"]["failed"], event["old_tests"]["passed"]) == (1, 0)
    assert shop.run("show", kept.facts["execution_id"]).facts["warnings"] == [warning]
    assert (shop.root / TEST).read_text() == AGREEING

    cat = shop.cat()
    back = cat.execute(cat.revert(kept.facts["execution_id"], by="agent:coder").plan.id)
    assert (back.status, _checks(back)) == (Status.COMPLETED, ["verify:tests"]), "not held to what it takes back"
    assert shop.tree() == before
    shop.assert_sound()


@pytest.mark.parametrize("mode", ["rehearse", "both"])
def test_what_a_rehearsal_finds_needs_a_person_too(shop: Ground, mode: str) -> None:
    before = _begin(shop, mode=mode).tree()
    proposed = shop.keep(BREAKS)
    result = shop.cat().execute(proposed.plan.id)
    assert (result.status, result.error_code) == (Status.REJECTED, "VERIFY_TESTS_REWRITTEN")
    assert shop.tree() == before
    assert shop.cat().execute(proposed.plan.id).error_code == "DIGEST_QUARANTINED"
    again = shop.keep(BREAKS)
    _approve(shop, again.plan.id)
    kept = shop.cat().execute(again.plan.id)
    assert kept.success and "test_two" in kept.warnings[0]
    shop.assert_sound()


@pytest.mark.parametrize(
    ("mode", "tests"),
    [
        ("in_place", [FileChange.delete(TEST, TESTS), FileChange.create("tests/test_other.py", AGREEING)]),
        ("rehearse", [FileChange.rename(TEST, "tests/test_other.py", TESTS, new_content=AGREEING)]),
        ("in_place", [FileChange.rename(TEST, "app/kept.py", TESTS), FileChange.create("tests/test_b.py", AGREEING)]),
    ],
    ids=["deleted", "moved", "moved among the code"],
)
def test_a_test_that_went_is_asked_all_the_same(shop: Ground, mode: str, tests: list[FileChange]) -> None:
    before = _begin(shop, mode=mode).tree()
    assert _do(shop, BREAKS[0], *tests).error_code == "VERIFY_TESTS_REWRITTEN"
    assert shop.tree() == before


def test_a_new_test_cannot_make_the_old_ones_agree(shop: Ground) -> None:
    """It runs in the same process, so it could put the old code back while the old tests look."""
    sly = FileChange.create("tests/test_a.py", "import app.price\napp.price.price = lambda n: n * 10\n" + TESTS)
    assert _do(_begin(shop), BREAKS[0], GROWS[1], sly).error_code == "VERIFY_TESTS_REWRITTEN"


@pytest.mark.parametrize("mode", ["in_place", "rehearse"])
def test_nor_can_one_that_is_moved_to_where_it_is_a_test(shop: Ground, mode: str) -> None:
    _begin(shop, {"app/spare.py": ""}, mode=mode)
    agrees = "import app.price\napp.price.price = lambda n: n * 10\n" + TESTS
    sly = FileChange.rename("app/spare.py", "tests/test_a.py", "", new_content=agrees)
    assert _do(shop, BREAKS[0], GROWS[1], sly).error_code == "VERIFY_TESTS_REWRITTEN"


def test_expectations_that_a_test_reads_are_part_of_it(shop: Ground) -> None:
    reads = TESTS.replace("20)", "int(open('tests/expected.txt').read()))")
    _begin(shop, {TEST: reads, "tests/expected.txt": "20"})
    result = _do(shop, BREAKS[0], FileChange.update("tests/expected.txt", "20", "22"))
    assert result.error_code == "VERIFY_TESTS_REWRITTEN"


def test_the_policy_may_only_report_it(shop: Ground) -> None:
    result = _do(_begin(shop, joint_changes="report"), *BREAKS)
    assert result.success and "the policy only reports it" in result.warnings[0]


def test_the_policy_may_not_look(shop: Ground) -> None:
    result = _do(_begin(shop, joint_changes="ignore"), *BREAKS)
    assert (result.success, result.warnings, _checks(result)) == (True, (), ["verify:tests"])


def test_no_secret_in_the_name_of_a_test_is_told(shop: Ground) -> None:
    """Nor the part of one that is left where a name is cut."""
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9" * 2
    named = [f"test_{token}", "test_" + "x" * 45 + f"_{token}"]
    tests = TESTS + "".join(f"\n    def {name}(self):\n        self.assertEqual(price(2), 20)\n" for name in named)
    _begin(shop, {TEST: tests})
    changes = (BREAKS[0], FileChange.update(TEST, tests, tests.replace("20", "22")))
    checked, tried = _run(shop, "check", changes, "--rehearse"), _run(shop, "run", changes)
    assert checked.facts["code"] == tried.facts["code"] == "VERIFY_TESTS_REWRITTEN"
    told = [json.dumps(answer.facts) for answer in (checked, tried)]
    assert all("REDACTED" in text and "ghp_a1" not in text for text in told)


# -- what cannot be told ----------------------------------------------------------------------------------------------


def _without_sandbox(ground: Ground) -> Ground:
    ground.policy["verification"]["tests"]["sandbox"] = {"enabled": False}
    return _begin(ground, unsandboxed="allow")


def test_a_profile_without_a_sandbox_gets_one_for_the_old_tests(shop: Ground) -> None:
    result = _do(_without_sandbox(shop), *GROWS)
    assert result.status is Status.COMPLETED
    assert _told(shop, result.execution_id)["sandbox"] == "bubblewrap"


def test_without_any_sandbox_nobody_can_tell(shop: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of a change that is well: what cannot be told is no pass; and it never runs on the live tree."""
    from lonelycat.checks.sandbox import launch

    before = _without_sandbox(shop).tree()
    monkeypatch.setattr(launch, "LEVELS", ())
    result = _do(shop, *GROWS)
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "VERIFY_OLD_TESTS_NOT_RUN")
    assert "no sandbox can be made here" in result.message
    assert shop.tree() == before
    again = shop.keep(GROWS)
    assert [reason.code for reason in again.decision.reasons] == ["DIGEST_QUARANTINED"]
    _approve(shop, again.plan.id)
    kept = shop.cat().execute(again.plan.id)
    assert kept.success and "no sandbox can be made here" in kept.warnings[0]


@pytest.mark.parametrize(
    ("old", "why"),
    [("import os\nos.kill(os.getpid(), 9)\n" + TESTS, "killed by signal 9"), ("# nothing yet\n", "no test")],
    ids=["killed", "no tests"],
)
def test_old_tests_that_come_to_no_end_are_no_pass(shop: Ground, old: str, why: str) -> None:
    result = _do(_begin(shop, {TEST: old}), GROWS[0], FileChange.update(TEST, old, TESTS))
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "VERIFY_OLD_TESTS_NOT_RUN")
    assert why in result.message


@pytest.mark.parametrize("mode", ["in_place", "rehearse"])
def test_old_tests_that_have_no_room_are_no_pass(shop: Ground, mode: str) -> None:
    """A directory of the change stands where the test was, so that not both can be."""
    _begin(shop, {"tests/probe": "#!/bin/sh\n"}, mode=mode)
    room = (FileChange.delete("tests/probe", "#!/bin/sh\n"), FileChange.create("tests/probe/data.txt", "x"))
    assert _do(shop, GROWS[0], *room).error_code == "VERIFY_OLD_TESTS_NOT_RUN"


def test_chance_is_given_its_tries_and_told(shop: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails once may pass at the next try, as in any verification; and then it says so."""
    from lonelycat.checks.verifier import Verifier

    tries = iter([True, False, True])  # that of the change itself, then the two of the old tests
    once = Verifier._once

    def sometimes(self: Verifier, *arguments: Any) -> Any:
        found = once(self, *arguments)
        return found if next(tries) else replace(found, ok=False, code="VERIFY_FAILED")

    monkeypatch.setattr(Verifier, "_once", sometimes)
    shop.policy["verification"]["tests"]["retries"] = 1
    result = _do(_begin(shop), *GROWS)
    assert result.status is Status.COMPLETED
    assert "flaky" in result.warnings[0] and "by the tests as they were" in result.warnings[0]


# -- before any approval ----------------------------------------------------------------------------------------------


def test_check_shows_it_before_any_approval_and_stores_nothing(shop: Ground) -> None:
    before = _begin(shop).inodes()
    answer = _run(shop, "check", BREAKS, "--rehearse")
    assert (answer.exit, answer.facts["verdict"], answer.facts["code"]) == (4, "ALLOW", "VERIFY_TESTS_REWRITTEN")
    rehearsal = answer.facts["rehearsal"]
    assert (rehearsal["status"], rehearsal["checks"][0]["ok"]) == ("failed", True)
    (old,) = rehearsal["old_tests"]
    assert (old["ok"], old["tests"]["failed"], old["rewritten"]) == (False, 1, [TEST])
    assert "22 != 20" in old["output"]
    assert not (shop.root / ".lonelycat").exists()
    assert shop.inodes() == before
    well = _run(shop, "check", GROWS, "--rehearse")
    assert (well.exit, well.facts["rehearsal"]["old_tests"][0]["ok"]) == (0, True)


def test_check_shows_it_to_who_decides(shop: Ground) -> None:
    shop.policy["approval_for_risk"] = ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    proposed = _begin(shop).keep(BREAKS)
    report = shop.cat().check_again(proposed.plan.id, rehearse=True).rehearsal
    assert report is not None
    assert (report.passed, [found.code for found in report.old_tests]) == (True, ["VERIFY_TESTS_REWRITTEN"])
    _approve(shop, proposed.plan.id)
    kept = shop.cat().execute(proposed.plan.id)
    assert kept.success and "test_two" in kept.warnings[0]
