"""A rehearsal: verification on the change before anything is touched, and the live tree only after it passed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.acceptance.ground import Ground
from tests.debian import program

from lonelycat import FileChange
from lonelycat.lifecycle import Status

CHANGES = (
    FileChange.update("app/settings.txt", "old\n", "new\n"),
    FileChange.create("app/deep/made.txt", "made\n"),
)
PASSES_ON_THE_NEW = "import pathlib, sys; sys.exit(pathlib.Path('app/settings.txt').read_text() != 'new\\n')"


@pytest.fixture
def rehearsing(tmp_path: Path) -> Ground:
    """A ground whose checks run in a sandbox, and whose policy rehearses."""
    program("bwrap", "bubblewrap")
    ground = Ground(tmp_path)
    ground.policy["executor"]["verification"] = {"mode": "rehearse"}
    _look(ground, PASSES_ON_THE_NEW)
    return ground


def _look(ground: Ground, code: str, **more: object) -> None:
    ground.policy["verification"]["look"] = {
        "argv": ["{python}", "-I", "-S", "-c", code],
        "timeout": 60,
        "sandbox": {"enabled": True},
        **more,
    }


def _names(result: object) -> list[str]:
    return [step.name for step in result.steps]  # type: ignore[attr-defined]  # an ExecutionResult


def test_what_passed_its_rehearsal_is_applied_and_not_verified_again(rehearsing: Ground) -> None:
    rehearsing.begin()
    result = rehearsing.execute(rehearsing.judge(CHANGES))
    assert (result.success, result.status, result.verification_passed) == (True, Status.COMPLETED, True)
    names = _names(result)
    assert names.index("rehearse:look") < names.index("stage") < names.index("apply")
    assert "verify:look" not in names
    assert (rehearsing.root / "app/settings.txt").read_text() == "new\n"
    rehearsing.assert_sound()


def test_a_failing_rehearsal_touches_nothing(rehearsing: Ground) -> None:
    _look(rehearsing, "print('seen'); raise SystemExit(3)")
    rehearsing.begin()
    before, inodes = rehearsing.tree(), rehearsing.inodes()
    proposed = rehearsing.judge(CHANGES)
    result = rehearsing.execute(proposed)
    assert (result.success, result.status, result.error_code) == (False, Status.REJECTED, "VERIFY_FAILED")
    assert not {"stage", "apply", "rollback"} & set(_names(result))
    assert (rehearsing.tree(), rehearsing.inodes()) == (before, inodes)
    rehearsing.assert_sound()
    shown = rehearsing.cat().show(result.execution_id)
    assert shown is not None
    log = rehearsing.root / ".lonelycat/executions" / result.execution_id / "steps"
    assert b"seen" in b"".join(path.read_bytes() for path in log.iterdir())


@pytest.mark.parametrize(
    ("code", "expected", "more"),
    [
        ("import os; os.kill(os.getpid(), 9)", "VERIFY_KILLED", {}),
        ("while True: pass", "VERIFY_TIMEOUT", {"timeout": 0.5}),
        ("print('no tests ran')", "VERIFY_NO_TESTS", {"no_tests": {"output_patterns": ["no tests ran"]}}),
        ("open('x', 'w')", "VERIFY_UNDECLARED_WRITES", {"sandbox": {"undeclared_writes": "fail"}}),
    ],
)
def test_each_failure_has_the_code_of_the_verification(
    rehearsing: Ground, code: str, expected: str, more: dict[str, object]
) -> None:
    _look(rehearsing, code, **more)
    before = rehearsing.begin().tree()
    result = rehearsing.execute(rehearsing.judge(CHANGES))
    assert (result.status, result.error_code) == (Status.REJECTED, expected)
    assert rehearsing.tree() == before


def test_both_verifies_before_and_after(rehearsing: Ground) -> None:
    rehearsing.policy["executor"]["verification"] = {"mode": "both"}
    rehearsing.begin()
    result = rehearsing.execute(rehearsing.judge(CHANGES))
    names = _names(result)
    assert result.success
    assert names.index("rehearse:look") < names.index("apply") < names.index("verify:look")


def test_in_place_does_not_rehearse(rehearsing: Ground) -> None:
    rehearsing.policy["executor"]["verification"] = {}
    rehearsing.begin()
    names = _names(rehearsing.execute(rehearsing.judge(CHANGES)))
    assert "verify:look" in names and not [name for name in names if name.startswith("rehearse")]


def test_a_base_that_moved_on_is_a_conflict(rehearsing: Ground) -> None:
    rehearsing.begin()
    proposed = rehearsing.judge(CHANGES)
    (rehearsing.root / "app/settings.txt").write_text("somebody else's\n")
    result = rehearsing.execute(proposed)
    assert (result.status, "stage" in _names(result)) == (Status.CONFLICT, False)
    assert [conflict.path for conflict in result.conflicts] == ["app/settings.txt"]


def test_the_live_tree_never_holds_the_change_while_it_is_rehearsed(rehearsing: Ground) -> None:
    """A tree that is looked at all the time, by a program that does not ask."""
    import threading

    _look(rehearsing, "import time; time.sleep(0.5); raise SystemExit(1)")
    rehearsing.begin()
    seen: set[str] = set()
    stop = threading.Event()
    place = rehearsing.root / "app/settings.txt"

    def look() -> None:
        while not stop.is_set():
            seen.add(place.read_text())

    looker = threading.Thread(target=look)
    looker.start()
    rehearsing.execute(rehearsing.judge(CHANGES))
    stop.set()
    looker.join()
    assert seen == {"old\n"}


def test_a_command_that_the_change_brings_can_be_run(rehearsing: Ground) -> None:
    rehearsing.policy["verification"]["look"] = {
        "argv": ["tools/check"],
        "cwd": ".",
        "sandbox": {"enabled": True},
        "touches": ["**"],
    }
    rehearsing.begin()
    script = FileChange.create("tools/check", "#!/bin/sh\ngrep -q new app/settings.txt\n", mode="100755")
    result = rehearsing.execute(rehearsing.judge([*CHANGES, script]))
    assert result.success, result


def test_effects_are_among_the_evidence(rehearsing: Ground) -> None:
    _look(rehearsing, "open('report.txt', 'w').write('x')")
    rehearsing.begin()
    result = rehearsing.execute(rehearsing.judge(CHANGES))
    assert result.success
    step = next(step for step in result.steps if step.name == "rehearse:look")
    assert "report.txt" in step.message
    assert not (rehearsing.root / "report.txt").exists()
    events = rehearsing.root / ".lonelycat/executions" / result.execution_id / "events.jsonl"
    told = [json.loads(line) for line in events.read_text().splitlines()]
    effects = next(event for event in told if event["type"] == "effects")
    assert (effects["sandbox"], effects["effects"]["undeclared"]) == ("bubblewrap", ["report.txt"])


def test_a_rehearsal_without_a_sandbox_is_refused(rehearsing: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the policy allows a verification without one: a rehearsal has no other tree to run on."""
    from lonelycat.checks.sandbox import launch

    monkeypatch.setattr(launch, "LEVELS", ())
    rehearsing.policy["executor"]["verification"] = {"mode": "rehearse", "unsandboxed": "allow"}
    before = rehearsing.begin().tree()
    result = rehearsing.execute(rehearsing.judge(CHANGES))
    assert (result.status, result.error_code) == (Status.REJECTED, "SANDBOX_UNAVAILABLE")
    assert rehearsing.tree() == before


# -- before any approval ----------------------------------------------------------------------------------------------


def _patch(ground: Ground, name: str = "app/settings.txt", old: str = "old", new: str = "new") -> str:
    place = ground.base / "change.patch"
    place.write_text(f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{old}\n+{new}\n")
    return str(place)


def test_check_rehearses_and_stores_nothing(rehearsing: Ground) -> None:
    rehearsing.begin()
    before = rehearsing.inodes()
    arguments = ("check", "--patch", _patch(rehearsing), "--intent", "x", "--rehearse")
    answer = rehearsing.run(*arguments)
    assert (answer.exit, answer.facts["ok"], answer.facts["rehearsal"]["status"]) == (0, True, "passed")
    check = answer.facts["rehearsal"]["checks"][0]
    assert (check["name"], check["ok"], check["sandbox"]) == ("look", True, "bubblewrap")
    assert not (rehearsing.root / ".lonelycat").exists()
    assert rehearsing.inodes() == before
    assert "rehearsal" not in rehearsing.run(*arguments[:-1]).facts


def test_check_says_what_fails_next_to_the_verdict(rehearsing: Ground) -> None:
    _look(rehearsing, "print('what went wrong'); raise SystemExit(3)")
    rehearsing.begin()
    answer = rehearsing.run("check", "--patch", _patch(rehearsing), "--intent", "x", "--rehearse")
    assert (answer.exit, answer.facts["verdict"], answer.facts["code"]) == (4, "ALLOW", "VERIFY_FAILED")
    assert "what went wrong" in answer.facts["rehearsal"]["checks"][0]["output"]


def test_check_takes_a_stored_plan(rehearsing: Ground) -> None:
    rehearsing.policy["approval_for_risk"] = ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    rehearsing.begin()
    proposed = rehearsing.keep(CHANGES)
    answer = rehearsing.run("check", proposed.plan.id, "--rehearse")
    assert (answer.exit, answer.facts["verdict"]) == (3, "NEED_APPROVAL")
    assert answer.facts["rehearsal"]["status"] == "passed"
    assert answer.facts["checksum"] == proposed.changeset.checksum
    (rehearsing.root / "app/settings.txt").write_text("somebody else's\n")
    answer = rehearsing.run("check", proposed.plan.id, "--rehearse")
    assert (answer.exit, answer.facts["rehearsal"]["status"]) == (5, "conflict")
    assert rehearsing.run("check", proposed.plan.id, "--patch", "x").exit == 2
    assert rehearsing.run("check", "plan_00000000000000000000000000", "--rehearse").exit == 2


def test_check_does_not_run_what_is_denied(rehearsing: Ground) -> None:
    rehearsing.policy["executor"]["forbidden_paths"] = ["app/**"]
    rehearsing.begin()
    answer = rehearsing.run("check", "--patch", _patch(rehearsing), "--intent", "x", "--rehearse")
    assert (answer.exit, answer.facts["code"]) == (4, "DENIED")
    assert (answer.facts["rehearsal"]["status"], answer.facts["rehearsal"]["checks"]) == ("skipped", [])


def test_check_without_anything_to_rehearse_is_no_pass(rehearsing: Ground) -> None:
    rehearsing.policy["executor"]["require_verification_for_risk"] = []
    rehearsing.policy["verification"] = {}
    rehearsing.begin()
    answer = rehearsing.run("check", "--patch", _patch(rehearsing), "--intent", "x", "--rehearse")
    assert (answer.exit, answer.facts["code"]) == (4, "REHEARSAL_EMPTY")


def test_secrets_in_what_a_rehearsal_says_are_masked(rehearsing: Ground) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    _look(rehearsing, f"print('token={secret}'); raise SystemExit(1)")
    rehearsing.begin()
    answer = rehearsing.run("check", "--patch", _patch(rehearsing), "--intent", "x", "--rehearse")
    assert secret not in json.dumps(answer.facts["rehearsal"])


@pytest.mark.parametrize("code", ["", "open('report.xml', 'a').close()", "import os; os.rename('report.xml', 'r.xml')"])
def test_a_report_that_comes_with_the_change_is_not_one_of_its_run(rehearsing: Ground, code: str) -> None:
    """It was put in place after the step had begun, but before the command did."""
    _look(rehearsing, code, results={"report": "report.xml"})
    rehearsing.begin()
    brings = FileChange.create("report.xml", "<testsuite><testcase/></testsuite>")
    result = rehearsing.execute(rehearsing.judge([*CHANGES, brings]))
    told = "VERIFY_REPORT_MISSING" if "rename" in code else "VERIFY_REPORT_STALE"
    assert (result.status, result.error_code) == (Status.REJECTED, told)


def test_a_report_that_the_run_writes_anew_is_one(rehearsing: Ground) -> None:
    text = "<testsuite><testcase/></testsuite>"
    _look(rehearsing, f"open('report.xml', 'w').write({text!r})", results={"report": "report.xml"})
    rehearsing.begin()
    result = rehearsing.execute(rehearsing.judge([*CHANGES, FileChange.create("report.xml", text)]))
    assert result.status is Status.COMPLETED
