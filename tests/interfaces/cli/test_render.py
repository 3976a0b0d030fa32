"""What people see: verdict, reasons, steps, end and diff, all from plain data."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.governance.decision import GovernanceDecision, Reason
from lonelycat.governance.policy import RuleMode, Verdict
from lonelycat.interfaces.cli.render.decision import show_decision
from lonelycat.interfaces.cli.render.diff import diffstat, line_styles, show_diff
from lonelycat.interfaces.cli.render.execution import Progress, duration, show_result, show_steps
from lonelycat.interfaces.cli.render.problem import problem_shower
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.lifecycle import OUTCOMES, Status
from lonelycat.records.execution import ExecutionResult, StepRecord

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = "\x1b[2J\u202e[red]x[/red]\r\x07"


def written(show: Any, *arguments: Any, **options: Any) -> str:
    stream = io.StringIO()
    show(Screen(stream), *arguments, **options)
    return stream.getvalue()


def a_step(name: str, message: str) -> StepRecord:
    return StepRecord(index=1, name=name, status="ok", started_at=NOW, duration_seconds=1.0, message=message)


def test_a_rehearsal_shows_the_tests_as_they_were_and_what_they_said() -> None:
    from lonelycat.checks.result import CheckResult
    from lonelycat.errors import StepFailedError
    from lonelycat.interfaces.cli.rehearsing import show_rehearsal
    from lonelycat.runtime.rehearsal import RehearsalReport

    new = CheckResult("tests", "verify", True, None, "tests: passed: 2 passed", 1.0)
    old = CheckResult("tests", "verify", False, "VERIFY_TESTS_REWRITTEN", "tests: it fails", 1.0, b"20 != 22\n")
    for error in (None, StepFailedError("VERIFY_TESTS_REWRITTEN", "tests: it fails", "")):
        lines = written(show_rehearsal, RehearsalReport(error, (new,), (old,))).splitlines()[1:]
        assert [line.strip() for line in lines] == [
            "\u2714 tests: passed: 2 passed   1.0 s", "\u2718 tests: it fails   1.0 s", "20 != 22",
        ]  # fmt: skip


def test_what_tests_counted_stands_behind_their_step() -> None:
    steps = [
        a_step("verify:tests", "tests: passed: 12 passed, 1 skipped"),
        a_step("verify:syntax", "syntax: passed"),
        a_step("old-tests:tests", "tests: passed: 11 passed, by the tests as they were"),
        a_step("verify:slow", "slow: passed: 3 passed (flaky: it passed only at try 2)"),
        a_step("health:web", "web: it answers"),
    ]
    tests, syntax, old, slow, health = written(show_steps, steps).splitlines()
    assert old.endswith("11 passed, by the tests as they were")
    assert tests.endswith("12 passed, 1 skipped") and slow.endswith("3 passed (flaky: it passed only at try 2)")
    assert syntax.rstrip().endswith("s") and health.rstrip().endswith("s")


def a_plan(intent: str = "Say hello", **fields: Any) -> ChangePlan:
    return ChangePlan.new(intent=intent, created_by="agent:coder", **fields)


def a_decision(plan: ChangePlan, changeset: ChangeSet, verdict: Verdict, *reasons: Reason) -> GovernanceDecision:
    return GovernanceDecision(
        id="dec_1",
        plan_id=plan.id,
        changeset_id=changeset.id,
        checksum=changeset.checksum,
        verdict=verdict,
        reasons=reasons,
        risk_level_effective=RiskLevel.HIGH,
        required_actions=("approval by 1 person",) if verdict is Verdict.NEED_APPROVAL else (),
        policy_snapshot_hash="0" * 64,
        context_digest="0" * 64,
        evaluated_at=NOW,
        expires_at=NOW,
    )


def a_result(status: Status, **fields: Any) -> ExecutionResult:
    known: dict[str, Any] = {
        "success": status is Status.COMPLETED,
        "status": status,
        "execution_id": "exec_1",
        "plan_id": "plan_1",
        "changeset_id": "cs_1",
        "checksum": "0" * 64,
        "files_changed": ("docs/a.md",),
        "started_at": NOW,
        "finished_at": NOW + timedelta(seconds=1.5),
    }
    return ExecutionResult(**{**known, **fields})


def test_a_decision_shows_what_which_rule_which_paths_and_what_to_do() -> None:
    changes = [FileChange.create("docs/a.md", "x"), FileChange.rename("old.py", "new.py", "x")]
    plan = a_plan(verification_plan=["unit"], health_checks=["web"], services=["site"])
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    reason = Reason(
        code="REVIEW_CATEGORY",
        message="changes to ci are always reviewed",
        rule="categories.ci",
        verdict=Verdict.NEED_APPROVAL,
        paths=("docs/a.md",),
        hint="A person has to approve it.",
        risk=RiskLevel.HIGH,
    )
    shadow = reason.model_copy(update={"code": "SHADOWED", "mode": RuleMode.SHADOW})
    lifted = reason.model_copy(update={"code": "LIFTED", "excepted_by": "until-easter"})
    decision = a_decision(plan, changeset, Verdict.NEED_APPROVAL, reason, shadow, lifted)
    text = written(show_decision, plan, changeset, decision, explanation=("It touches docs.",))
    for part in (
        "NEED_APPROVAL",
        "risk HIGH",
        "Say hello",
        plan.id,
        "agent:coder",
        "changes to ci are always reviewed",
        "categories.ci",
        "REVIEW_CATEGORY",
        "paths docs/a.md",
        "A person has to approve it.",
        "approval by 1 person",
        "A docs/a.md",
        "R old.py → new.py",
        "verify: unit",
        "restart: site",
        "health: web",
        "It touches docs.",
        "(shadow, does not count) SHADOWED",
        "(exception until-easter) LIFTED",
    ):
        assert part in text, part


@given(st.text(min_size=1, max_size=40))
def test_hostile_text_in_a_decision_is_harmless(text: str) -> None:
    plan = a_plan(intent=text + HOSTILE)
    changeset = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("[red]odd name[/red]\u00e9.md", "x")])
    reason = Reason(code="X", message=text, rule=text, verdict=Verdict.DENY, paths=(HOSTILE,), hint=text)
    shown = written(
        show_decision, plan, changeset, a_decision(plan, changeset, Verdict.DENY, reason), explanation=(text,)
    )
    assert all(char.isprintable() for char in shown.replace("\n", ""))
    assert "[red]odd name[/red]é.md" in shown


def test_many_files_and_paths_are_counted_not_listed() -> None:
    plan = a_plan()
    changes = [FileChange.create(f"f{number}.txt", "x") for number in range(50)]
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    paths = tuple(change.path for change in changes)
    reason = Reason(code="X", message="m", rule="r", verdict=Verdict.DENY, paths=paths)
    text = written(show_decision, plan, changeset, a_decision(plan, changeset, Verdict.DENY, reason))
    assert "50 files" in text
    assert "… and 30 more" in text
    assert "and 44 more" in text
    assert len(text.splitlines()) < 40


@pytest.mark.parametrize("status", sorted(OUTCOMES))
def test_every_end_says_what_happened_to_the_files_and_what_now(status: Status) -> None:
    code = None if status is Status.COMPLETED else "SOME_CODE"
    text = written(show_result, a_result(status, error_code=code, message="because of \x1b[1mthat"))
    assert "exec_1" in text
    assert "what now: " in text
    assert "1.50 s" in text
    if code:
        assert "SOME_CODE: because of \\x1b[1mthat" in text
    expected = {
        Status.COMPLETED: "is in place",
        Status.REJECTED: "Your files are unchanged",
        Status.CONFLICT: "The change was not kept",
        Status.ROLLED_BACK: "Your files are as they were before",
        Status.ROLLBACK_FAILED: "frozen",
        Status.INDETERMINATE: "recovery",
    }
    assert expected[status] in text


def test_a_repeat_and_a_dry_run_say_that_nothing_was_done() -> None:
    assert "Nothing was run again" in written(show_result, a_result(Status.COMPLETED, cached=True))
    rehearsed = written(show_result, a_result(Status.VALIDATING, dry_run=True, success=True))
    assert "Nothing was touched" in rehearsed
    assert "1 would change" in rehearsed


def test_an_interrupted_execution_says_so() -> None:
    text = written(show_result, a_result(Status.ROLLED_BACK, error_code="INTERRUPTED", message="by the user"))
    assert "INTERRUPTED, ROLLED BACK" in text


def test_steps_show_mark_time_code_and_the_reason_of_a_failure() -> None:
    step = StepRecord(index=1, name="verify:tests", status="failed", started_at=NOW, duration_seconds=0.2,
                      code="VERIFY_FAILED",
                      message="2 failed\n" + HOSTILE)  # fmt: skip
    fine = step.model_copy(update={"status": "ok", "code": None, "message": "quiet", "name": "apply"})
    text = written(show_steps, [step, fine])
    assert "✘ verify:tests" in text
    assert "200 ms  VERIFY_FAILED" in text
    assert "      2 failed\n" in text
    assert "✔ apply" in text
    assert "quiet" not in text
    assert "\x1b" not in text


def test_progress_shows_a_line_per_step_and_ignores_what_it_does_not_know() -> None:
    stream = io.StringIO()
    progress = Progress(Screen(stream))
    for event in (
        {"type": "step.started", "step": "apply"},
        {"type": "step.finished", "step": "apply", "status": "ok", "duration_seconds": 0.01, "code": None},
        {"type": "warning", "message": "look"},
        {"type": "new.kind"},
        {},
        {"type": "step.finished"},
    ):
        progress(event)
    assert stream.getvalue().splitlines()[:2] == ["  ✔ apply" + " " * 29 + "10 ms", "  warning look"]
    assert progress.shown == 2
    Progress(None)({"type": "step.started", "step": "x"})


def test_a_problem_says_code_state_of_the_files_and_what_now() -> None:
    text = written(
        problem_shower("HUNK_MISMATCH", "a.py, hunk 2\nline 3", "Make it anew.", "Your files were not touched.")
    )
    assert text.splitlines() == [
        "error HUNK_MISMATCH: a.py, hunk 2",
        "  line 3",
        "  Your files were not touched.",
        "  what now: Make it anew.",
    ]


DIFF = b"""diff --git a/x b/x
index 1..2 100644
--- a/x
+++ b/x
@@ -1,3 +1,3 @@ context
--- looks like a header
+++ so does this
 same
-gone
+come
\\ No newline at end of file
diff --git a/y b/y
new file mode 100644
"""


def test_hunk_lines_are_told_from_headers_by_their_counts() -> None:
    assert line_styles(DIFF.decode().splitlines()) == [
        "title", "title", "title", "title", "hunk", "del", "add", "plain", "del", "add", "plain", "title", "title",
    ]  # fmt: skip
    assert diffstat(DIFF) == (2, 2)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_shown_as_a_diff(data: bytes) -> None:
    text = written(show_diff, b"@@ -1 +1 @@\n" + data)
    assert all(char.isprintable() or char in "\n\t" for char in text)


@given(st.text("@-+ ,0123456789\n", max_size=60))
def test_garbage_hunk_headers_are_no_error(text: str) -> None:
    assert len(line_styles(text.split("\n"))) == len(text.split("\n"))


def test_a_long_diff_is_cut_and_says_by_how_much() -> None:
    stream = io.StringIO()
    assert show_diff(Screen(stream), b"x\n" * 10, most_lines=4) == 6
    assert stream.getvalue() == "x\n" * 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.0124, "12 ms"), (0.9996, "1.00 s"), (1.42, "1.42 s"), (59.999, "1 min 00 s"), (185, "3 min 05 s")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
