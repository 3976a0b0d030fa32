"""A change that was made, failed and was taken back: the fact that holds the same bytes up the next time. Pure.

Invariant: a decision that was made in knowledge of the failure names the failed execution in the rule of its reason, so
that an executor can tell, without reading prose, which failure a person has said yes in spite of.
"""

from __future__ import annotations

from typing import NamedTuple

from lonelycat.governance.decision import GovernanceDecision

CODE = "DIGEST_QUARANTINED"
_RULE = "builtin.failed_changes."


class FailedChange(NamedTuple):
    """A change set's digest that is in quarantine.

    Attributes:
        checksum: of the change set.
        execution_id, plan_id: the newest attempt that failed.
        code: the error code that it failed with; never a success.
        message: why, as that attempt said it.
    """

    checksum: str
    execution_id: str
    plan_id: str
    code: str
    message: str

    @property
    def rule(self) -> str:
        """The rule that a reason about this failure names."""
        return _RULE + self.execution_id

    def is_known_to(self, decision: GovernanceDecision) -> bool:
        """Whether ``decision`` was made in knowledge of exactly this failure."""
        return any(reason.code == CODE and reason.rule == self.rule for reason in decision.reasons)
