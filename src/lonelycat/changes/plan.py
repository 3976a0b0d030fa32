"""The structured intent: what shall change and why, and by which named checks it shall be judged.

Invariant: a plan names profiles that the *policy* defines; no command line, URL or credential comes from a plan.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainSerializer

from lonelycat.changes.model import Instant, Strict, WorkspacePaths, as_tuple
from lonelycat.clock import Clock, IdSource, RandomIds, SystemClock


class RiskLevel(IntEnum):
    """A total order; the planner proposes a level and the gate may only raise it."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name


def _risk(value: object) -> object:
    if isinstance(value, str) and value in RiskLevel.__members__:
        return RiskLevel[value]
    if isinstance(value, RiskLevel):
        return value
    raise ValueError("risk must be LOW, MEDIUM, HIGH or CRITICAL")


Risk = Annotated[RiskLevel, BeforeValidator(_risk), PlainSerializer(str, when_used="json")]
Identifier = Annotated[str, Field(pattern=r"^[a-z]+_[0-9A-Za-z]{1,64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Names = Annotated[tuple[Name, ...], BeforeValidator(as_tuple)]
Text = Annotated[str, Field(max_length=20_000)]
Actor = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ChangePlan(Strict):
    """What an agent or a person wants, and what it asks to be judged by.

    Attributes:
        verification_plan, health_checks, services: names of profiles in the policy.
        rollback_plan: how the change is undone, in words; the executor's own rollback does not depend on it.
        confidence: the author's own, 0 to 1; recorded, never trusted.
        parent_execution_id: for a revert or a retry, the execution it answers to.
    """

    id: Identifier
    intent: Annotated[str, Field(min_length=1, max_length=2_000)]
    objective: Text = ""
    rationale: Text = ""
    affected_paths: WorkspacePaths = ()
    dependencies: Names = ()
    risk_level_proposed: Risk = RiskLevel.LOW
    rollback_plan: Text = ""
    verification_plan: Names = ()
    health_checks: Names = ()
    services: Names = ()
    created_by: Actor
    created_at: Instant
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    run_id: str | None = None
    correlation_id: str | None = None
    parent_execution_id: Identifier | None = None

    @classmethod
    def new(
        cls,
        *,
        intent: str,
        created_by: str,
        objective: str = "",
        rationale: str = "",
        affected_paths: Iterable[str] = (),
        dependencies: Iterable[str] = (),
        risk_level_proposed: RiskLevel = RiskLevel.LOW,
        rollback_plan: str = "",
        verification_plan: Iterable[str] = (),
        health_checks: Iterable[str] = (),
        services: Iterable[str] = (),
        confidence: float = 0.5,
        run_id: str | None = None,
        correlation_id: str | None = None,
        parent_execution_id: str | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> Self:
        """Return a plan with a fresh id and the present time; everything else is as given."""
        moment: datetime = (clock or SystemClock()).now()
        return cls(
            id=(ids or RandomIds()).new("plan"),
            intent=intent,
            objective=objective,
            rationale=rationale,
            affected_paths=tuple(affected_paths),
            dependencies=tuple(dependencies),
            risk_level_proposed=risk_level_proposed,
            rollback_plan=rollback_plan,
            verification_plan=tuple(verification_plan),
            health_checks=tuple(health_checks),
            services=tuple(services),
            created_by=created_by,
            created_at=moment,
            confidence=confidence,
            run_id=run_id,
            correlation_id=correlation_id,
            parent_execution_id=parent_execution_id,
        )
