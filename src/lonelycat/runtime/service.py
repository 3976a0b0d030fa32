"""The one façade: everything that an interface can ask for. Interfaces parse, call this, and render.

Invariants:
- No interface reaches past it; errors and outcomes are the same for all of them.
- ``check`` and ``propose`` judge by the same code; ``check`` stores nothing.
- Nothing here writes a file of the workspace; only :class:`lonelycat.runtime.pipeline.Pipeline` does, and ``init``,
  which creates the policy, the known pins and the workflow document where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import ConflictError, InputError
from lonelycat.governance.policy import Verdict
from lonelycat.lifecycle import Status
from lonelycat.runtime.judgement import Judgement
from lonelycat.runtime.requests import ChangeRequest, RequestReader
from lonelycat.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from lonelycat.checks.breaking.report import HealthTestReport
    from lonelycat.checks.result import CheckResult
    from lonelycat.records.blobs import BlobStore
    from lonelycat.records.entries import (
        AuditHead,
        AuditReport,
        AwaitedConfirmation,
        ExecutionRow,
        GcReport,
        Proposal,
        QuarantinedChange,
    )
    from lonelycat.records.execution import ExecutionResult
    from lonelycat.runtime.bootstrap import Wiring
    from lonelycat.runtime.consent import Confirmation
    from lonelycat.runtime.doctor import Finding
    from lonelycat.runtime.drift import DriftEvent, DriftReport
    from lonelycat.runtime.health import HealthList
    from lonelycat.runtime.initialising import InitReport
    from lonelycat.runtime.overview import RecoveryReport, ShowReport, StatusReport
    from lonelycat.runtime.pinning import PinsRead, PinsReport
    from lonelycat.runtime.policy_source import PolicyInForce
    from lonelycat.runtime.policy_tools import PolicyReport, PolicyTestReport
    from lonelycat.runtime.rebasing import RebaseReport
    from lonelycat.runtime.steps import EventSink

_STATUS = {
    Verdict.ALLOW: Status.APPROVED,
    Verdict.NEED_APPROVAL: Status.AWAITING_APPROVAL,
    Verdict.DENY: Status.DENIED,
}


class LonelyCat:
    """LonelyCat for one workspace."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    @classmethod
    def open(cls, workspace: Path | str, environment: Mapping[str, str] | None = None) -> Self:
        """Open the workspace; nothing is written and no database is opened yet.

        Raises:
            InputError: ``WORKSPACE_MISSING``.
        """
        from lonelycat.runtime.bootstrap import Wiring

        return cls(Wiring(Settings.for_workspace(workspace, environment)))

    @property
    def settings(self) -> Settings:
        """What this process was told."""
        return self._wiring.settings

    # -- proposing and judging -----------------------------------------------------------------------------------

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
        policy = self._wiring.policy()
        reader = RequestReader(self.settings, self._wiring.planner(policy), self._wiring.records.blobs.put_stream)
        judged, bases = self._judged(policy, *self._read(reader, request))
        return self._stored(policy, judged, bases)

    def keep(self, plan: ChangePlan, changeset: ChangeSet, *, rebased_from: str | None = None) -> Judgement:
        """Judge a ready plan and change set and keep them as a proposal.

        Args:
            rebased_from: the plan that it takes the place of, for the audit log.
        """
        policy = self._wiring.policy()
        judged, bases = self._judged(policy, plan, changeset)
        return self._stored(policy, judged, bases, rebased_from=rebased_from)

    def _judged(self, policy: PolicyInForce, plan: ChangePlan, changeset: ChangeSet) -> tuple[Judgement, set[str]]:
        """Return the judgement, its change set in the form that is stored, and the bases that were kept for it."""
        from lonelycat.runtime.bases import keep_bases

        decision = self._wiring.gate(policy).evaluate(plan, changeset)
        bases: set[str] = set()
        if decision.verdict is not Verdict.DENY:  # which is final: there is nothing to rebase
            bases = keep_bases(self._wiring, changeset, self._wiring.contents(policy))
        explanation = self._wiring.planner(policy).explain(plan, changeset).lines
        packed = self._wiring.records.pack(changeset, decision)
        return Judgement(plan, packed, decision, _STATUS[decision.verdict], explanation, stored=False), bases

    def _stored(
        self, policy: PolicyInForce, judged: Judgement, bases: set[str], *, rebased_from: str | None = None
    ) -> Judgement:
        plan, changeset, decision, status = judged[:4]
        self._wiring.records.save_proposal(plan, changeset, decision, status, bases=bases, rebased_from=rebased_from)
        if policy.trusted and not policy.shipped and not policy.pinned:
            self._wiring.adopt_policy(policy.loaded.sha256, by="lonelycat")
        return judged._replace(stored=True)

    def rebase(self, plan_id: str) -> RebaseReport:
        """Judge a stored proposal's change on today's content and keep it as a proposal of its own.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            ConflictError: it does not apply any more; names file, hunk and line.
            RefusedError: ``STORED_CHANGESET_TAMPERED``, ``PLAN_REJECTED``, ``CONTENT_NOT_KEPT``.
        """
        from lonelycat.runtime.rebasing import RebaseReport, rebase

        plan, changeset, changes = rebase(self._wiring, self.proposal(plan_id))
        judgement = None
        if plan is not None and changeset is not None:
            judgement = self.keep(plan, changeset, rebased_from=plan_id)
        return RebaseReport(plan_id, judgement, changes)

    def check(self, request: ChangeRequest, *, rehearse: bool = False) -> Judgement:
        """Judge ``request`` exactly as :meth:`propose` would, and store nothing.

        Args:
            rehearse: also run its verification on it, in a sandbox, unless it is denied.
        """
        with self._wiring.scratch_blobs(needed=request.git_range is not None) as blobs:
            policy = self._wiring.policy()
            planner = self._wiring.planner(policy, blobs)
            reader = RequestReader(self.settings, planner, blobs.put_stream)
            plan, changeset = self._read(reader, request)
            return self._looked_at(plan, changeset, policy, blobs, rehearse)

    def check_again(self, plan_id: str, *, rehearse: bool = False) -> Judgement:
        """Judge a stored proposal as of now, and store nothing; see :meth:`check`.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``STORED_CHANGESET_TAMPERED``, ``CONTENT_NOT_KEPT``.
        """
        from lonelycat.runtime.ended import refuse_redacted

        proposal = self.proposal(plan_id)
        refuse_redacted(proposal)
        policy = self._wiring.policy()
        return self._looked_at(proposal.plan, proposal.changeset, policy, self._wiring.blobs, rehearse)

    def _looked_at(
        self, plan: ChangePlan, changeset: ChangeSet, policy: PolicyInForce, blobs: BlobStore, rehearse: bool
    ) -> Judgement:
        decision = self._wiring.gate(policy, stored=False, blobs=blobs).evaluate(plan, changeset)
        rehearsal = None
        if rehearse:
            from lonelycat.runtime.rehearsal import rehearse_alone

            rehearsal = rehearse_alone(self._wiring, plan, changeset, decision, policy.loaded.policy, blobs.open)
        explanation = self._wiring.planner(policy, blobs).explain(plan, changeset).lines
        return Judgement(plan, changeset, decision, _STATUS[decision.verdict], explanation, False, rehearsal)

    def _read(self, reader: RequestReader, request: ChangeRequest) -> tuple[ChangePlan, ChangeSet]:
        try:
            return reader.read(request)
        except ConflictError as error:
            from lonelycat.runtime.conflicts import explained

            raise explained(self._wiring, error) from error

    # -- a person's say ------------------------------------------------------------------------------------------

    def confirmation_phrase(self, plan_id: str) -> str:
        """Return what a person types at a terminal to approve: bound to exactly this decision."""
        from lonelycat.runtime.consent import phrase

        return phrase(self.proposal(plan_id).decision)

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

    def confirm_phrase(self, execution_id: str) -> str:
        """Return what a person types at a terminal to keep the change of a waiting execution."""
        from lonelycat.runtime.keeping import phrase_to_confirm

        return phrase_to_confirm(self._wiring, execution_id)

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

        if keep and confirmation is None:
            raise InputError(
                "APPROVAL_NEEDS_PERSON", "a confirmation is typed by a person or signed with a key", "Give one."
            )
        return confirm(self._wiring, execution_id, by=by, note=note, keep=keep, confirmation=confirmation)

    def release_phrase(self, checksum: str) -> str:
        """Return what a person types at a terminal to release a failed change."""
        from lonelycat.runtime.keeping import phrase_to_release, quarantined_change

        return phrase_to_release(quarantined_change(self._wiring, checksum).failed.checksum)

    def release(self, checksum: str, *, by: str, reason: str, confirmation: Confirmation) -> QuarantinedChange:
        """Lift the quarantine of a failed change, with a reason that goes into the audit log.

        Raises:
            InputError: ``NOT_QUARANTINED``, ``REASON_MISSING``.
            RefusedError: ``APPROVAL_…`` when the person may not.
        """
        from lonelycat.runtime.keeping import release

        return release(self._wiring, checksum, by=by, reason=reason, confirmation=confirmation)

    # -- executing -----------------------------------------------------------------------------------------------

    def execute(
        self,
        plan_id: str,
        *,
        dry_run: bool = False,
        on_event: EventSink | None = None,
        lock_timeout: float | None = None,
    ) -> ExecutionResult:
        """Execute a stored proposal; expected failures come back as results.

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
        return pipeline.run(Request(proposal.plan, proposal.changeset, proposal.decision, proposal.approvals))

    def preview(self, plan_id: str) -> bytes:
        """Return the unified diff of a stored proposal against the workspace as it is."""
        from lonelycat.runtime.overview import preview

        proposal = self.proposal(plan_id)
        return preview(self._wiring, proposal.changeset)

    def revert(self, execution_id: str, *, by: str, intent: str | None = None) -> Judgement:
        """Propose the inverse of a completed execution; it takes the same path as any change.

        Raises:
            InputError: ``EXECUTION_UNKNOWN``, ``NOT_COMPLETED``, ``INVERSE_MISSING``.
        """
        from lonelycat.runtime.reverting import inverse_of

        plan, changeset = inverse_of(self._wiring, execution_id, by=by, intent=intent)
        return self.keep(plan, changeset)

    # -- looking -------------------------------------------------------------------------------------------------

    def proposal(self, plan_id: str) -> Proposal:
        """Return a stored proposal.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``STORED_CHANGESET_TAMPERED``.
        """
        found = self._wiring.records.proposal(plan_id)
        if found is None:
            raise InputError("PLAN_UNKNOWN", f"no plan {plan_id} is stored here", "See `lonelycat status`.")
        return found

    def status(self) -> StatusReport:
        """Return what is going on in the workspace."""
        from lonelycat.runtime.overview import status

        return status(self._wiring)

    def log(
        self,
        *,
        status: Status | None = None,
        plan_id: str | None = None,
        path: str | None = None,
        since: datetime | None = None,
        limit: int = 20,
    ) -> list[ExecutionRow]:
        """Return executions, newest first."""
        return self._wiring.records.executions(status=status, plan_id=plan_id, path=path, since=since, limit=limit)

    def show(self, identifier: str) -> ShowReport:
        """Return one thing whole, by any id.

        Raises:
            InputError: ``ID_UNKNOWN``.
        """
        from lonelycat.runtime.overview import show

        return show(self._wiring, identifier)

    def diff(self, identifier: str) -> bytes:
        """Return the diff of an execution as it was made, or of a proposal as it would be."""
        from lonelycat.runtime.overview import diff

        return diff(self._wiring, identifier)

    def drift(self, paths: Sequence[str] = (), *, uncommitted: bool = False) -> DriftReport:
        """Return where the workspace is not what the last executions left; changes nothing.

        Args:
            paths: files or directories to look at; everything that executions wrote by default.
            uncommitted: leave out what git has committed since.

        Raises:
            InputError: ``PATH_NOT_WRITTEN``.
        """
        from lonelycat.runtime.drift import DriftExaminer

        return DriftExaminer(self._wiring, paths, uncommitted=uncommitted).report()

    def watch_drift(
        self, paths: Sequence[str] = (), *, uncommitted: bool = False, interval: float = 2.0
    ) -> Iterator[DriftEvent | DriftReport]:
        """Yield the drift as :meth:`drift` returns it, then each change of it, until the caller stops.

        Args:
            interval: seconds between two looks.
        """
        from lonelycat.runtime.drift import DriftExaminer

        return DriftExaminer(self._wiring, paths, uncommitted=uncommitted).watch(interval)

    def health_list(self) -> HealthList:
        """Return the policy's health checks and the kinds that are installed.

        Raises:
            PolicyError: a check's parameters are wrong, or a plug-in clashes or cannot be loaded.
        """
        from lonelycat.runtime.health import health_list

        return health_list(self._wiring)

    def health_run(self, names: Sequence[str] = ()) -> tuple[CheckResult, ...]:
        """Ask the named health checks now, all of the policy's by default; changes nothing."""
        from lonelycat.runtime.health import health_run

        return health_run(self._wiring, names)

    def health_test(self, names: Sequence[str] = (), on_event: EventSink | None = None) -> HealthTestReport:
        """Break a copy of the services in a sandbox; record and return which health checks noticed what."""
        from lonelycat.runtime.health_testing import health_test

        return health_test(self._wiring, names, on_event)

    def doctor(self) -> tuple[Finding, ...]:
        """Return what is wrong here, and what to do about it; empty when all is well."""
        from lonelycat.runtime.doctor import examine

        return examine(self._wiring)

    @staticmethod
    def sandbox() -> tuple[str, str]:
        """Return what kind of sandbox verification runs in on this machine, and why it is not a better one."""
        from lonelycat.runtime.doctor import sandbox_here

        level, why = sandbox_here()
        return str(level), why

    # -- repairing -----------------------------------------------------------------------------------------------

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
        if self._wiring.records.frozen() is None:
            raise InputError("NOT_FROZEN", "the workspace is not frozen", "There is nothing to release.")
        self._wiring.records.unfreeze(by, reason)
        due = self._wiring.records.pending_restarts()
        known = self._wiring.policy().loaded.policy.services if due else {}
        for restart in due:
            if restart.service not in known:
                self._wiring.records.restart_done(restart.service, by=by, reason=reason)

    # -- policy, audit, clean-up ---------------------------------------------------------------------------------

    def policy_check(self, path: Path | None = None) -> PolicyReport:
        """Load a policy (the workspace's by default) and say what is in it.

        Raises:
            PolicyError: with the place of the first problem.
        """
        from lonelycat.runtime.policy_tools import check

        return check(self._wiring, path)

    def policy_test(self, path: Path | None = None) -> PolicyTestReport:
        """Run the policy's own examples through the gate."""
        from lonelycat.runtime.policy_tools import run_tests

        return run_tests(self._wiring, path)

    def policy_explain(self, request: ChangeRequest) -> tuple[Judgement, tuple[str, ...]]:
        """Judge ``request`` and say which rule decided and why."""
        from lonelycat.runtime.policy_tools import explain

        judgement = self.check(request)
        return judgement, explain(self._wiring, judgement.decision)

    def policy_pins(self, *, base: str | None = None, by: str | None = None) -> PinsReport:
        """Ask what the tags of the pinned actions and hooks point to, and propose the file that says so.

        Args:
            base: where GitHub's repositories are: an https address or a directory of mirrors.

        Raises:
            InputError: ``PINS_NONE`` or ``PINS_OUTSIDE``.
            StateError: ``PINS_UNREACHABLE`` when no repository could be asked.
        """
        from lonelycat.runtime.initialising import listing
        from lonelycat.runtime.pin_reading import HOST
        from lonelycat.runtime.pinning import PinsReport, refreshed_pins

        found = listing(self.settings.workspace)
        read, name, ready = refreshed_pins(self._wiring, found, base=base or HOST, by=by)
        return PinsReport(read, name, None if ready is None else self.keep(*ready))

    def read_pins(self, *, base: str | None = None) -> PinsRead:
        """Ask as :meth:`policy_pins` does, and propose nothing."""
        from lonelycat.runtime.initialising import listing
        from lonelycat.runtime.pin_reading import HOST
        from lonelycat.runtime.pinning import pins_of, read_pins, required

        known = self._wiring.policy().loaded.pins.repositories
        return required(read_pins(pins_of(listing(self.settings.workspace)), known, base=base or HOST))

    @staticmethod
    def policy_schema() -> dict[str, object]:
        """Return the JSON Schema of the policy file."""
        from lonelycat.governance.policy_file import json_schema

        return json_schema()

    def audit_verify(self, expect_head: AuditHead | None = None) -> AuditReport:
        """Verify the whole audit log against itself, history, approvals and receipts."""
        return self._wiring.records.audit_verify(expect_head)

    def audit_export(self) -> Iterator[dict[str, object]]:
        """Yield every audit record in the form that can be verified offline."""
        return self._wiring.records.audit_export()

    def gc(self, *, keep_days: float = 90, keep_count: int = 10_000, dry_run: bool = False) -> GcReport:
        """Remove old executions, proposals and blobs that nothing needs any more; quarantine is left to people."""
        from lonelycat.executor.recovery import pending_transactions
        from lonelycat.runtime.quarantined import in_quarantine

        pending = pending_transactions(self._wiring.filesystem, self.settings.workspace)
        in_use = {*pending, *in_quarantine(self._wiring)}
        return self._wiring.records.gc(keep_days=keep_days, keep_count=keep_count, in_use=in_use, dry_run=dry_run)
