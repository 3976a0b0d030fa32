"""From an intent and changes to a whole plan, and in words why it is as it is.

Invariants:
- Deterministic: policy, change set and what the caller gave decide everything but ids and times.
- What the caller gave stays. Risk is only ever raised, and to a plan of an agent (:meth:`Planner.complete`)
  checks are only ever added.
- The planner does not judge. Unknown names and paths that do not fit are left in place for the gate to deny.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan, Names, RiskLevel
from lonelycat.clock import Clock, IdSource
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.facts import ContentReader
from lonelycat.governance.policy import Policy
from lonelycat.governance.risk import RiskAssessment
from lonelycat.planner.decomposer import ChangeKind, decompose
from lonelycat.planner.risk_shaper import Choice, RiskShaper, names, rollback_plan_for
from lonelycat.planner.state_machine import PlannerState, planned


class PlanExplanation(NamedTuple):
    """Why a plan is as it is.

    Attributes:
        kind: what kind of change it is.
        states: the states that the planner went through, first to last.
        lines: one sentence for each choice.
    """

    kind: ChangeKind
    states: tuple[PlannerState, ...]
    lines: tuple[str, ...]


class Planner:
    """Plans changes under one policy.

    Args:
        policy: where verification profiles, health checks and services come from.
        clock, ids: for the plan's and the change set's time and identifiers.
        contents: reads bytes before and after, so that risk by size can be told; None when there are none.
        known_pins: which commits the tags of actions and hooks are known to point to.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        clock: Clock,
        ids: IdSource,
        contents: ContentReader | None = None,
        known_pins: KnownPins | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._ids = ids
        self._shaper = RiskShaper(policy, contents, known_pins)

    def plan(
        self,
        *,
        intent: str,
        created_by: str,
        changes: Iterable[FileChange],
        objective: str = "",
        rationale: str = "",
        risk_level_proposed: RiskLevel | None = None,
        verification_plan: Sequence[str] | None = None,
        health_checks: Sequence[str] | None = None,
        services: Sequence[str] | None = None,
        rollback_plan: str | None = None,
        confidence: float = 0.5,
        run_id: str | None = None,
        correlation_id: str | None = None,
        parent_execution_id: str | None = None,
    ) -> tuple[ChangePlan, ChangeSet]:
        """Return a plan and its change set; whatever is None is filled from the policy.

        Raises:
            InputError, PathError: the changes do not fit together.
            pydantic.ValidationError: a text is over its limit or a name is malformed.
        """
        moment = self._clock.now()
        plan_id = self._ids.new("plan")
        changeset = ChangeSet.build(
            plan_id=plan_id,
            changes=changes,
            generated_by=created_by,
            id=self._ids.new("cs"),
            generated_at=moment,
        )
        filled = self._fill(
            changeset,
            _given_or_chosen,
            risk=risk_level_proposed,
            verification=verification_plan,
            health_checks=health_checks,
            services=services,
        )
        plan = ChangePlan(
            id=plan_id,
            intent=intent,
            objective=objective,
            rationale=rationale,
            affected_paths=_paths(changeset),
            risk_level_proposed=filled.risk,
            rollback_plan=filled.rollback_plan if rollback_plan is None else rollback_plan,
            verification_plan=filled.verification,
            health_checks=filled.health_checks,
            services=filled.services,
            created_by=created_by,
            created_at=moment,
            confidence=confidence,
            run_id=run_id,
            correlation_id=correlation_id,
            parent_execution_id=parent_execution_id,
        )
        return plan, changeset

    def complete(self, plan: ChangePlan, changeset: ChangeSet) -> ChangePlan:
        """Return the plan of an agent with everything added that the policy asks of ``changeset``.

        Risk is raised to what the policy sees; missing profiles, checks and restarts are added after those
        that the agent named; an empty rollback plan or list of paths is filled. Nothing is removed, and paths
        that the agent stated stay as stated, so that the gate can hold them against what is really touched.
        """
        filled = self._fill(
            changeset,
            _given_and_chosen,
            risk=plan.risk_level_proposed,
            verification=plan.verification_plan,
            health_checks=plan.health_checks,
            services=plan.services,
        )
        return plan.model_copy(
            update={
                "affected_paths": plan.affected_paths or _paths(changeset),
                "risk_level_proposed": filled.risk,
                "verification_plan": filled.verification,
                "health_checks": filled.health_checks,
                "services": filled.services,
                "rollback_plan": plan.rollback_plan or filled.rollback_plan,
            }
        )

    def explain(self, plan: ChangePlan, changeset: ChangeSet) -> PlanExplanation:
        """Say in words why ``plan`` is as it is; judges nothing."""
        decomposition = decompose(plan.intent, changeset)
        paths = _paths(changeset)
        assessed = self._shaper.assess(changeset)
        lines = [f"kind: {decomposition.because[0]}", *decomposition.because[1:]]
        lines += _risk_lines(plan, assessed)
        lines += _choice_lines("verification", plan.verification_plan, self._shaper.verification(paths))
        checks = self._shaper.health_checks(paths, plan.risk_level_proposed, plan.services)
        lines += _choice_lines("health check", plan.health_checks, checks)
        lines += _choice_lines("restart", plan.services, self._shaper.services(paths))
        if not plan.verification_plan:
            lines.append("verification: none of the policy's profiles is for what is touched")
        return PlanExplanation(decomposition.kind, planned().states, tuple(lines))

    def _fill(
        self,
        changeset: ChangeSet,
        pick: _Pick,
        *,
        risk: RiskLevel | None,
        verification: Sequence[str] | None,
        health_checks: Sequence[str] | None,
        services: Sequence[str] | None,
    ) -> _Filled:
        paths = _paths(changeset)
        level = max(self._shaper.assess(changeset).level, risk or RiskLevel.LOW)
        restarts = pick(services, names(self._shaper.services(paths)))
        checks = pick(health_checks, names(self._shaper.health_checks(paths, level, restarts)))
        return _Filled(
            risk=level,
            verification=pick(verification, names(self._shaper.verification(paths))),
            health_checks=checks,
            services=restarts,
            rollback_plan=rollback_plan_for(changeset, restarts, checks),
        )


class _Filled(NamedTuple):
    risk: RiskLevel
    verification: Names
    health_checks: Names
    services: Names
    rollback_plan: str


_Pick = Callable[[Sequence[str] | None, Names], Names]


def _given_or_chosen(given: Sequence[str] | None, chosen: Names) -> Names:
    return chosen if given is None else tuple(given)


def _given_and_chosen(given: Sequence[str] | None, chosen: Names) -> Names:
    named = tuple(given or ())
    return (*named, *(name for name in chosen if name not in named))


def _paths(changeset: ChangeSet) -> tuple[str, ...]:
    return tuple(sorted({path for change in changeset.changes for path in change.paths}))


def _risk_lines(plan: ChangePlan, assessed: RiskAssessment) -> list[str]:
    proposed = plan.risk_level_proposed
    if proposed > assessed.level:
        return [f"risk {proposed}: the proposer says so; the policy's rules see {assessed.level}"]
    raising = [reason for reason in assessed.reasons if reason.counts and reason.risk is not None]
    if not raising:
        return [f"risk {assessed.level}: the policy's default, nothing raises it"]
    return [f"risk {reason.risk}: {reason.message} ({reason.rule})" for reason in raising]


def _choice_lines(what: str, in_plan: Names, chosen: Iterable[Choice]) -> list[str]:
    why = {choice.name: choice.why for choice in chosen}
    lines = [f"{what} {name}: {why.get(name, 'the proposer asks for it')}" for name in in_plan]
    lines += [f"{what} {name}: left out by the proposer, although {why[name]}" for name in why if name not in in_plan]
    return lines
