"""What took an execution back, and what would: the executions and open plans that are exactly its inverse.

Invariants:
- A revert is told by what it does and whom it answers to (``is_revert``), not by what it calls itself; only sealed
  records count, and what they no longer say is not guessed.
- A revert that was itself reverted took nothing back. However often a change goes to and fro, its history is walked
  step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    return Reverts(_Steps(wiring).last_of_an_odd_number(execution_id), _proposed(wiring, execution_id, checksum))


def reverted_among(wiring: Wiring, rows: Sequence[ExecutionRow]) -> dict[str, str]:
    """Return which of ``rows`` were taken back, by the execution that did it; see :attr:`Reverts.done`."""
    completed = [row.result.execution_id for row in rows if row.result.status is Status.COMPLETED]
    if not completed:
        return {}
    parents, steps = wiring.records.parents(), _Steps(wiring)
    done = {one: steps.last_of_an_odd_number(one) for one in completed if one in parents}
    return {one: row.result.execution_id for one, row in done.items() if row is not None}


def told_if_reverted(wiring: Wiring, result: ExecutionResult) -> ExecutionResult:
    """Return the recorded result of a change that is asked for again, with a word on it if it was reverted since."""
    done = _Steps(wiring).last_of_an_odd_number(result.execution_id)
    if done is None:
        return result
    revert_id, at = done.result.execution_id, isoformat(done.result.finished_at)
    warning = f"the change was reverted since, by {revert_id} at {at}"
    hint = f"To put the change back, revert the revert: `lonelycat revert {revert_id}`."
    return result.model_copy(update={"warnings": (*result.warnings, warning), "hint": hint})


class _Steps:
    """The steps from an execution to its revert, to the revert of that, and so on; each is looked up once."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._newest: dict[str, ExecutionRow | None] = {}

    def last_of_an_odd_number(self, execution_id: str) -> ExecutionRow | None:
        """Follow the steps to their end: after an even number of them the change is in place again."""
        last, is_reverted = None, False
        while (found := self._newest_revert(execution_id)) is not None:
            last, is_reverted, execution_id = found, not is_reverted, found.result.execution_id
        return last if is_reverted else None

    def _newest_revert(self, execution_id: str) -> ExecutionRow | None:
        if execution_id not in self._newest:
            self._newest[execution_id] = self._look_up(execution_id)
        return self._newest[execution_id]

    def _look_up(self, execution_id: str) -> ExecutionRow | None:
        records, checksum = self._wiring.records, _inverse_checksum(self._wiring, execution_id)
        if checksum is None:
            return None
        for row in records.executions(status=Status.COMPLETED, checksum=checksum, limit=None):
            found = records.proposals_of([row.result.plan_id]) if row.intact else []
            if found and found[0].plan.parent_execution_id == execution_id:
                return row
        return None


def _inverse_checksum(wiring: Wiring, execution_id: str) -> str | None:
    try:
        return checksum_of(inverse_changes(wiring.records, execution_id))
    except (LonelyCatError, OSError):  # nobody can tell what takes it back
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
