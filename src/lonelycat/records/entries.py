"""What Records hands out and takes in, as plain data; importable without the database library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.confirmations import GovernanceConfirmation
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.lifecycle import Status
from lonelycat.records.execution import ExecutionResult


class AuditType(StrEnum):
    """The kinds of event in the audit log."""

    PROPOSAL_CREATED = "proposal.created"
    DECISION_MADE = "decision.made"
    APPROVAL_GIVEN = "approval.given"
    APPROVAL_REFUSED = "approval.refused"
    PROPOSAL_REJECTED = "proposal.rejected"
    CONFIRMATION_AWAITED = "confirmation.awaited"
    CONFIRMATION_GIVEN = "confirmation.given"
    CONFIRMATION_REFUSED = "confirmation.refused"
    CONFIRMATION_ENDED = "confirmation.ended"
    EXECUTION_FINISHED = "execution.finished"
    EXECUTION_REFUSED = "execution.refused"
    SECURITY_TAMPERED = "security.tampered"
    WORKSPACE_FROZEN = "workspace.frozen"
    WORKSPACE_UNFROZEN = "workspace.unfrozen"
    DIGEST_QUARANTINED = "digest.quarantined"
    DIGEST_RELEASED = "digest.released"
    RESTART_PENDING = "restart.pending"
    RESTART_DONE = "restart.done"
    RECOVERY_DONE = "recovery.done"
    GC_DONE = "gc.done"
    POLICY_CHANGED = "policy.changed"
    HEALTH_TESTED = "health.tested"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something to be put into the audit log.

    Attributes:
        type: one of :class:`AuditType`.
        actor: who caused it, for example ``alice``, ``agent:x`` or ``lonelycat``.
        payload: JSON-compatible facts; secrets in it are redacted before it is stored.
    """

    type: AuditType
    actor: str
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest record of the audit log; ``seq`` 0 means an empty log."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """One thing that is wrong; ``seq`` is the audit record it is about, or None if about something else."""

    code: str
    message: str
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of walking the whole audit log.

    Attributes:
        records: how many audit records there are.
        head: the newest of them; note it elsewhere and pass it back as ``expect_head``.
        problems: what is wrong, the first bad record first; at most ``MAX_PROBLEMS`` of them.
    """

    records: int
    head: AuditHead
    problems: tuple[AuditProblem, ...]
    executions: int = 0
    receipts: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def first_problem(self) -> AuditProblem | None:
        """The first bad record, or None."""
        return self.problems[0] if self.problems else None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A stored plan with its change set and everything said about it so far.

    Attributes:
        redacted: contents were dropped before storing, because the change was denied for a secret; such a
            proposal can be shown and never executed.
        quarantined: the same change failed before, and nobody has released its digest since.
        execution_id, execution_status: the newest execution of the plan, if there is one.
    """

    plan: ChangePlan
    changeset: ChangeSet
    decision: GovernanceDecision
    status: Status
    approvals: tuple[GovernanceApproval, ...]
    created_at: datetime
    rejected_by: str | None = None
    note: str = ""
    redacted: bool = False
    quarantined: bool = False
    execution_id: str | None = None
    execution_status: Status | None = None


@dataclass(frozen=True, slots=True)
class OpenPlan:
    """What decides whether a stored plan still waits or is ready, read without its change set and unverified."""

    plan_id: str
    expires_at: datetime
    policy_snapshot_hash: str


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """One execution as history keeps it.

    Attributes:
        intact: whether the row still has the digest and the seal that it was written with.
    """

    result: ExecutionResult
    decision_id: str
    intact: bool


@dataclass(frozen=True, slots=True)
class Freeze:
    """Why, since when and after which execution nothing executes in this workspace."""

    reason: str
    execution_id: str | None
    frozen_at: datetime


@dataclass(frozen=True, slots=True)
class PendingRestart:
    """A restart that is due: a rollback or recovery could not do it.

    Attributes:
        execution_id: whose change the service may still run with.
        problem: why it could not be restarted.
    """

    service: str
    execution_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class QuarantinedChange:
    """A failed change whose digest is in quarantine, as the records keep it.

    Attributes:
        proposed_by: who proposed it, and so cannot release it.
    """

    failed: FailedChange
    proposed_by: str
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class AwaitedConfirmation:
    """A change that is in place and waits for a person's word.

    Attributes:
        proposed_by: who proposed it, and so cannot confirm it.
        deadline: when it goes back without one; the waiting process measures by a clock that is not set.
        answer: what was said, once it was.
    """

    execution_id: str
    plan_id: str
    decision_digest: str
    proposed_by: str
    intent: str
    asked_at: datetime
    deadline: datetime
    answer: GovernanceConfirmation | None = None


@dataclass(frozen=True, slots=True)
class GcReport:
    """What a clean-up removed, or with ``dry_run`` would remove."""

    executions: tuple[str, ...]
    proposals: tuple[str, ...]
    blobs: int
    freed_bytes: int
    dry_run: bool = False
