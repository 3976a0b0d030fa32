from __future__ import annotations

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.errors import InputError
from lonelycat.planner.planner import Planner
from lonelycat.planner.state_machine import PlannerState


def _plan(planner: Planner, *paths: str, **given: object) -> tuple[ChangePlan, ChangeSet]:
    changes = [FileChange.create(path, "x\n") for path in paths]
    return planner.plan(intent="Do it", created_by="agent:x", changes=changes, **given)  # type: ignore[arg-type]


def test_a_low_risk_change_gets_what_is_for_its_paths(planner: Planner) -> None:
    plan, changeset = _plan(planner, "docs/b.md", "docs/a.md")
    assert (plan.risk_level_proposed, plan.verification_plan) == (RiskLevel.LOW, ("syntax", "links"))
    assert (plan.health_checks, plan.services) == ((), ())
    assert plan.affected_paths == ("docs/a.md", "docs/b.md")
    assert (plan.id, changeset.id, changeset.plan_id) == ("plan_1", "cs_2", "plan_1")
    assert changeset.integrity_error() is None


def test_risk_brings_health_checks_for_its_paths_only(planner: Planner) -> None:
    plan, _ = _plan(planner, "src/a.py")
    assert (plan.risk_level_proposed, plan.health_checks) == (RiskLevel.MEDIUM, ("disk",))
    assert _plan(planner, "migrations/1.sql")[0].risk_level_proposed is RiskLevel.HIGH


def test_a_service_brings_its_restart_and_its_checks_at_any_risk(planner: Planner) -> None:
    plan, _ = _plan(planner, "web/page.html")
    assert (plan.risk_level_proposed, plan.services, plan.health_checks) == (RiskLevel.LOW, ("web",), ("web",))
    assert "restart web" in plan.rollback_plan and "Remove web/page.html" in plan.rollback_plan


def test_what_the_caller_gives_stays(planner: Planner) -> None:
    plan, _ = _plan(
        planner, "web/a.py", verification_plan=(), health_checks=("disk",), services=("queue",), rollback_plan="Undo."
    )
    assert (plan.verification_plan, plan.health_checks, plan.services) == ((), ("disk",), ("queue",))
    assert plan.rollback_plan == "Undo."


def test_a_service_that_the_caller_names_brings_its_checks(planner: Planner) -> None:
    assert _plan(planner, "docs/a.md", services=("queue",))[0].health_checks == ("queue",)


@pytest.mark.parametrize("proposed", RiskLevel)
def test_risk_is_never_lowered(planner: Planner, proposed: RiskLevel) -> None:
    assert _plan(planner, "src/a.py", risk_level_proposed=proposed)[0].risk_level_proposed is max(
        proposed, RiskLevel.MEDIUM
    )
    assert _plan(planner, "docs/a.md", risk_level_proposed=proposed)[0].risk_level_proposed is proposed


def test_a_proposed_risk_brings_the_checks_that_it_asks_for(planner: Planner) -> None:
    assert _plan(planner, "docs/a.md", risk_level_proposed=RiskLevel.MEDIUM)[0].health_checks == ("disk",)


def test_an_agents_plan_is_completed_and_nothing_of_it_is_taken_away(planner: Planner) -> None:
    _, changeset = _plan(planner, "src/a.py", "web/a.html")
    given = ChangePlan.new(
        intent="x",
        created_by="agent:x",
        verification_plan=("mine",),
        health_checks=("queue",),
        affected_paths=("docs/x",),
    )
    plan = planner.complete(given, changeset)
    assert plan.verification_plan == ("mine", "syntax", "tests")
    assert plan.health_checks == ("queue", "disk", "web")
    assert plan.services == ("web",)
    assert plan.risk_level_proposed is RiskLevel.MEDIUM
    assert plan.affected_paths == ("docs/x",), "a lie stays in place for the gate"
    assert plan.rollback_plan
    assert planner.complete(plan, changeset) == plan
    assert ChangePlan.model_validate_json(plan.model_dump_json()) == plan


def test_an_agent_cannot_lower_the_risk(planner: Planner) -> None:
    _, changeset = _plan(planner, "migrations/1.sql")
    given = ChangePlan.new(intent="x", created_by="agent:x", risk_level_proposed=RiskLevel.LOW)
    assert planner.complete(given, changeset).risk_level_proposed is RiskLevel.HIGH


def test_it_explains_each_choice_and_each_omission(planner: Planner) -> None:
    plan, changeset = _plan(planner, "web/a.html", "src/b.py", verification_plan=("syntax",))
    explanation = planner.explain(plan, changeset)
    said = "\n".join(explanation.lines)
    assert "verification syntax: it is for every change" in said
    assert "verification tests: left out by the proposer, although src/b.py matches src/**" in said
    assert "health check web: belongs to the service web" in said
    assert "restart web: web/a.html matches web/**" in said
    assert "risk MEDIUM" in said
    assert explanation.states[-1] is PlannerState.GOVERNANCE_CHECK


def test_same_input_same_plan(planner: Planner) -> None:
    first, _ = _plan(planner, "src/a.py", "web/a.html")
    second, _ = _plan(planner, "src/a.py", "web/a.html")
    assert first.model_copy(update={"id": "plan_0"}) == second.model_copy(update={"id": "plan_0"})


def test_what_does_not_fit_together_is_refused(planner: Planner) -> None:
    with pytest.raises(InputError) as caught:
        _plan(planner, "a.md", "A.md")
    assert caught.value.code == "PATH_TWIN"


def test_long_names_do_not_break_the_rollback_plan(planner: Planner) -> None:
    paths = [f"{'d' * 200}/" * 15 + f"{number}.md" for number in range(9)]
    plan, _ = _plan(planner, *paths)
    assert "and 4 more" in plan.rollback_plan and len(plan.rollback_plan) < 2_000
