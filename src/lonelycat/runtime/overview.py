"""What is going on, what was, and one thing whole: the reading side of the façade.

Invariant: nothing here changes anything, but for ``recover``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lonelycat.changes.changeset import BlobRef, ChangeSet
from lonelycat.changes.diff import DiffEntry, render_diff
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import InputError, LonelyCatError, PolicyError, RefusedError
from lonelycat.executor.execution_lock import HeldLock, LockHolder, LockManager
from lonelycat.executor.recovery import Recovered, RecoveryOutcome, pending_transactions
from lonelycat.governance.policy import Concurrency
from lonelycat.lifecycle import Status
from lonelycat.records.artifacts import RECEIPT, ArtifactDirectory
from lonelycat.records.entries import AwaitedConfirmation, ExecutionRow, Freeze, PendingRestart, Proposal
from lonelycat.runtime import runbook
from lonelycat.runtime.bases import Bases
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.evidence import DIFF, executions_directory
from lonelycat.runtime.pending_restarts import do_pending_restarts, placeholder_context
from lonelycat.runtime.quarantined import Quarantined, quarantined
from lonelycat.runtime.recovering import recover_workspace
from lonelycat.runtime.reverts import Reverts, reverts_of
from lonelycat.runtime.standing import Void, policy_hash, why_void
from lonelycat.runtime.unended import Unended, unended
from lonelycat.runtime.unproven import unproven_but_testable

_RECENT = 5
_MOST_LISTED = 100
"""How many plans of a kind are listed; the others are counted."""
_MOST_LOOKED_FOR = 100
"""How many old texts a preview asks git for: each is a walk through the history of its path."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What is going on in a workspace.

    Attributes:
        holder: the execution that runs now, or None.
        unfinished: transactions of dead executors that wait for recovery.
        quarantined: what lies below ``.lonelycat/quarantine``.
        awaiting_confirmation: what the execution that runs now waits for, or None.
        pending_restarts: restarts that a rollback or recovery owes.
        unproven: health checks that never failed, where the policy says how to test them.
        void: plans that waited or were ready until their decision expired or the policy was changed.
        not_listed: how many older ones there are of ``awaiting_approval``, ``approved`` and ``void``, by that name.
    """

    initialised: bool
    holder: LockHolder | None
    frozen: Freeze | None
    unfinished: tuple[str, ...]
    quarantined: tuple[Quarantined, ...]
    awaiting_approval: tuple[Proposal, ...]
    approved: tuple[Proposal, ...]
    recent: tuple[ExecutionRow, ...]
    awaiting_confirmation: AwaitedConfirmation | None = None
    pending_restarts: tuple[PendingRestart, ...] = ()
    unproven: tuple[str, ...] = ()
    void: tuple[Proposal, ...] = ()
    not_listed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShowReport:
    """One thing whole: a proposal, an execution, or an execution with its proposal.

    Attributes:
        events: of an execution, as they happened.
        logs: of an execution, by step log name.
        awaiting_confirmation: of an execution that runs, what it waits for.
        unfinished: the id of an execution whose process died before it ended; recovery takes it back.
        running: the execution that is shown, or that executes the plan that is shown, where it runs now.
        void: why the plan's decision no longer counts, or None.
        edited: what of an execution's artifacts is not as its receipt has it, in words.
        reverts: of a completed execution, what took it back and what would.
    """

    proposal: Proposal | None
    execution: ExecutionRow | None
    events: tuple[dict[str, Any], ...] = ()
    logs: tuple[tuple[str, bytes], ...] = ()
    awaiting_confirmation: AwaitedConfirmation | None = None
    unfinished: str | None = None
    void: Void | None = None
    edited: tuple[str, ...] = ()
    reverts: Reverts = field(default_factory=Reverts)
    running: LockHolder | None = None


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What recovery found and did, in order; empty when there was nothing.

    Attributes:
        restarted: services whose restart was due, and is done now.
    """

    recovered: tuple[Recovered, ...]
    restarted: tuple[str, ...] = ()


def status(wiring: Wiring) -> StatusReport:
    """Return what is going on."""
    if not wiring.has_records:
        return StatusReport(False, None, None, (), (), (), (), ())
    holder, unfinished = unended(wiring)
    busy = holder.plan_id if holder else None
    waiting, void_waiting = _open_plans(wiring, Status.AWAITING_APPROVAL, busy)
    ready, void_ready = _open_plans(wiring, Status.APPROVED, busy)
    listed, not_listed = _listed(wiring, awaiting_approval=waiting, approved=ready, void=[*void_waiting, *void_ready])
    return StatusReport(
        initialised=True,
        holder=holder,
        frozen=wiring.records.frozen(),
        unfinished=unfinished,
        quarantined=quarantined(wiring),
        awaiting_approval=listed["awaiting_approval"],
        approved=listed["approved"],
        recent=tuple(wiring.records.executions(limit=_RECENT)),
        awaiting_confirmation=_awaited(wiring, holder),
        pending_restarts=tuple(wiring.records.pending_restarts()),
        unproven=_unproven(wiring),
        void=listed["void"],
        not_listed=not_listed,
    )


def _open_plans(wiring: Wiring, status: Status, busy: str | None) -> tuple[list[str], list[str]]:
    """Return the plans in ``status`` that count and those that are void, newest first; ``busy`` is being executed."""
    now, policy = wiring.clock.now(), policy_hash(wiring)
    counting: list[str] = []
    void: list[str] = []
    for plan in wiring.records.open_plans(status):
        if plan.plan_id != busy:
            (void if why_void(plan, now, policy) else counting).append(plan.plan_id)
    return counting, void


def _listed(wiring: Wiring, **plan_ids: list[str]) -> tuple[dict[str, tuple[Proposal, ...]], dict[str, int]]:
    """Return the first of each list whole, and how many more each has: to read a proposal takes its change set too."""
    listed = {name: tuple(wiring.records.proposals_of(found[:_MOST_LISTED])) for name, found in plan_ids.items()}
    return listed, {name: len(found[_MOST_LISTED:]) for name, found in plan_ids.items()}


def _unproven(wiring: Wiring) -> tuple[str, ...]:
    with suppress(PolicyError):  # which `doctor` tells, and every command that needs the policy
        return unproven_but_testable(wiring)
    return ()


def _awaited(wiring: Wiring, holder: LockHolder | None) -> AwaitedConfirmation | None:
    """Return what the holder of the workspace waits for, if it lives and nothing was said yet."""
    if holder is None or holder.execution_id is None:
        return None
    asked = wiring.records.awaited_confirmation(holder.execution_id)
    return None if asked is None or asked.answer is not None else asked


def show(wiring: Wiring, identifier: str) -> ShowReport:
    """Return what ``identifier`` (of a plan, change set, decision, approval or execution) stands for."""
    if not wiring.has_records:
        raise _unknown(identifier)
    row = wiring.records.execution(identifier)
    asked = wiring.records.awaited_confirmation(identifier) if row is None else None
    if asked is not None:
        artifacts = ArtifactDirectory(executions_directory(wiring), identifier)
        proposal = wiring.records.proposal(asked.plan_id)
        question, dead = (asked, None) if unended(wiring).runs(identifier) else (None, identifier)
        return ShowReport(proposal, None, _events(artifacts), _logs(artifacts), question, dead)
    plan_id = row.result.plan_id if row else wiring.records.find_plan_id(identifier)
    proposal = wiring.records.proposal(plan_id) if plan_id else None
    there = unended(wiring)
    if row is None and proposal is None:
        return _show_unended(wiring, identifier, there)
    void = None if proposal is None else why_void(proposal.decision, wiring.clock.now(), policy_hash(wiring))
    if row is None:
        found = wiring.records.executions(plan_id=plan_id, limit=1)
        newest = found[0] if found else None
        runs = there.holder if there.holder is not None and there.holder.plan_id == plan_id else None
        return ShowReport(proposal, newest, void=void, reverts=_reverts(wiring, newest), running=runs)
    artifacts = ArtifactDirectory(executions_directory(wiring), identifier)
    events, logs, edited = _events(artifacts), _logs(artifacts), _edited(wiring, artifacts)
    return ShowReport(proposal, row, events, logs, void=void, edited=edited, reverts=_reverts(wiring, row))


def _show_unended(wiring: Wiring, identifier: str, there: Unended) -> ShowReport:
    if not there.has(identifier):
        raise _unknown(identifier)
    artifacts = ArtifactDirectory(executions_directory(wiring), identifier)
    events, logs = _events(artifacts), _logs(artifacts)
    if there.holder is None or not there.runs(identifier):
        return ShowReport(None, None, events, logs, unfinished=identifier)
    proposal = wiring.records.proposal(there.holder.plan_id) if there.holder.plan_id else None
    return ShowReport(proposal, None, events, logs, running=there.holder)


def _reverts(wiring: Wiring, row: ExecutionRow | None) -> Reverts:
    if row is None or row.result.status is not Status.COMPLETED:
        return Reverts()
    return reverts_of(wiring, row.result.execution_id)


def _edited(wiring: Wiring, artifacts: ArtifactDirectory) -> tuple[str, ...]:
    """Return what is not as signed; nothing for an execution that has no receipt yet, which `audit verify` tells."""
    from lonelycat.records.receipts import verify_receipt

    if RECEIPT not in artifacts.names():
        return ()
    return verify_receipt(artifacts, wiring.signer.public_key)


def _diff_left(wiring: Wiring, execution_id: str) -> bytes:
    """Return the diff that an execution left.

    Raises:
        InputError: ``ARTIFACT_MISSING``.
        RefusedError: ``ARTIFACT_TAMPERED``.
    """
    artifacts = ArtifactDirectory(executions_directory(wiring), execution_id)
    data = artifacts.read(DIFF)
    edited = [problem for problem in _edited(wiring, artifacts) if problem.startswith((DIFF, "receipt.json"))]
    if edited:
        raise RefusedError(
            "ARTIFACT_TAMPERED",
            f"the diff of {execution_id} is not as it was signed: {'; '.join(edited)}",
            f"It lies in {executions_directory(wiring) / execution_id}; `lonelycat audit verify` says what else was "
            f"edited; {runbook.ALTERED}.",
        )
    return data


def _unknown(identifier: str) -> InputError:
    return InputError("ID_UNKNOWN", f"nothing with the id {identifier[:80]!r} is kept here", "See `lonelycat log`.")


def _events(artifacts: ArtifactDirectory) -> tuple[dict[str, Any], ...]:
    import json

    try:
        lines = artifacts.read("events.jsonl").splitlines()
    except InputError:
        return ()
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            events.append({"type": "unreadable"})
    return tuple(events)


def _logs(artifacts: ArtifactDirectory) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, artifacts.read(name)) for name in artifacts.names() if name.startswith("steps/"))


def diff(wiring: Wiring, identifier: str) -> bytes:
    """Return the diff of an execution, or of a proposal."""
    if not wiring.has_records:
        raise _unknown(identifier)
    records = wiring.records
    if records.execution(identifier) is not None or records.awaited_confirmation(identifier) is not None:
        return _diff_left(wiring, identifier)
    plan_id = wiring.records.find_plan_id(identifier)
    proposal = wiring.records.proposal(plan_id) if plan_id else None
    if proposal is None:
        raise _unknown(identifier)
    if proposal.execution_id is not None and proposal.execution_status is Status.COMPLETED:
        with suppress(InputError):  # its artifacts are gone: it is made anew
            return _diff_left(wiring, proposal.execution_id)
    return preview(wiring, proposal.changeset)


def preview(wiring: Wiring, changeset: ChangeSet) -> bytes:
    """Return the diff that ``changeset`` would make; a side that is not at hand is named by its hash.

    An old text that the workspace no longer holds is looked for among those that were kept, and in git.
    """
    contents, bases, looked_for = wiring.contents(wiring.policy()), Bases(wiring), 0
    entries = []
    for change in changeset.changes:
        old: bytes | BlobRef | None = None
        if change.old_hash is not None:
            try:
                data, sha256 = contents.read(change.old_path or change.path)
            except (LonelyCatError, OSError):
                data, sha256 = None, None
            if data is None or sha256 != change.old_hash:
                looked_for += 1
                data = bases.old(change) if looked_for <= _MOST_LOOKED_FOR else None
            old = BlobRef(sha256=change.old_hash, size=0) if data is None else data
        new: bytes | BlobRef | None = None
        if change.new_hash is not None:
            new = contents.new(change) if change.content is not None else old
            new = BlobRef(sha256=change.new_hash, size=change.new_size or 0) if new is None else new
        entries.append(DiffEntry(change.path, old, new, change.old_mode, change.new_mode, change.old_path))
    return render_diff(entries)


def recover(wiring: Wiring, lock_timeout: float | None) -> RecoveryReport:
    """Recover under the lock, waiting for it as any execution does; a policy that cannot be loaded is no hindrance."""
    if not wiring.has_records and not pending_transactions(wiring.filesystem, wiring.settings.workspace):
        return RecoveryReport(())
    timeout = Concurrency().lock_timeout if lock_timeout is None else lock_timeout
    with suppress(PolicyError):
        if lock_timeout is None:
            timeout = wiring.policy().loaded.policy.executor.concurrency.lock_timeout
    manager = LockManager(
        wiring.settings.workspace,
        timeout,
        clock=wiring.clock,
        filesystem=wiring.filesystem,
        known_fence=wiring.recorded_fence,
    )
    recovery_id = wiring.ids.new("exec")
    with manager.lock_execution(recovery_id, "plan_recovery") as held:
        recovered = tuple(recover_workspace(wiring, held))
        if any(item.outcome is RecoveryOutcome.FAILED for item in recovered):  # what is due was tried just now
            return RecoveryReport(recovered)
        return RecoveryReport(recovered, _restart_what_is_due(wiring, held, recovery_id))


def _restart_what_is_due(wiring: Wiring, held: HeldLock, recovery_id: str) -> tuple[str, ...]:
    if not wiring.has_records:
        return ()
    if not wiring.records.pending_restarts():
        return ()
    plan = ChangePlan.new(intent="restart what is due", created_by="lonelycat")
    context = placeholder_context(wiring, recovery_id, plan)
    return do_pending_restarts(wiring, held, context, wiring.policy().loaded.policy)
