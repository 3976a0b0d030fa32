"""Revert: the inverse of a completed execution, as a change set like any other."""

from __future__ import annotations

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.conflict import conflict_error
from lonelycat.changes.paths import printable
from lonelycat.changes.plan import ChangePlan
from lonelycat.clock import isoformat
from lonelycat.errors import InputError, RefusedError
from lonelycat.executor.conflicts import difference
from lonelycat.executor.operations import FileOperation, ancestors, plan_operations
from lonelycat.executor.tree import PinnedTree
from lonelycat.governance.policy import Verdict
from lonelycat.lifecycle import Status
from lonelycat.records.entries import ExecutionRow, Proposal
from lonelycat.records.receipts import verify_receipt
from lonelycat.runtime import judging
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.conflicts import explained
from lonelycat.runtime.inverses import inverse_changes
from lonelycat.runtime.judgement import Judgement
from lonelycat.runtime.presence import A_DIRECTORY, Presence, look_at
from lonelycat.runtime.reverts import Reverts, reverts_of
from lonelycat.runtime.unended import unended


def revert(wiring: Wiring, execution_id: str, *, by: str, intent: str | None) -> Judgement:
    """Keep what takes a completed execution back as a proposal; one that a person has to approve is not kept twice.

    Returns:
        The judgement on it, or that on the newest such proposal which waits for a person, or has their yes. Its
        explanation says what else would take the execution back, a sentence for each plan that is open.

    Raises:
        InputError: ``EXECUTION_UNKNOWN``, ``NOT_COMPLETED``, ``ALREADY_REVERTED``, ``NOTHING_TO_REVERT``,
            ``ARTIFACT_MISSING``, ``INVERSE_DAMAGED``.
        ConflictError: ``FILE_MISSING``: a file that it made is gone.
        RefusedError: ``INVERSE_TAMPERED``.
    """
    row = wiring.records.execution(execution_id) if wiring.has_records else None
    if row is None:
        raise _unknown(wiring, execution_id)
    if row.result.status is not Status.COMPLETED:
        raise InputError(
            "NOT_COMPLETED",
            f"{execution_id} ended as {row.result.status}; nothing of it is in place",
            "Only a completed execution can be reverted.",
        )
    problems = verify_receipt(wiring.records.artifacts(execution_id), wiring.signer.public_key)
    if problems or not row.intact:
        raise RefusedError(
            "INVERSE_TAMPERED",
            f"what {execution_id} left behind is not as it was signed: {'; '.join(problems) or 'its history row'}",
            "Revert by hand; `lonelycat audit verify` says what was edited.",
        )
    changes = inverse_changes(wiring.records, execution_id)
    reverts = reverts_of(wiring, execution_id)
    _refuse_reverted(wiring, execution_id, reverts, changes)
    _refuse_what_is_undone(wiring, execution_id, changes)
    told = tuple(map(_where_it_stands, reverts.proposed))
    for one in reverts.proposed:
        if one.decision.verdict is Verdict.NEED_APPROVAL:
            return Judgement(one.plan, one.changeset, one.decision, one.status, told, stored=True)
    judgement = judging.keep(wiring, *_inverse(wiring, row, changes, by=by, intent=intent))
    return judgement._replace(explanation=(*judgement.explanation, *told))


def _inverse(
    wiring: Wiring, row: ExecutionRow, changes: list[FileChange], *, by: str, intent: str | None
) -> tuple[ChangePlan, ChangeSet]:
    execution_id = row.result.execution_id
    earlier = wiring.records.proposal(row.result.plan_id)
    what = earlier.plan.intent if earlier else execution_id
    return wiring.planner(wiring.policy()).plan(
        intent=intent or f"Revert: {what}"[:2000],
        rationale=f"Takes back {execution_id}.",
        created_by=by,
        changes=changes,
        parent_execution_id=execution_id,
    )


def _unknown(wiring: Wiring, identifier: str) -> InputError:
    if wiring.has_records and unended(wiring).has(identifier):
        return InputError(
            "NOT_COMPLETED",
            f"{identifier} has not ended yet",
            f"`lonelycat show {identifier}` tells whether it runs.",
        )
    plan_id = wiring.records.find_plan_id(identifier) if wiring.has_records else None
    done = wiring.records.executions(status=Status.COMPLETED, plan_id=plan_id, limit=1) if plan_id else []
    hint = f"The change of its plan was kept by {done[0].result.execution_id}." if done else "See `lonelycat log`."
    return InputError("EXECUTION_UNKNOWN", f"no execution {identifier} is known here", hint)


def _where_it_stands(proposal: Proposal) -> str:
    plan = proposal.plan
    waits = proposal.status is Status.AWAITING_APPROVAL
    next_one = f"waits for a person: lonelycat approve {plan.id}" if waits else f"is ready: lonelycat execute {plan.id}"
    return f"The same revert was proposed before, by {plan.created_by}, and {next_one}"


def _refuse_reverted(wiring: Wiring, execution_id: str, reverts: Reverts, changes: list[FileChange]) -> None:
    """Refuse an execution that was reverted, unless its change is in place again, whoever made it."""
    done = reverts.done
    if done is None or _is_in_place(wiring, changes):
        return
    revert_id, at = done.result.execution_id, isoformat(done.result.finished_at)
    raise InputError(
        "ALREADY_REVERTED",
        f"{execution_id} was reverted by {revert_id} at {at}; its change is not in place",
        f"To put the change back, revert the revert: `lonelycat revert {revert_id}`.",
        details={"reverted_by": revert_id, "reverted_at": at},
    )


def _refuse_what_is_undone(wiring: Wiring, execution_id: str, inverse: list[FileChange]) -> None:
    """Refuse to take back what somebody has taken back by hand: all of it, or a file that would have to go."""
    seen = _seen(wiring, inverse)
    above = {directory for operation, _ in seen if operation.new is not None for directory in ancestors(operation.path)}

    def is_undone(operation: FileOperation, there: Presence) -> bool:
        has_its_directory = there.words == A_DIRECTORY and operation.path in above
        return there.identity == operation.new and (there.state in ("file", "absent") or has_its_directory)

    if all(is_undone(*each) for each in seen):
        raise InputError(
            "NOTHING_TO_REVERT",
            f"nothing of {execution_id} is left: every path of it holds what it held before",
            "Somebody undid it by hand; nothing more has to be done.",
        )
    gone = [operation for operation, there in seen if operation.new is None and there.state == "absent"]
    if gone:
        first = printable(gone[0].path)
        raise explained(
            wiring,
            conflict_error(
                [difference(operation.path, "FILE_MISSING", operation.old, None) for operation in gone],
                f"{first}, which {execution_id} made, is gone already: nothing is left to undo for it",
                "A revert takes back all of an execution or nothing: put back what is gone, as "
                f"`lonelycat diff {execution_id}` has it, and revert again, or undo the rest by a change of your own.",
            ),
        )


def _is_in_place(wiring: Wiring, inverse: list[FileChange]) -> bool:
    """Tell whether every file is as the inverse takes it; what else is in its way is for the executor to say."""
    return all(there.identity == operation.old for operation, there in _seen(wiring, inverse))


def _seen(wiring: Wiring, inverse: list[FileChange]) -> list[tuple[FileOperation, Presence]]:
    settings = wiring.settings
    with PinnedTree(wiring.filesystem, settings.workspace, settings.limits.chunk_bytes) as tree:
        return [(operation, look_at(tree, operation.path)) for operation in plan_operations(inverse).operations]
