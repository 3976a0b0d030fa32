from __future__ import annotations

import itertools

import pytest

from lonelycat.errors import LonelyCatError
from lonelycat.planner.state_machine import ENDS, TRANSITIONS, PlannerRun, PlannerState, planned


def test_every_pair_of_states_follows_the_table() -> None:
    for current, following in itertools.product(PlannerState, PlannerState):
        run = PlannerRun((current,))
        if following in TRANSITIONS[current]:
            assert run.to(following).states == (current, following)
        else:
            with pytest.raises(LonelyCatError) as caught:
                run.to(following)
            assert caught.value.code == "ILLEGAL_TRANSITION"


def test_every_state_is_reachable_and_every_path_ends() -> None:
    reached, waiting = set(), [PlannerRun()]
    while waiting:
        run = waiting.pop()
        assert len(run.states) == len(set(run.states)), "the table has a cycle"
        reached.add(run.state)
        waiting += [run.to(following) for following in TRANSITIONS[run.state]]
    assert reached == set(PlannerState)
    assert {PlannerState.EXECUTION_READY, PlannerState.REFUSED, PlannerState.DENIED} == ENDS


def test_a_plan_waits_for_the_gate_and_records_its_way() -> None:
    assert [state.value for state in planned().states] == ["INTENT", "ANALYSIS", "PLAN_GENERATION", "GOVERNANCE_CHECK"]
    assert planned().after("ALLOW").state is PlannerState.EXECUTION_READY
    assert planned().after("DENY").state is PlannerState.DENIED
    assert planned().after("NEED_APPROVAL") == planned()


def test_no_verdict_readies_what_was_not_planned() -> None:
    for verdict in ("ALLOW", "NEED_APPROVAL", "DENY"):
        with pytest.raises(LonelyCatError):
            PlannerRun().after(verdict)  # type: ignore[arg-type]
