"""What the gate said of a change, as the façade hands it to interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.lifecycle import Status

if TYPE_CHECKING:
    from lonelycat.runtime.rehearsal import RehearsalReport


class Judgement(NamedTuple):
    """A plan, its change set and the gate's decision on them.

    Attributes:
        explanation: why the planner chose what it chose, a sentence each.
        stored: whether it was kept as a proposal.
        rehearsal: what its verification came to in a sandbox, where that was asked for.
    """

    plan: ChangePlan
    changeset: ChangeSet
    decision: GovernanceDecision
    status: Status
    explanation: tuple[str, ...]
    stored: bool
    rehearsal: RehearsalReport | None = None
