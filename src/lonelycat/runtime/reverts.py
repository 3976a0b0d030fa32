"""What took an execution back, and what would: the executions and open plans that are exactly its inverse.

Invariants:
- A revert is told by what it does and whom it answers to (``is_revert``), not by what it calls itself; only sealed
  records count, and what they no longer say is not guessed.
- A revert that was itself reverted took nothing back. However often a change goes to and fro, its history is walked
  step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

from lonelycat.changes.changeset import checksum_of
from lonelycat.clock import isoformat
from lonelycat.errors import LonelyCatError
from lonelycat.lifecycle import Status
from lonelycat.records.entries import ExecutionRow, Proposal
from lonelycat.records.execution import ExecutionResult
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.inverses import inverse_changes
from lonelycat.runtime.standing import policy_hash, why_void


@dataclass(frozen=True, slots=True)
class Reverts:
    """Where the reverts of one execution stand.

    Attributes:
        done: the execution that took it back, the last one where it went to and fro; None while it stands.
        proposed: plans that would take it back, were not executed and still count; newest first.
    """

    done: ExecutionRow | None = None
    proposed: tuple[Proposal, ...] = ()


def reverts_of(wiring: Wiring, execution_id: str) -> Reverts:
    """Return where the reverts of a completed execution stand; none where its inverse cannot be read."""
    checksum = _inverse_checksum(wiring, execution_id)
    if checksum is None:
        return Reverts()
    return Reverts(_last_of_an_odd_number(wiring, execution_id, checksum), _proposed(wiring, execution_id, checksum))


def told_if_reverted(wiring: Wiring, result: ExecutionResult) -> ExecutionResult:
    """Return the recorded result of a change that is asked for again, with a word on it if it was reverted since."""
    done = reverts_of(wiring, result.execution_id).done
    if done is None:
        return result
    revert_id, at = done.result.execution_id, isoformat(done.result.finished_at)
    warning = f"the change was reverted since, by {revert_id} at {at}"
    hint = f"To put the change back, revert the revert: `lonelycat revert {revert_id}`."
    return result.model_copy(update={"warnings": (*result.warnings, warning), "hint": hint})


def _last_of_an_odd_number(wiring: Wiring, execution_id: str, checksum: str) -> ExecutionRow | None:
    """Follow the revert, the revert of that, and so on: after an even number of them the change is in place again."""
    last, is_reverted = None, False
    following: str | None = checksum
    while following is not None and (found := _newest_revert(wiring, execution_id, following)) is not None:
        last, is_reverted, execution_id = found, not is_reverted, found.result.execution_id
        following = _inverse_checksum(wiring, execution_id)
    return last if is_reverted else None


def _inverse_checksum(wiring: Wiring, execution_id: str) -> str | None:
    try:
        return checksum_of(inverse_changes(wiring.records, execution_id))
    except (LonelyCatError, OSError):  # nobody can tell what takes it back
        return None


def _newest_revert(wiring: Wiring, execution_id: str, checksum: str) -> ExecutionRow | None:
    for row in wiring.records.executions(status=Status.COMPLETED, checksum=checksum, limit=None):
        found = wiring.records.proposals_of([row.result.plan_id]) if row.intact else []
        if found and found[0].plan.parent_execution_id == execution_id:
            return row
    return None


def _proposed(wiring: Wiring, execution_id: str, checksum: str) -> tuple[Proposal, ...]:
    now, policy = wiring.clock.now(), policy_hash(wiring)
    found = [
        plan.plan_id
        for status in (Status.AWAITING_APPROVAL, Status.APPROVED)
        for plan in wiring.records.open_plans(status, checksum)
        if why_void(plan, now, policy) is None
    ]
    mine = [one for one in wiring.records.proposals_of(found) if one.plan.parent_execution_id == execution_id]
    return tuple(sorted(mine, key=lambda proposal: proposal.created_at, reverse=True))
