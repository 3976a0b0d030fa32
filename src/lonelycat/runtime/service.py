"""The one façade: everything that an interface can ask for. Interfaces parse, call this, and render.

Invariants:
- No interface reaches past it; errors and outcomes are the same for all of them.
- ``check`` and ``propose`` judge by the same code (``judging.py``); ``check`` stores nothing.
- Nothing here writes a file of the workspace; only :class:`lonelycat.runtime.pipeline.Pipeline` does, and ``init``,
  which creates the policy, the known pins and the workflow document where there are none.

Here is what acts; what only looks is inherited from ``looking.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.runtime import judging
from lonelycat.runtime.judgement import Judgement
from lonelycat.runtime.looking import Looking
from lonelycat.runtime.requests import ChangeRequest

if TYPE_CHECKING:
    from lonelycat.checks.breaking.report import HealthTestReport
    from lonelycat.records.entries import AwaitedConfirmation, GcReport, Proposal, QuarantinedChange
    from lonelycat.records.execution import ExecutionResult
    from lonelycat.runtime.consent import Confirmation
    from lonelycat.runtime.initialising import InitReport
    from lonelycat.runtime.overview import RecoveryReport
    from lonelycat.runtime.pinning import PinsReport
    from lonelycat.runtime.rebasing import RebaseReport
    from lonelycat.runtime.steps import EventSink


class LonelyCat(Looking):
    """LonelyCat for one workspace."""

    # -- proposing -----------------------------------------------------------------------------------------------------

    def init(self, *, offline: bool = False) -> InitReport:
        """Write a policy fitted to the workspace, the workflow document and the state; never overwrite.

        Args:
            offline: do not ask what the tags of pinned actions and hooks point to.
        """
        from lonelycat.runtime.initialising import initialise

        return initialise(self._wiring, offline=offline)

    def propose(self, request: ChangeRequest) -> Judgement:
        """Judge ``request`` and keep it as a proposal, whatever the verdict.

        Raises:
            InputError, ConflictError, PolicyError: it cannot even be judged.
        """
        return judging.propose(self._wiring, request)

    def keep(self, plan: ChangePlan, changeset: ChangeSet, *, rebased_from: str | None = None) -> Judgement:
        """Judge a ready plan and change set and keep them as a proposal.

        Args:
            rebased_from: the plan that it takes the place of, for the audit log.
        """
        return judging.keep(self._wiring, plan, changeset, rebased_from=rebased_from)

    def rebase(self, plan_id: str) -> RebaseReport:
        """Judge a stored proposal's change on today's content and keep it as a proposal of its own.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            ConflictError: it does not apply any more; names file, hunk and line.
            RefusedError: ``STORED_CHANGESET_TAMPERED``, ``PLAN_REJECTED``, ``CONTENT_NOT_KEPT``.
        """
        return judging.rebase_and_keep(self._wiring, self.proposal(plan_id))

    def revert(self, execution_id: str, *, by: str, intent: str | None = None) -> Judgement:
        """Propose the inverse of a completed execution; it takes the same path as any change.

        Where the same waits for a person already, or has their yes, that proposal is the answer.

        Raises:
            InputError: ``EXECUTION_UNKNOWN``, ``NOT_COMPLETED``, ``ALREADY_REVERTED``, ``NOTHING_TO_REVERT``,
                ``ARTIFACT_MISSING``, ``INVERSE_DAMAGED``.
            ConflictError: ``FILE_MISSING``: a file that it made is gone.
            RefusedError: ``INVERSE_TAMPERED``.
        """
        from lonelycat.runtime.reverting import revert

        return revert(self._wiring, execution_id, by=by, intent=intent)

    def policy_pins(self, *, base: str | None = None, by: str | None = None) -> PinsReport:
        """Ask what the tags of the pinned actions and hooks point to, and propose the file that says so.

        Args:
            base: where GitHub's repositories are: an https address or a directory of mirrors.

        Raises:
            InputError: ``PINS_NONE`` or ``PINS_OUTSIDE``.
            StateError: ``PINS_UNREACHABLE`` when no repository could be asked.
        """
        from lonelycat.runtime.pinning import propose_pins

        return propose_pins(self._wiring, base=base, by=by)

    # -- a person's say ------------------------------------------------------------------------------------------------

    def approve(self, plan_id: str, *, by: str, note: str = "", confirmation: Confirmation) -> Proposal:
        """Record a person's yes.

        Raises:
            RefusedError: ``APPROVAL_…`` when it does not count, ``DECISION_DENIED``, ``PLAN_REJECTED``.
        """
        from lonelycat.runtime.consent import approve

        return approve(self._wiring, self.proposal(plan_id), by=by, note=note, confirmation=confirmation)

    def reject(self, plan_id: str, *, by: str, note: str = "") -> Proposal:
        """Record a person's no; it is final for this plan."""
        self.proposal(plan_id)
        self._wiring.records.reject(plan_id, by, note)
        return self.proposal(plan_id)

    def new_approver_key(self, path: Path, name: str) -> str:
        """Write a new approver's private key to ``path``, outside the workspace, and return its public key.

        Raises:
            InputError: ``KEY_INSIDE_WORKSPACE``, ``KEY_EXISTS``.
        """
        from lonelycat.runtime.consent import new_approver_key

        return new_approver_key(self.settings, path)

    def confirm(
        self, execution_id: str, *, by: str, note: str = "", confirmation: Confirmation | None = None, keep: bool = True
    ) -> AwaitedConfirmation:
        """Keep a change that waits to be confirmed, or with ``keep`` False take it back at once.

        Args:
            confirmation: how it was given; needed to keep.

        Raises:
            InputError: ``CONFIRMATION_UNKNOWN``, ``APPROVAL_NEEDS_PERSON``.
            RefusedError: ``CONFIRMATION_ENDED``, ``CONFIRMATION_GIVEN``, ``APPROVAL_…``.
        """
        from lonelycat.runtime.keeping import confirm

        return confirm(self._wiring, execution_id, by=by, note=note, keep=keep, confirmation=confirmation)

    def release(self, checksum: str, *, by: str, reason: str, confirmation: Confirmation) -> QuarantinedChange:
        """Lift the quarantine of a failed change, with a reason that goes into the audit log.

        Raises:
            InputError: ``NOT_QUARANTINED``, ``REASON_MISSING``.
            RefusedError: ``APPROVAL_…`` when the person may not.
        """
        from lonelycat.runtime.keeping import release

        return release(self._wiring, checksum, by=by, reason=reason, confirmation=confirmation)

    # -- executing and trying ------------------------------------------------------------------------------------------

    def execute(
        self,
        plan_id: str,
        *,
        dry_run: bool = False,
        on_event: EventSink | None = None,
        lock_timeout: float | None = None,
    ) -> ExecutionResult:
        """Execute a stored proposal; expected failures come back as results, and so does what was executed before.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``STORED_CHANGESET_TAMPERED``, ``PLAN_REJECTED``, ``CONTENT_NOT_KEPT``.
        """
        from lonelycat.runtime.ended import refuse_ended
        from lonelycat.runtime.execution_request import Options, Request
        from lonelycat.runtime.pipeline import Pipeline

        proposal = self.proposal(plan_id)
        refuse_ended(proposal)
        options = Options(dry_run=dry_run, lock_timeout=lock_timeout, may_retry=False)
        pipeline = Pipeline(self._wiring, options, on_event)
        result = pipeline.run(Request(proposal.plan, proposal.changeset, proposal.decision, proposal.approvals))
        if result.cached and result.success:
            from lonelycat.runtime.reverts import told_if_reverted

            return told_if_reverted(self._wiring, result)
        return result

    def health_test(self, names: Sequence[str] = (), on_event: EventSink | None = None) -> HealthTestReport:
        """Break a copy of the services in a sandbox; record and return which health checks noticed what."""
        from lonelycat.runtime.health_testing import health_test

        return health_test(self._wiring, names, on_event)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def recover(self, lock_timeout: float | None = None) -> RecoveryReport:
        """Finish or take back what a dead executor left."""
        from lonelycat.runtime.overview import recover

        return recover(self._wiring, lock_timeout)

    def unfreeze(self, *, by: str, reason: str) -> None:
        """Release a frozen workspace, with a reason that goes into the audit log.

        Restarts that are due of services that the policy no longer defines, which nobody else can do, are written off.

        Raises:
            InputError: ``NOT_FROZEN``.
        """
        from lonelycat.runtime.upkeep import unfreeze

        unfreeze(self._wiring, by=by, reason=reason)

    def gc(self, *, keep_days: float = 90, keep_count: int = 10_000, dry_run: bool = False) -> GcReport:
        """Remove old executions, proposals and blobs that nothing needs any more; quarantine is left to people."""
        from lonelycat.runtime.upkeep import collect_garbage

        return collect_garbage(self._wiring, keep_days=keep_days, keep_count=keep_count, dry_run=dry_run)
