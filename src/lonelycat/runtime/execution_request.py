"""What is asked to be executed, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked to be executed."""

    plan: ChangePlan
    changeset: ChangeSet
    decision: GovernanceDecision
    approvals: Sequence[GovernanceApproval] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """How to execute.

    Attributes:
        dry_run: judge and check the base, change nothing, record nothing.
        use_locking: False only for a caller that holds ``LockManager.lock_execution`` itself.
        use_idempotency: False executes again whatever is recorded.
        lock_timeout: seconds to wait for the workspace; None means the policy's.
        may_retry: a plan whose change failed and is in quarantine may be executed again by the decision that it had.
            For a caller that holds plan and decision itself; a stored proposal needs a person first.
    """

    dry_run: bool = False
    use_locking: bool = True
    use_idempotency: bool = True
    lock_timeout: float | None = None
    may_retry: bool = True
