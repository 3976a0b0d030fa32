"""Drift while executions come and go: what has a transaction is never taken for somebody else's change."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
from tests.acceptance.ground import Ground

from lonelycat import FileChange
from lonelycat.errors import InputError, PathError
from lonelycat.records.execution_records import ExecutionRecords

FIRST = FileChange.update("app/settings.txt", "old\n", "new\n")
SECOND = FileChange.update("app/settings.txt", "new\n", "newer\n")


@pytest.fixture
def settled(begun: Ground) -> Ground:
    """The workspace after one execution."""
    assert begun.cat().execute(begun.keep([FIRST]).plan.id).success
    return begun


def acting(monkeypatch: pytest.MonkeyPatch, at: int, act: Callable[[], object]) -> None:
    """Let ``act`` happen right after history was read for the time ``at``, when what was read is out of date."""
    asked = 0
    original = ExecutionRecords.last_writers

    def last_writers(self: ExecutionRecords, paths: Collection[str] | None = None) -> dict[str, str]:
        nonlocal asked
        found = original(self, paths)
        asked += 1
        if asked == at:
            act()
        return found

    monkeypatch.setattr(ExecutionRecords, "last_writers", last_writers)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_execution_that_ends_meanwhile_is_no_drift(
    settled: Ground, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    plan = settled.keep([SECOND]).plan.id
    acting(monkeypatch, at, lambda: settled.cat().execute(plan))
    report = settled.cat().drift()
    assert (report.drift, report.in_progress) == ((), ())
    assert (settled.root / "app/settings.txt").read_text() == "newer\n"
    assert settled.cat().drift().checked == 1


@pytest.mark.parametrize("at", [1, 2])
def test_an_execution_on_what_was_drift_ends_it(settled: Ground, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    (settled.root / "app/settings.txt").write_text("by hand\n")
    plan = settled.keep([FileChange.update("app/settings.txt", "by hand\n", "newer\n")]).plan.id
    acting(monkeypatch, at, lambda: settled.cat().execute(plan))
    assert settled.cat().drift().drift == ()
    assert (settled.root / "app/settings.txt").read_text() == "newer\n"


def test_what_is_back_at_the_second_look_is_no_drift(settled: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    place = settled.root / "app/settings.txt"
    place.write_text("as a transaction has it that is taken back right now\n")
    acting(monkeypatch, 2, lambda: place.write_text("new\n"))
    assert settled.cat().drift().drift == ()


def test_a_change_by_hand_is_drift_at_the_same_time(settled: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    other = settled.keep([FileChange.create("docs/a.md", "a\n")]).plan.id
    (settled.root / "app/settings.txt").write_text("by hand\n")
    acting(monkeypatch, 1, lambda: settled.cat().execute(other))
    assert [drift.path for drift in settled.cat().drift().drift] == ["app/settings.txt"]


def test_what_a_dead_executor_left_has_its_transaction(settled: Ground) -> None:
    import os
    import signal

    from lonelycat.runtime.steps import ExecutionContext

    plan = settled.keep([SECOND]).plan.id
    pid = os.fork()
    if pid == 0:
        emit = ExecutionContext.emit

        def dying(self: ExecutionContext, type_: str, **facts: object) -> None:
            emit(self, type_, **facts)
            if type_ == "step.finished" and facts.get("step") == "apply":
                os.kill(os.getpid(), signal.SIGKILL)

        ExecutionContext.emit = dying  # type: ignore[method-assign]  # in this child alone
        settled.cat().execute(plan)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    report = settled.cat().drift()
    assert report.drift == ()
    (one,) = report.in_progress
    assert (one.path, one.kind, one.transaction) == ("app/settings.txt", "modified", settled.leftovers()[0])
    journal = settled.root / ".lonelycat/tx" / settled.leftovers()[0] / "journal"
    journal.write_bytes(b"garbage")  # what nobody can read holds no path
    assert [drift.path for drift in settled.cat().drift().drift] == ["app/settings.txt"]


def test_the_library_refuses_what_means_nothing(settled: Ground) -> None:
    with pytest.raises(InputError, match="PATH_NOT_WRITTEN"):
        settled.cat().drift(["nowhere"])
    with pytest.raises(PathError):
        settled.cat().drift(["../x"])
    assert settled.cat().drift(["app"]).checked == 1


def test_watching_tells_each_change_once(settled: Ground) -> None:
    place = settled.root / "app/settings.txt"
    events = settled.cat().watch_drift(interval=0.01)
    first = next(events)
    assert not hasattr(first, "event") and first.drift == ()
    seen = []
    for content, expected in (("x\n", "drift"), ("y\n", "drift"), ("new\n", "settled")):
        place.write_text(content)
        item = next(events)
        assert hasattr(item, "event")
        seen.append((item.event, item.drift.path))
        assert item.event == expected
    assert seen == [("drift", "app/settings.txt"), ("drift", "app/settings.txt"), ("settled", "app/settings.txt")]
