"""What the gate said of a change, as the façade hands it to interfaces."""

from __future__ import annotations

from typing import NamedTuple

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.lifecycle import Status


class Judgement(NamedTuple):
    """A plan, its change set and the gate's decision on them.

    Attributes:
        explanation: why the planner chose what it chose, a sentence each.
        stored: whether it was kept as a proposal.
    """

    plan: ChangePlan
    changeset: ChangeSet
    decision: GovernanceDecision
    status: Status
    explanation: tuple[str, ...]
    stored: bool
