"""How an execution ends: refused, rolled back or kept, and in every case recorded.

Invariants:
- After COMMITTED is durable nothing makes it a failure any more: what goes wrong then is a warning, the transaction
  directory stays, and recovery records it again.
- ``rolled_back`` is said only when the digest of the tree is that of the pre-image again and the health that was there
  before is back. Otherwise the workspace is frozen until a person has looked.
- The rollback has its own time limit, for restarts and health; the execution's does not bind it, and neither stops
  files from going back.
- A change that did not work goes into quarantine by its digest; what failed for another reason does not. What was only
  rehearsed does not either, unless it fails the tests as they were: nothing but a person lets it pass them.
- An execution that another executor has overtaken records nothing and freezes nothing: the other one has.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress

from lonelycat.changes.changeset import ChangeSet, checksum_of
from lonelycat.changes.conflict import Conflict, conflicts_of
from lonelycat.changes.paths import all_to_wire
from lonelycat.clock import isoformat
from lonelycat.errors import ConflictError, LonelyCatError, StateError, StepFailedError
from lonelycat.executor.admission import shows_tampering
from lonelycat.executor.fence import refuse_overtaken
from lonelycat.executor.transaction import Transaction
from lonelycat.executor.undo_report import UndoReport
from lonelycat.governance.decision import GovernanceApproval
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.governance.policy import Constraints
from lonelycat.lifecycle import Status
from lonelycat.records.entries import AuditEvent, AuditHead, AuditType, PendingRestart
from lonelycat.records.execution import ExecutionResult
from lonelycat.records.receipts import write_receipt
from lonelycat.runtime import runbook
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.checking import OLD_TESTS, ServiceChecks
from lonelycat.runtime.confirming import STEP as CONFIRM
from lonelycat.runtime.conflicts import Explainer, left_alone, merged
from lonelycat.runtime.execution_request import Request
from lonelycat.runtime.free_memory import give_back_memory
from lonelycat.runtime.steps import MACHINE_CODES, ExecutionContext, as_lonelycat_error
from lonelycat.runtime.watching import STEP as WATCH

_FINDS_OUT = frozenset({"restart", "verify", OLD_TESTS, "health", WATCH, CONFIRM})
"""The steps that find out whether a change works; what fails in them puts its digest into quarantine."""
_NOT_THE_CHANGE = (
    frozenset({"INTERRUPTED", "INTERNAL_ERROR", "STANDING_TAMPERED", "CONFIRMATION_ENDED"}) | MACHINE_CODES
)
"""Codes that say nothing about the change, in whatever step."""


class Finisher:
    """Ends one execution and records how.

    Attributes:
        consumed: the approvals that this execution uses up.
        ttl_seconds: how long a completed result answers for a repeat.
        blobs: contents that a revert of this execution needs.
        rollback_seconds: how long restarts and health of a rollback may take.
    """

    def __init__(self, wiring: Wiring, context: ExecutionContext, request: Request) -> None:
        self._wiring = wiring
        self._context = context
        self._request = request
        self.consumed: tuple[GovernanceApproval, ...] = ()
        self.ttl_seconds = 0
        self.blobs: set[str] = set()
        self.rollback_seconds = Constraints().max_rollback_time
        self._due: tuple[PendingRestart, ...] = ()

    def identity(self, healthy_before: set[str]) -> dict[str, object]:
        """Return what recovery needs to record this execution if this process dies."""
        request = self._request
        return {
            "execution_id": self._context.execution_id,
            "plan": request.plan.model_dump(mode="json"),
            "changeset_id": request.changeset.id,
            "checksum": request.changeset.checksum,
            "decision_id": request.decision.id,
            "approvals": [approval.id for approval in self.consumed],
            "ttl_seconds": self.ttl_seconds,
            "started_at": isoformat(self._context.started_at),
            "files_changed": all_to_wire(self._context.changed_paths),
            "healthy_before": sorted(healthy_before),
        }

    # -- refused -------------------------------------------------------------------------------------------------

    def refuse(self, error: LonelyCatError, *, dry_run: bool = False) -> ExecutionResult:
        """End an execution that touched nothing."""
        self._context.move(Status.CONFLICT if isinstance(error, ConflictError) else Status.REJECTED)
        result = self._told(self._context.result(error=error, dry_run=dry_run), conflicts_of(error))
        if dry_run:
            return result
        # What only a person lets through must come before one, whether or not it was applied first.
        failed = self._failed_change(error, frozenset({OLD_TESTS}))
        return self._record(result, self._security_events(error), failed)

    def _security_events(self, error: LonelyCatError) -> list[AuditEvent]:
        if not shows_tampering(error, self._request.changeset):
            return []
        facts = {
            "code": error.code,
            "message": error.message,
            "plan_id": self._request.plan.id,
            "changeset_id": self._request.changeset.id,
            "stated_checksum": self._request.changeset.checksum,
            "actual_checksum": _actual_checksum(self._request.changeset),
        }
        return [AuditEvent(AuditType.SECURITY_TAMPERED, self._request.plan.created_by, facts)]

    # -- rolled back ---------------------------------------------------------------------------------------------

    def roll_back(self, error: LonelyCatError, transaction: Transaction, checks: ServiceChecks) -> ExecutionResult:
        """Take the change back, restart, ask for health again, record.

        Args:
            error: what made it fail.
        """
        context = self._context
        failed = self._failed_change(error)
        context.begin_rollback(self.rollback_seconds)
        report, problems = self._undo(transaction)
        if report is not None:
            aftermath = checks.after_rollback(checks.restarts_begun, self._request.plan.health_checks)
            problems += aftermath.problems
            due = aftermath.due.items()
            self._due = tuple(PendingRestart(name, context.execution_id, why) for name, why in due)
        if report is None or problems:
            return self._rollback_failed(error, problems, failed)
        context.move(Status.CONFLICT if report.conflicts or isinstance(error, ConflictError) else Status.ROLLED_BACK)
        for path, place in report.quarantined:
            context.warn(f"{path} holds somebody else's content, which was left alone; its old content is in {place}")
        told = self._told(context.result(error=error), conflicts_of(error), report)
        result = self._record(told, failed=failed if told.status is Status.ROLLED_BACK else None)
        return self._clean_up(transaction, result)

    def _failed_change(self, error: LonelyCatError, finds_out: Set[str] = _FINDS_OUT) -> FailedChange | None:
        """Return the fact that the change does not work, if the step that failed is one that ``finds_out`` that."""
        step = next((step for step in reversed(self._context.steps) if step.status == "failed"), None)
        if step is None or step.name.partition(":")[0] not in finds_out:
            return None
        if not isinstance(error, StepFailedError) or error.code in _NOT_THE_CHANGE:
            return None
        request = self._request
        return FailedChange(
            request.changeset.checksum, self._context.execution_id, request.plan.id, error.code, error.message
        )

    def _told(
        self, result: ExecutionResult, conflicts: Sequence[Conflict], report: UndoReport | None = None
    ) -> ExecutionResult:
        """Return ``result`` with its conflicts, those that the undo found among them, and what to do about them."""
        changes = self._request.changeset.changes
        left: list[Conflict] = []
        if report is not None and report.conflicts:
            with suppress(LonelyCatError, OSError):
                left = left_alone(self._wiring, changes, report.conflicts, report.quarantined, "rollback")
        if not conflicts and not left:
            return result
        told = Explainer(self._wiring, changes).explain(merged(conflicts, left))
        hint = result.hint.replace("PLAN_ID", result.plan_id)
        return result.model_copy(update={"conflicts": told, "hint": hint})

    def _undo(self, transaction: Transaction) -> tuple[UndoReport | None, list[str]]:
        try:
            with self._context.step("rollback") as step:
                report = transaction.undo()
                step.message = "every path holds its old content again" if report.restored else "see the warnings"
        except (LonelyCatError, OSError) as error:
            return None, [as_lonelycat_error(error).message]
        self._context.rollback_image = report.tree_digest
        if report.restored and report.tree_digest != transaction.intent.pre_image:
            return report, ["the digest of the tree is not that of before the change"]
        return report, list(report.problems)

    def _overtaken(self) -> ExecutionResult | None:
        """Return the end of an execution that another executor has taken over and recorded, or None."""
        try:
            self._refuse_overtaken()
        except StateError as stale:
            self._context.move(Status.INDETERMINATE)
            return self._context.result(error=stale)
        return None

    def _refuse_overtaken(self) -> None:
        wiring, fence = self._wiring, self._context.fence
        with suppress(OSError):  # a workspace that is gone has no fence
            if fence > 0:  # else it never held the workspace
                refuse_overtaken(wiring.filesystem, wiring.settings.workspace, fence)

    def _rollback_failed(
        self, error: LonelyCatError, problems: list[str], failed: FailedChange | None
    ) -> ExecutionResult:
        overtaken = self._overtaken()
        if overtaken is not None:
            return overtaken
        self._context.move(Status.ROLLBACK_FAILED)
        why = "; ".join(problems)
        told = StepFailedError(
            "ROLLBACK_FAILED",
            f"{error.message}; and the rollback failed: {why}",
            "The workspace is frozen and .lonelycat/tx keeps every old content; "
            f"see `lonelycat doctor`, and {runbook.FROZEN}.",
            details={"cause": error.code},
        )
        result = self._record(self._context.result(error=told), failed=failed)
        try:
            self._wiring.records.freeze(f"rollback of {self._context.execution_id} failed: {why}", result.execution_id)
        except (LonelyCatError, OSError) as cannot:  # the transaction directory stays: the next command tries again
            warning = f"the workspace could not be frozen: {as_lonelycat_error(cannot).message}"
            return result.model_copy(update={"warnings": (*result.warnings, warning)})
        return result

    # -- kept ----------------------------------------------------------------------------------------------------

    def commit(self, transaction: Transaction) -> ExecutionResult:
        """Pass the commit point, then record and clean up."""
        context = self._context
        kept = context.result(message=self._summary()).model_copy(update={"status": Status.COMPLETED, "success": True})
        try:
            with context.step("commit"):
                transaction.commit({"result": kept.model_dump(mode="json")})
        except StateError as error:  # overtaken: nothing of this was written, and the next one has decided
            context.move(Status.INDETERMINATE)
            return context.result(error=error)
        except OSError as error:
            context.move(Status.INDETERMINATE)
            cause = as_lonelycat_error(error)
            unknown = StepFailedError(
                "COMMIT_UNKNOWN",
                f"it is not known whether the change is durable: {cause.message}",
                "Run `lonelycat recover`: it looks, and keeps the change or takes it back.",
            )
            return context.result(error=unknown)
        context.move(Status.COMPLETED)
        result = self._record(context.result(message=self._summary()))
        self._adopt_new_policy(result)
        return self._clean_up(transaction, result)

    def _adopt_new_policy(self, result: ExecutionResult) -> None:
        """A policy that was changed on the one path is the one that its approvers stand behind."""
        if self._wiring.settings.policy_names.isdisjoint(result.files_changed):
            return
        with suppress(LonelyCatError, OSError):  # not adopted means that the next change is held: closed by default
            sha256 = self._wiring.policy().loaded.sha256
            by = ", ".join(approval.approved_by for approval in self.consumed) or self._request.plan.created_by
            self._wiring.adopt_policy(sha256, by=by)

    def _summary(self) -> str:
        count = len(self._request.changeset.changes)
        return f"{count} file change{'s' if count != 1 else ''} applied, verified and kept"

    # -- records -------------------------------------------------------------------------------------------------

    def _record(
        self, result: ExecutionResult, events: list[AuditEvent] | None = None, failed: FailedChange | None = None
    ) -> ExecutionResult:
        """Make history, idempotency and audit durable in one database transaction, then write the receipt."""
        wiring, context, request = self._wiring, self._context, self._request
        kept = result.status is Status.COMPLETED
        give_back_memory(request.changeset)  # what staging took
        try:
            self._refuse_overtaken()
            head = wiring.records.finish_execution(
                result,
                plan=request.plan,
                decision_id=request.decision.id,
                consumed_approvals=[approval.id for approval in self.consumed] if kept else [],
                ttl_seconds=self.ttl_seconds,
                events=events or [],
                blobs=self.blobs,
                receipt=context.artifacts is not None,
                failed=failed,
                pending_restarts=self._due,
            )
            self._write_receipt(result, head)
        except (LonelyCatError, OSError) as error:
            warning = f"the result could not be recorded yet: {as_lonelycat_error(error).message}"
            context.warn(warning)
            return result.model_copy(update={"warnings": (*result.warnings, warning)})
        return result

    def _write_receipt(self, result: ExecutionResult, head: AuditHead) -> None:
        artifacts = self._context.artifacts
        if artifacts is None:
            return
        paths = all_to_wire(result.files_changed)
        artifacts.write_json("execution.json", {**result.model_dump(mode="json"), "files_changed": paths})
        give_back_memory(self._request.changeset)  # what recording it took
        write_receipt(
            artifacts,
            self._wiring.signer,
            result=result,
            changeset=self._request.changeset,
            decision=self._request.decision,
            approvals=self._request.approvals,
            audit_head=head,
        )

    def _clean_up(self, transaction: Transaction, result: ExecutionResult) -> ExecutionResult:
        if any(warning.startswith("the result could not be recorded") for warning in result.warnings):
            return result  # the transaction directory stays, so that recovery records it
        try:
            late = transaction.clean_up()
        except (LonelyCatError, OSError) as error:
            late = (f"the transaction directory could not be removed: {as_lonelycat_error(error).message}",)
        return result.model_copy(update={"warnings": (*result.warnings, *late)}) if late else result


def _actual_checksum(changeset: ChangeSet) -> str | None:
    try:
        return checksum_of(changeset.changes)
    except Exception:  # noqa: BLE001 — evidence is written also of what cannot be hashed
        return None
