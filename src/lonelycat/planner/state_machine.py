"""The states that a planner run goes through, and the moves between them, as data.

Invariants:
- No code decides by itself that a state may follow another; it asks :meth:`PlannerRun.to`.
- The planner never reaches ``EXECUTION_READY`` by itself: that takes the gate's ALLOW or a person's approval.
- A run is immutable and keeps every state that it went through, in order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

from lonelycat.errors import LonelyCatError


class PlannerState(StrEnum):
    """Where a planner run stands."""

    INTENT = "INTENT"
    ANALYSIS = "ANALYSIS"
    PLAN_GENERATION = "PLAN_GENERATION"
    GOVERNANCE_CHECK = "GOVERNANCE_CHECK"
    EXECUTION_READY = "EXECUTION_READY"
    REFUSED = "REFUSED"
    DENIED = "DENIED"


S = PlannerState

TRANSITIONS: dict[PlannerState, frozenset[PlannerState]] = {
    S.INTENT: frozenset({S.ANALYSIS, S.REFUSED}),
    S.ANALYSIS: frozenset({S.PLAN_GENERATION, S.REFUSED}),
    S.PLAN_GENERATION: frozenset({S.GOVERNANCE_CHECK, S.REFUSED}),
    S.GOVERNANCE_CHECK: frozenset({S.EXECUTION_READY, S.DENIED}),
    S.EXECUTION_READY: frozenset(),
    S.REFUSED: frozenset(),
    S.DENIED: frozenset(),
}

ENDS = frozenset(state for state, following in TRANSITIONS.items() if not following)
"""The states that nothing follows."""

BY_VERDICT: dict[str, PlannerState] = {
    "ALLOW": S.EXECUTION_READY,
    "NEED_APPROVAL": S.GOVERNANCE_CHECK,
    "DENY": S.DENIED,
}
"""Where the gate's verdict leaves a run; one that needs approval waits in ``GOVERNANCE_CHECK``."""


class PlannerRun(NamedTuple):
    """The states of one run, first to last.

    Attributes:
        states: never empty; starts with ``INTENT``.
    """

    states: tuple[PlannerState, ...] = (PlannerState.INTENT,)

    @property
    def state(self) -> PlannerState:
        """The present state."""
        return self.states[-1]

    def to(self, following: PlannerState) -> PlannerRun:
        """Return the run moved on to ``following``.

        Raises:
            LonelyCatError: ``ILLEGAL_TRANSITION``, a programming error, when the table has no such move.
        """
        if following not in TRANSITIONS[self.state]:
            raise LonelyCatError(
                "ILLEGAL_TRANSITION",
                f"a planner run cannot go from {self.state} to {following}",
                "This is a defect in LonelyCat; please report it with `lonelycat doctor --json`.",
            )
        return PlannerRun((*self.states, following))

    def after(self, verdict: Literal["ALLOW", "NEED_APPROVAL", "DENY"]) -> PlannerRun:
        """Return the run as the gate's ``verdict`` leaves it.

        Raises:
            LonelyCatError: ``ILLEGAL_TRANSITION`` when the run is not in ``GOVERNANCE_CHECK``.
        """
        following = BY_VERDICT[verdict]
        if following is self.state is PlannerState.GOVERNANCE_CHECK:
            return self
        return self.to(following)


def planned() -> PlannerRun:
    """Return the run of a plan that is made and waits for the gate."""
    return PlannerRun().to(S.ANALYSIS).to(S.PLAN_GENERATION).to(S.GOVERNANCE_CHECK)
