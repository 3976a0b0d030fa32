"""The one path of an execution; the only file that knows the order of the steps.

validate → lock → recover → pending restarts → idempotency → validate again → baseline → stage → apply → restart →
verify → health → watch → confirm → settle → commit → record. Any failure from apply on: undo → restart → health →
record.

What each step establishes:
1. validate: the executor alone agrees that this may run (``executor/admission.py``), before anything is touched;
2. lock, recover: nobody else is at work here, and nothing of a dead one is left; a frozen workspace refuses, and so
   does one in which a restart is due that still cannot be done;
3. idempotency: this plan and checksum has not completed already; approvals are still unused, now under the lock;
4. baseline: which health checks held *before* the change, so that a rollback can be held against it; and, where the
   policy says so, a rehearsal (``rehearsal.py``): the change passes its verification before anything is touched;
5. stage, apply: the transaction (``executor/transaction.py``);
6. restart, verify, health, watch: the change works, and goes on working; no answer is a failure;
   confirm: a person says so, where the policy asks for one; a change that rewrites tests is verified once more by the
   tests as they were (``old_tests.py``), which nobody but a person lets it fail;
7. settle, commit: change and evidence are durable, then the commit point; then one database transaction records
   result, history and audit.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from lonelycat.errors import FrozenError, LonelyCatError
from lonelycat.executor.admission import AdmissionTerms, admit, readmit
from lonelycat.executor.execution_lock import HeldLock, LockManager
from lonelycat.executor.idempotency import IdempotencyManager
from lonelycat.executor.operations import plan_operations
from lonelycat.executor.staging import check_base
from lonelycat.executor.transaction import Transaction
from lonelycat.executor.tree import PinnedTree
from lonelycat.governance.decision import GovernanceApproval
from lonelycat.governance.policy import Policy
from lonelycat.lifecycle import Status
from lonelycat.records.execution import ExecutionResult
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.checking import ServiceChecks, validate_named
from lonelycat.runtime.confirming import await_confirmation
from lonelycat.runtime.evidence import Evidence
from lonelycat.runtime.execution_request import Options, Request
from lonelycat.runtime.finishing import Finisher
from lonelycat.runtime.free_memory import give_back_memory
from lonelycat.runtime.pending_restarts import do_pending_restarts
from lonelycat.runtime.recovering import recover_workspace
from lonelycat.runtime.steps import EventSink, ExecutionContext, as_lonelycat_error
from lonelycat.runtime.watching import Sampler, watch_health


class Pipeline:
    """Executes one request."""

    def __init__(self, wiring: Wiring, options: Options, on_event: EventSink | None = None) -> None:
        self._wiring = wiring
        self._options = options
        self._on_event = on_event

    def run(self, request: Request) -> ExecutionResult:
        """Execute ``request``; expected failures come back as results, never as exceptions.

        Raises:
            KeyboardInterrupt: after the change was rolled back and recorded.
        """
        wiring = self._wiring
        context = ExecutionContext(
            wiring.ids.new("exec"), request.plan, request.changeset, wiring.clock, self._on_event
        )
        finisher = Finisher(wiring, context, request)
        give_back_memory(request.changeset)  # what reading it took
        try:
            policy = self._validate(context, request)
            if self._options.dry_run:
                return self._dry_run(context, request, policy)
            with self._locked(context, request, policy) as held:
                return self._under_lock(context, request, policy, held, finisher)
        except (LonelyCatError, OSError) as error:  # nothing is touched yet: what comes later ends on its own
            return finisher.refuse(as_lonelycat_error(error), dry_run=self._options.dry_run)

    # -- before anything is touched ------------------------------------------------------------------------------

    def _validate(self, context: ExecutionContext, request: Request) -> Policy:
        with context.step("validate"):
            # Earlier attempts are looked for after idempotency: a repeat of what was allowed gets its result.
            terms = self._terms(request, used=(), known=False)
            admit(terms)
            validate_named(request.plan, terms.policy)
            return terms.policy

    def _terms(self, request: Request, used: Collection[str], *, known: bool = True) -> AdmissionTerms:
        """Return what ``request`` is held against; without ``known``, as if nothing were known of earlier attempts."""
        loaded = self._wiring.policy().loaded
        return AdmissionTerms(
            request.plan,
            request.changeset,
            request.decision,
            request.approvals,
            loaded.policy,
            loaded.sha256,
            self._wiring.signer.public_key,
            self._wiring.clock.now(),
            used,
            self._wiring.failed_change(request.plan, request.changeset) if known else None,
            self._options.may_retry,
        )

    def _dry_run(self, context: ExecutionContext, request: Request, policy: Policy) -> ExecutionResult:
        """The dry run: the same refusals, the same repeat and the same look at the base as the real run, no more."""
        settings = self._wiring.settings
        if self._wiring.has_records:
            self._refuse_frozen()
            repeat = self._recorded(request, policy)
            if repeat is not None:
                return repeat.model_copy(update={"dry_run": True})
            self._readmit(request)
        with (
            context.step("stage"),
            PinnedTree(self._wiring.filesystem, settings.workspace, settings.limits.chunk_bytes) as tree,
        ):
            check_base(tree, plan_operations(request.changeset.changes).operations)
        return context.result(message="dry run: the change would be made; nothing was touched", dry_run=True)

    @contextmanager
    def _locked(self, context: ExecutionContext, request: Request, policy: Policy) -> Iterator[HeldLock]:
        """Hold the workspace; a caller that says it holds the lock already is believed only if this process does."""
        timeout = policy.executor.concurrency.lock_timeout
        if self._options.lock_timeout is not None:
            timeout = self._options.lock_timeout
        waits = self._options.use_locking and policy.executor.concurrency.enabled
        manager = LockManager(
            self._wiring.settings.workspace,
            timeout if waits else 0.0,
            clock=self._wiring.clock,
            filesystem=self._wiring.filesystem,
            on_wait=lambda holder: context.emit("lock.waiting", message=f"waiting for {holder}"),
            known_fence=self._wiring.recorded_fence,
        )
        holder = None if self._options.use_locking else manager.holder()
        if holder is not None and holder.pid == os.getpid():
            yield HeldLock(holder.fence or 0, -1, None)
            return
        with ExitStack() as stack:
            with context.step("lock"):
                held = stack.enter_context(manager.lock_execution(context.execution_id, request.plan.id))
            yield held

    def _under_lock(
        self, context: ExecutionContext, request: Request, policy: Policy, held: HeldLock, finisher: Finisher
    ) -> ExecutionResult:
        context.fence = held.fence
        recover_workspace(self._wiring, held, context)
        self._refuse_frozen()
        do_pending_restarts(self._wiring, held, context, policy)
        idempotency = policy.executor.idempotency
        finisher.ttl_seconds = idempotency.cached_result_ttl if idempotency.enabled else 0
        if self._options.use_idempotency and idempotency.enabled:
            with context.step("idempotency"):
                repeat = self._recorded(request, policy)
            if repeat is not None:
                return repeat
        finisher.consumed = self._readmit(request)
        return self._execute(context, request, policy, held, finisher)

    def _refuse_frozen(self) -> None:
        frozen = self._wiring.records.frozen()
        if frozen is not None:
            raise FrozenError(
                "WORKSPACE_FROZEN",
                f"nothing executes here since {frozen.frozen_at.isoformat()}: {frozen.reason}",
                "Look at `lonelycat doctor`, mend the workspace, then `lonelycat unfreeze --by NAME --reason TEXT`.",
            )

    def _recorded(self, request: Request, policy: Policy) -> ExecutionResult | None:
        """Return the result that answers for a repeat of ``request``, or None when it has to be executed."""
        idempotency = policy.executor.idempotency
        if not (self._options.use_idempotency and idempotency.enabled):
            return None
        manager = IdempotencyManager(
            self._wiring.settings.workspace,
            idempotency.cached_result_ttl,
            clock=self._wiring.clock,
            records=lambda: self._wiring.records,
        )
        record = manager.lookup(request.plan.id, request.changeset.checksum)
        row = None if record is None else self._wiring.records.execution(record.execution_id)
        return None if row is None else row.result.model_copy(update={"cached": True})

    def _readmit(self, request: Request) -> tuple[GovernanceApproval, ...]:
        used = self._wiring.records.approvals_used([approval.id for approval in request.approvals])
        return readmit(self._terms(request, used))

    # -- the transaction -----------------------------------------------------------------------------------------

    def _transaction(self, context: ExecutionContext, held: HeldLock) -> Transaction:
        return Transaction(
            self._wiring.filesystem,
            self._wiring.settings.workspace,
            context.execution_id,
            held.fence,
            self._wiring.blobs.open,
            self._wiring.settings.limits.chunk_bytes,
            held.root,
        )

    def _execute(
        self, context: ExecutionContext, request: Request, policy: Policy, held: HeldLock, finisher: Finisher
    ) -> ExecutionResult:
        constraints = policy.executor.constraints
        context.deadline = context.clock.monotonic() + constraints.max_execution_time
        context.step_seconds = constraints.max_step_time
        evidence = Evidence(self._wiring, context, request)
        evidence.begin()
        finisher.rollback_seconds = constraints.max_rollback_time
        checks = ServiceChecks(self._wiring, context, policy, held.for_children)
        checks.take_baseline(request.plan.health_checks)
        give_back_memory(request.changeset)  # what admitting and describing it took
        with self._transaction(context, held) as transaction:
            try:
                self._rehearse_change(context, request, policy, checks, finisher)
                self._stage(context, request, transaction, finisher, evidence, checks.healthy_before)
            except BaseException as error:  # noqa: BLE001 — nothing is touched yet, whatever it was
                with transaction.abandoned():
                    return finisher.refuse(as_lonelycat_error(error))
            try:
                in_place = policy.executor.verification.mode != "rehearse"
                self._apply_and_check(context, request, policy, transaction, checks, finisher, verify=in_place)
                self._watch_and_confirm(context, request, policy, checks)
                self._settle(context, transaction, evidence)
            except BaseException as error:  # noqa: BLE001 — whatever it was, the workspace goes back
                return finisher.roll_back(as_lonelycat_error(error), transaction, checks)
            return finisher.commit(transaction)

    def _rehearse_change(
        self,
        context: ExecutionContext,
        request: Request,
        policy: Policy,
        checks: ServiceChecks,
        finisher: Finisher,
    ) -> None:
        """Verify before anything is touched, where the policy wants that; what fails there is a refusal."""
        if policy.executor.verification.mode != "in_place" and request.plan.verification_plan:
            from lonelycat.runtime.rehearsal import rehearse

            rehearse(context, checks, request.plan.verification_plan, self._wiring, self._wiring.blobs.open)
            self._hold_to_old_tests(context, policy, checks, finisher, applied=False)

    def _hold_to_old_tests(
        self,
        context: ExecutionContext,
        policy: Policy,
        checks: ServiceChecks,
        finisher: Finisher,
        *,
        applied: bool,
    ) -> None:
        if len(context.changeset.changes) > 1 and checks.verified:  # one change alone changes code or a test
            from lonelycat.runtime.old_tests import OldTests

            approved, blobs = bool(finisher.consumed), self._wiring.blobs
            OldTests(context, checks, self._wiring, policy, blobs.open, applied, approved).judge()

    def _stage(
        self,
        context: ExecutionContext,
        request: Request,
        transaction: Transaction,
        finisher: Finisher,
        evidence: Evidence,
        healthy_before: set[str],
    ) -> None:
        context.move(Status.STAGING)
        with context.step("stage", timed=True):
            context.check_time()
            meanwhile = partial(evidence.keep_both_sides, transaction, finisher.blobs)
            identity = finisher.identity(healthy_before)
            transaction.stage(request.changeset.changes, identity, meanwhile, context.check_time)
            context.pre_image = transaction.intent.pre_image

    def _apply_and_check(
        self,
        context: ExecutionContext,
        request: Request,
        policy: Policy,
        transaction: Transaction,
        checks: ServiceChecks,
        finisher: Finisher,
        *,
        verify: bool,
    ) -> None:
        context.move(Status.APPLYING)
        with context.step("apply", timed=True):
            transaction.apply(stop=context.check_time)
        if request.plan.services:
            context.move(Status.RESTARTING)
            checks.restart(request.plan.services, transaction.note_restart)
        if verify:
            context.move(Status.VERIFYING)
            checks.verify(request.plan.verification_plan)
            if policy.executor.verification.mode == "in_place":  # else the rehearsal did
                self._hold_to_old_tests(context, policy, checks, finisher, applied=True)
            context.verification_passed = bool(request.plan.verification_plan)
        context.move(Status.HEALTH_CHECKING)
        checks.health(request.plan.health_checks)

    def _watch_and_confirm(
        self, context: ExecutionContext, request: Request, policy: Policy, checks: ServiceChecks
    ) -> None:
        section, names = policy.executor, request.plan.health_checks
        log_bytes = self._wiring.settings.limits.max_output_bytes
        if section.watch.seconds and names:
            context.move(Status.WATCHING)
            sampler = Sampler(context, checks, names, section.watch, log_bytes)
            watch_health(context, sampler, section.watch.seconds)
        if section.confirm is not None:
            context.move(Status.AWAITING_CONFIRMATION)
            sampler = Sampler(context, checks, names, section.watch, log_bytes)
            await_confirmation(self._wiring, context, request, policy, sampler, section.confirm)

    def _settle(self, context: ExecutionContext, transaction: Transaction, evidence: Evidence) -> None:
        with context.step("settle", timed=True):
            context.check_time()
            transaction.tree.check_pins()
            context.check_evidence()
            evidence.settle(transaction)
