"""The half of the façade that only looks: judgements that are not kept, what is stored, what the workspace is like.

Invariant: nothing here changes a file of the workspace or what is recorded of a change, whatever it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lonelycat.changes.paths import check_path
from lonelycat.errors import InputError
from lonelycat.lifecycle import Status
from lonelycat.runtime import judging
from lonelycat.runtime.judgement import Judgement
from lonelycat.runtime.requests import ChangeRequest
from lonelycat.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from lonelycat.checks.result import CheckResult
    from lonelycat.records.entries import AuditHead, AuditReport, ExecutionRow, Proposal
    from lonelycat.records.store import Records
    from lonelycat.runtime.bootstrap import Wiring
    from lonelycat.runtime.doctor import Finding
    from lonelycat.runtime.drift import DriftEvent, DriftReport
    from lonelycat.runtime.health import HealthList
    from lonelycat.runtime.overview import ShowReport, StatusReport
    from lonelycat.runtime.pinning import PinsRead
    from lonelycat.runtime.policy_tools import PolicyReport, PolicyTestReport


class Looking:
    """One workspace, to look at."""

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

    # -- judging -------------------------------------------------------------------------------------------------------

    def check(self, request: ChangeRequest, *, rehearse: bool = False) -> Judgement:
        """Judge ``request`` exactly as :meth:`propose` would, and store nothing.

        Args:
            rehearse: also run its verification on it, in a sandbox, unless it is denied.
        """
        return judging.check(self._wiring, request, rehearse=rehearse)

    def check_again(self, plan_id: str, *, rehearse: bool = False) -> Judgement:
        """Judge a stored proposal as of now, and store nothing; see :meth:`check`.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``STORED_CHANGESET_TAMPERED``, ``CONTENT_NOT_KEPT``.
        """
        return judging.check_again(self._wiring, self.proposal(plan_id), rehearse=rehearse)

    def preview(self, plan_id: str) -> bytes:
        """Return the unified diff of a stored proposal against what it was made against."""
        from lonelycat.runtime.overview import preview

        proposal = self.proposal(plan_id)
        return preview(self._wiring, proposal.changeset)

    def policy_explain(self, request: ChangeRequest) -> tuple[Judgement, tuple[str, ...]]:
        """Judge ``request`` and say which rule decided and why."""
        from lonelycat.runtime.policy_tools import explain

        judgement = self.check(request)
        return judgement, explain(self._wiring, judgement.decision)

    # -- what is stored ------------------------------------------------------------------------------------------------

    def proposal(self, plan_id: str) -> Proposal:
        """Return a stored proposal.

        Raises:
            InputError: ``PLAN_UNKNOWN``.
            RefusedError: ``STORED_CHANGESET_TAMPERED``.
        """
        found = self._wiring.records.proposal(plan_id) if self._wiring.has_records else None
        if found is None:
            meant = self._wiring.records.find_plan_id(plan_id) if self._wiring.has_records else None
            hint = "See `lonelycat status`." if meant is None else f"It belongs to {meant}, which is a plan."
            raise InputError("PLAN_UNKNOWN", f"no plan {plan_id} is stored here", hint)
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
        """Return executions, newest first.

        Args:
            path: of a file below the workspace, relative to it.

        Raises:
            PathError: such a path names no file of the workspace.
        """
        if path is not None:
            check_path(path)
        if not self._wiring.has_records:
            return []
        return self._wiring.records.executions(status=status, plan_id=plan_id, path=path, since=since, limit=limit)

    def reverted_among(self, rows: Sequence[ExecutionRow]) -> dict[str, str]:
        """Return which of ``rows`` were taken back, by the execution that did it."""
        from lonelycat.runtime.reverts import reverted_among

        return reverted_among(self._wiring, rows)

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

    def audit_verify(self, expect_head: AuditHead | None = None) -> AuditReport:
        """Verify the whole audit log against itself, history, approvals and receipts.

        Raises:
            InputError: ``NOTHING_RECORDED``.
        """
        return self._recorded().audit_verify(expect_head)

    def audit_export(self) -> Iterator[dict[str, object]]:
        """Yield every audit record in the form that can be verified offline.

        Raises:
            InputError: ``NOTHING_RECORDED``.
        """
        return self._recorded().audit_export()

    def _recorded(self) -> Records:
        if not self._wiring.has_records:
            raise InputError(
                "NOTHING_RECORDED",
                f"nothing was ever recorded in {self._wiring.settings.workspace}",
                "Name the workspace that is meant with -C; `lonelycat init` begins a new one.",
            )
        return self._wiring.records

    # -- what a person types -------------------------------------------------------------------------------------------

    def confirmation_phrase(self, plan_id: str) -> str:
        """Return what a person types at a terminal to approve: bound to exactly this decision.

        Raises:
            InputError: ``PLAN_UNKNOWN``, ``APPROVAL_NOT_NEEDED``.
            RefusedError: ``PLAN_REJECTED``, ``DECISION_DENIED``, ``DECISION_EXPIRED`` or ``POLICY_CHANGED``.
        """
        from lonelycat.runtime.consent import phrase_to_approve

        return phrase_to_approve(self._wiring, self.proposal(plan_id))

    def confirm_phrase(self, execution_id: str) -> str:
        """Return what a person types at a terminal to keep the change of a waiting execution."""
        from lonelycat.runtime.keeping import phrase_to_confirm

        return phrase_to_confirm(self._wiring, execution_id)

    def release_phrase(self, checksum: str) -> str:
        """Return what a person types at a terminal to release a failed change."""
        from lonelycat.runtime.keeping import phrase_to_release

        return phrase_to_release(self._wiring, checksum)

    # -- the workspace, its services and its policy --------------------------------------------------------------------

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

    @staticmethod
    def policy_schema() -> dict[str, object]:
        """Return the JSON Schema of the policy file."""
        from lonelycat.governance.policy_file import json_schema

        return json_schema()

    def read_pins(self, *, base: str | None = None) -> PinsRead:
        """Ask as :meth:`policy_pins` does, and propose nothing."""
        from lonelycat.runtime.pinning import read_workspace_pins

        return read_workspace_pins(self._wiring, base=base)
