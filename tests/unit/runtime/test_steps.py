"""Steps end however their block ends, events are the same for everybody, and time runs out."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lonelycat import ChangePlan, ChangeSet, FileChange, LonelyCatError, Status
from lonelycat.clock import SystemClock
from lonelycat.errors import StepFailedError
from lonelycat.records.artifacts import ArtifactDirectory
from lonelycat.runtime.steps import ExecutionContext, as_lonelycat_error, code_of


class _Clock(SystemClock):
    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at


def _context(events: list[dict[str, object]] | None = None, clock: _Clock | None = None) -> ExecutionContext:
    plan = ChangePlan.new(intent="x", created_by="agent:x")
    changes = [FileChange.rename("b", "a", "x"), FileChange.create("c", "x")]
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    sink = None if events is None else events.append
    return ExecutionContext("exec_test", plan, changeset, clock or _Clock(), sink)


def test_a_step_that_ends_well_is_told_and_recorded() -> None:
    events: list[dict[str, object]] = []
    clock = _Clock()
    context = _context(events, clock)
    with context.step("look") as step:
        clock.at = 1.5
        step.message = "fine"
    (record,) = context.steps
    assert (record.index, record.name, record.status, record.duration_seconds) == (1, "look", "ok", 1.5)
    assert [event["type"] for event in events] == ["step.started", "step.finished"]
    assert {key: events[1][key] for key in ("step", "status", "duration_seconds", "code", "message")} == {
        "step": "look",
        "status": "ok",
        "duration_seconds": 1.5,
        "code": None,
        "message": "fine",
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StepFailedError("VERIFY_FAILED", "no", "h"), "VERIFY_FAILED"),
        (OSError(errno.ENOSPC, "full"), "NO_SPACE"),
        (OSError(errno.EDQUOT, "quota"), "NO_SPACE"),
        (PermissionError(errno.EACCES, "no"), "NO_RIGHTS"),
        (OSError(errno.EPERM, "immutable"), "NO_RIGHTS"),
        (OSError(errno.EROFS, "read-only"), "READ_ONLY"),
        (OSError(errno.EIO, "disk"), "IO_ERROR"),
        (OSError(errno.ENOTTY, "odd"), "IO_ERROR"),
        (OSError("without a number"), "IO_ERROR"),
        (KeyboardInterrupt(), "INTERRUPTED"),
        (ZeroDivisionError("defect"), "INTERNAL_ERROR"),
    ],
)
def test_a_step_ends_with_the_code_of_what_ended_it_and_passes_it_on(error: BaseException, code: str) -> None:
    context = _context()
    with pytest.raises(type(error)), context.step("look"):
        raise error
    (record,) = context.steps
    assert (record.status, record.code) == ("failed", code)
    assert record.message
    typed = as_lonelycat_error(error)
    assert (typed.code, bool(typed.message)) == (code, True)
    assert code_of(error)[0] == code


def test_a_skipped_step_says_so() -> None:
    context = _context()
    with context.step("look") as step:
        step.skipped = True
    assert context.steps[0].status == "skipped"


def test_states_move_only_along_the_table() -> None:
    context = _context()
    for status in (Status.STAGING, Status.APPLYING, Status.VERIFYING, Status.HEALTH_CHECKING, Status.COMPLETED):
        context.move(status)
    for status in Status:
        with pytest.raises(LonelyCatError) as refused:
            context.move(status)
        assert refused.value.code == "ILLEGAL_TRANSITION"
    assert context.status is Status.COMPLETED


def test_time_runs_out_for_a_step_and_for_the_whole() -> None:
    clock = _Clock()
    context = _context(clock=clock)
    assert context.seconds_left() == float("inf")
    context.deadline, context.step_seconds = 10.0, 4.0
    assert context.seconds_left() == 4.0
    clock.at = 9.0
    assert context.seconds_left() == 1.0
    clock.at = 10.0
    with pytest.raises(StepFailedError) as late:
        context.seconds_left()
    assert late.value.code == "EXECUTION_TIMEOUT"


def test_early_events_come_first_and_everybody_is_told_the_same(tmp_path: Path) -> None:
    events: list[dict[str, object]] = []
    context = _context(events)
    context.emit("one", fact=1)
    context.keep_artifacts(ArtifactDirectory(tmp_path, "exec_test"))
    context.emit("two", fact=2)
    kept = [json.loads(line) for line in (tmp_path / "exec_test/events.jsonl").read_text().splitlines()]
    assert kept == events
    assert [event["type"] for event in kept] == ["one", "two"]


def test_an_event_that_cannot_be_kept_stops_nothing_but_is_asked_for(tmp_path: Path) -> None:
    events: list[dict[str, object]] = []
    context = _context(events)
    context.keep_artifacts(ArtifactDirectory(tmp_path, "exec_test"))
    context.emit("kept")
    context.check_evidence()
    (tmp_path / "exec_test/events.jsonl").unlink()
    (tmp_path / "exec_test/events.jsonl").mkdir()
    with context.step("look"):
        pass
    context.emit("lost")
    assert [event["type"] for event in events] == ["kept", "step.started", "step.finished", "lost"]
    with pytest.raises(StepFailedError, match="evidence"):
        context.check_evidence()


def test_a_sink_that_raises_is_asked_no_more_and_warned_of() -> None:
    calls = []

    def sink(event: dict[str, object]) -> None:
        calls.append(event)
        raise BrokenPipeError("gone")

    context = _context()
    context._on_event = sink
    context.emit("one")
    context.emit("two")
    assert len(calls) == 1
    assert context.warnings == ["progress is no longer reported: BrokenPipeError: gone"]


def test_changed_paths_are_all_of_them_once_and_sorted() -> None:
    assert _context().changed_paths == ("a", "b", "c")


def test_a_result_says_what_became_of_it() -> None:
    context = _context()
    refused = context.result(error=StepFailedError("CODE", "why", "what now"))
    assert (refused.success, refused.error_code, refused.message, refused.hint) == (False, "CODE", "why", "what now")
    rehearsed = context.result(message="would", dry_run=True)
    assert (rehearsed.success, rehearsed.dry_run, rehearsed.message) == (True, True, "would")
    assert context.result(error=StepFailedError("CODE", "why", "h"), dry_run=True).success is False
