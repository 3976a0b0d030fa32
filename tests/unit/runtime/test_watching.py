"""The watch: samples over time, the failure budget, and what is left as evidence."""

from __future__ import annotations

import pytest
from tests.acceptance.ground import Ground
from tests.unit.runtime.served import CHANGES, SleptClock, log_of, make_sick, status_moves, watched

from lonelycat import FileChange
from lonelycat.errors import PolicyError
from lonelycat.lifecycle import Status
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.settings import Settings


def _sick_between(ground: Ground, *spans: tuple[float, float]) -> SleptClock:
    return SleptClock(lambda now: make_sick(ground, sick=any(start <= now < end for start, end in spans)))


def test_a_change_that_stays_healthy_is_kept_after_the_whole_watch(ground: Ground) -> None:
    watched(ground, seconds=10, interval=2)
    clock = SleptClock()
    result = ground.execute_wired(ground.judge(CHANGES), clock=clock)
    assert (result.status, result.error_code) == (Status.COMPLETED, None)
    assert clock.seconds == pytest.approx(10)
    (step,) = [step for step in result.steps if step.name == "watch"]
    assert (step.status, step.message) == ("ok", "5 samples of up, 0 failed")
    assert step.duration_seconds == pytest.approx(10)
    lines = log_of(ground, result.execution_id, "watch").splitlines()
    assert len(lines) == 5
    assert all(" ok up: " in line for line in lines), lines
    moves = status_moves(ground, result.execution_id)
    assert moves[-2:] == [Status.WATCHING, Status.COMPLETED]


def test_one_failed_sample_takes_it_back_and_says_which_when_and_of_how_many(ground: Ground) -> None:
    watched(ground, seconds=10, interval=2)
    before = ground.tree()
    clock = _sick_between(ground, (6, 6.1))
    result = ground.execute_wired(ground.judge(CHANGES), clock=clock)
    make_sick(ground, sick=False)
    assert (result.status, result.error_code) == (Status.ROLLBACK_FAILED, "ROLLBACK_FAILED"), "health is not back"
    assert ground.tree() == before
    (step,) = [step for step in result.steps if step.name == "watch"]
    assert (step.status, step.code) == ("failed", "HEALTH_WATCH_FAILED")
    assert "up: " in result.message
    assert "6.0 s into the watch 1 of 3 samples had failed" in result.message
    lines = log_of(ground, result.execution_id, "watch").splitlines()
    assert [line.split(" ")[1] for line in lines] == ["ok", "ok", "FAILED"]
    assert "HEALTH_FILE_MISSING" in lines[-1]


def test_health_that_is_back_after_the_rollback_makes_it_rolled_back(ground: Ground) -> None:
    watched(ground, seconds=10, interval=2)
    before = ground.tree()
    ground.policy["health_checks"]["up"].update(attempts=5, failure_threshold=5, interval=1)
    ground.write_policy()
    before = ground.tree()
    result = ground.execute_wired(ground.judge(CHANGES), clock=_sick_between(ground, (6, 7)))
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "HEALTH_WATCH_FAILED")
    assert ground.tree() == before
    ground.assert_sound()


def test_a_sample_is_one_probe_whatever_patience_the_check_has(ground: Ground) -> None:
    """The health step may try again; a sample that is retried until it holds would hide what the watch is for."""
    watched(ground, seconds=4, interval=2)
    ground.policy["health_checks"]["up"].update(attempts=50, failure_threshold=50, success_threshold=2, interval=0.1)
    ground.write_policy()
    result = ground.execute_wired(ground.judge(CHANGES), clock=_sick_between(ground, (2.1, 2.15)))
    assert result.status is Status.ROLLED_BACK, result.message


@pytest.mark.parametrize(("budget", "kept"), [(1, False), (2, True)])
def test_the_budget_forgives_as_many_failures_as_it_says(ground: Ground, budget: int, kept: bool) -> None:
    watched(ground, seconds=10, interval=1, failure_budget=budget)
    result = ground.execute_wired(ground.judge(CHANGES), clock=_sick_between(ground, (3, 3.5), (7, 7.5)))
    assert result.success is kept, result.message
    make_sick(ground, sick=False)
    (step,) = [step for step in result.steps if step.name == "watch"]
    assert step.message.endswith("2 failed") or step.code == "HEALTH_WATCH_FAILED"


def test_the_last_sample_is_taken_when_the_time_is_over(ground: Ground) -> None:
    watched(ground, seconds=5, interval=2)
    result = ground.execute_wired(ground.judge(CHANGES), clock=_sick_between(ground, (4.5, 99)))
    assert not result.success
    assert "5.0 s into the watch 1 of 3 samples had failed" in result.message


def test_no_answer_is_a_failed_sample(ground: Ground) -> None:
    """A probe that crashes or times out has seen nothing, which is never health."""
    watched(ground, seconds=3, interval=1)
    ground.policy["health_checks"]["up"] = {
        "kind": "command",
        "with": {"argv": ground.argv("time.sleep(60 if (outside / 'hang').exists() else 0)")},
        "timeout": 3,
        "attempts": 1,
    }
    ground.write_policy()
    clock = SleptClock(lambda now: (ground.outside / "hang").touch() if now >= 2 else None)
    result = ground.execute_wired(ground.judge(CHANGES), clock=clock)
    assert not result.success
    assert "1 of 2 samples had failed" in result.message


def test_a_watch_may_take_longer_than_a_step_but_not_than_the_execution(ground: Ground) -> None:
    watched(ground, seconds=50, interval=1)
    ground.policy["executor"]["constraints"] = {"max_execution_time": 60, "max_step_time": 5}
    ground.write_policy()
    assert ground.execute_wired(ground.judge(CHANGES), clock=SleptClock()).success

    class Slow(SleptClock):
        def monotonic(self) -> float:
            self.seconds += 0.2
            return self.seconds

    ground.policy["executor"]["constraints"] = {"max_execution_time": 51, "max_step_time": 5}
    ground.write_policy()
    ground.write({"app/settings.txt": "old\n"})
    before = ground.tree()
    late = ground.execute_wired(ground.judge(CHANGES), clock=Slow())
    assert (late.status, late.error_code) == (Status.ROLLED_BACK, "EXECUTION_TIMEOUT")
    assert [step.name for step in late.steps if step.status == "failed"] == ["watch"]
    assert ground.tree() == before


def test_nothing_is_watched_for_a_plan_without_checks(ground: Ground) -> None:
    watched(ground, seconds=10, interval=2)
    ground.policy["executor"]["require_health_checks_for_risk"] = []
    ground.write_policy()
    clock = SleptClock()
    result = ground.execute_wired(ground.judge([FileChange.create("docs/a.md", "a\n")]), clock=clock)
    assert result.success
    assert "watch" not in {step.name for step in result.steps}
    assert clock.seconds < 1


@pytest.mark.parametrize(
    ("watch", "executor", "why"),
    [
        ({"interval": 1}, {}, "nothing is watched"),
        ({"failure_budget": 1}, {}, "nothing is watched"),
        ({"seconds": 5, "interval": 6}, {}, "longer than the whole watch"),
        ({"seconds": 100}, {}, "max_execution_time"),
        ({"seconds": 10, "failure_budget": 10}, {}, "forgives all"),
        ({"seconds": -1}, {}, "seconds"),
        ({"seconds": 5, "intervall": 1}, {}, "intervall"),
        ({}, {"confirm": "10 minutes"}, "confirm"),
        ({}, {"confirm": 0}, "confirm"),
        ({}, {"confirm": "999h"}, "confirm"),
    ],
)
def test_a_watch_that_cannot_mean_anything_fails_the_load(
    ground: Ground, watch: dict[str, object], executor: dict[str, object], why: str
) -> None:
    watched(ground)
    ground.policy["executor"] = {**ground.policy["executor"], "watch": watch, **executor}
    if not watch:
        del ground.policy["executor"]["watch"]
    ground.write_policy()
    with pytest.raises(PolicyError) as refused:
        Wiring(Settings.for_workspace(ground.root)).policy()
    assert why in refused.value.message, refused.value.message


def test_a_watch_without_any_check_to_watch_fails_the_load(ground: Ground) -> None:
    ground.policy["executor"]["watch"] = {"seconds": 5}
    ground.begin()
    with pytest.raises(PolicyError) as refused:
        Wiring(Settings.for_workspace(ground.root)).policy()
    assert "defines no health check" in refused.value.message


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("2h", 7200.0), (45, 45.0)])
def test_a_time_to_confirm_is_seconds_or_a_number_with_its_unit(ground: Ground, text: object, seconds: float) -> None:
    ground.policy["executor"]["confirm"] = text
    ground.begin()
    assert Wiring(Settings.for_workspace(ground.root)).policy().loaded.policy.executor.confirm == seconds
