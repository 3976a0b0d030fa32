"""Rebase: a stored proposal's change on today's content, as a plan and a change set like any other.

Invariants:
- The new plan has ids of its own, the old one's intent, wishes and author, and no approval; the gate judges it anew.
- Its author stays: whoever rebases a change does not become its author, so that the author still cannot approve it.
- Either every change of the set applies, or there is a CONFLICT that names each one that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lonelycat.changes.changeset import ChangeSet, FileChange, Operation
from lonelycat.changes.conflict import Conflict, conflict_error
from lonelycat.changes.plan import ChangePlan
from lonelycat.changes.rebase import Present, Rebased, rebase_change
from lonelycat.executor.tree import PinnedTree
from lonelycat.records.entries import Proposal
from lonelycat.runtime.bases import Bases, has_hunks
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.conflicts import Explainer
from lonelycat.runtime.ended import refuse_ended
from lonelycat.runtime.presence import A_DIRECTORY, TextSink, git_mode_of, look_at

if TYPE_CHECKING:
    from lonelycat.runtime.judgement import Judgement

_DELETE, _RENAME = Operation.DELETE, Operation.RENAME
_HINT = "Make the change again from the present files: nothing of it was stored."


@dataclass(frozen=True, slots=True)
class RebasedChange:
    """What became of one change, for the report.

    Attributes:
        how: ``as_it_was``, ``moved`` or ``already_there``.
        offsets: of each hunk, by how many lines it stands further down than it did.
    """

    path: str
    how: str
    offsets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RebaseReport:
    """What a rebase came to.

    Attributes:
        rebased_from: the old plan.
        judgement: of the new one; None where all of the change is there already, and nothing was proposed.
    """

    rebased_from: str
    judgement: Judgement | None
    changes: tuple[RebasedChange, ...]


def rebase(wiring: Wiring, proposal: Proposal) -> tuple[ChangePlan | None, ChangeSet | None, tuple[RebasedChange, ...]]:
    """Return ``proposal`` on today's content: the new plan and change set, or None where all of it is there already.

    Raises:
        ConflictError: what does not apply, with file, hunk and line.
        RefusedError: ``PLAN_REJECTED``, ``CONTENT_NOT_KEPT``.
    """
    refuse_ended(proposal)
    changes = proposal.changeset.changes
    results: list[Rebased] = []
    conflicts: list[Conflict] = []
    bases = Bases(wiring)
    limits = wiring.settings.limits
    with PinnedTree(wiring.filesystem, wiring.settings.workspace, limits.chunk_bytes) as tree:
        for change in changes:
            found = _one(change, bases, tree, changes)
            if isinstance(found, Rebased):
                results.append(found)
            else:
                conflicts += found
    if conflicts:
        explained = Explainer(wiring, changes).explain(conflicts)
        raise conflict_error(explained, _sentence(explained[0]), _HINT)
    report = tuple(RebasedChange(item.path, item.how, item.offsets) for item in results)
    wanted = [item.change for item in results if item.change is not None]
    if not wanted:
        return None, None, report
    return *_planned(wiring, proposal, wanted), report


def _one(change: FileChange, bases: Bases, tree: PinnedTree, changes: Sequence[FileChange]) -> Rebased | list[Conflict]:
    def look(path: str) -> Present | str | None:
        text = TextSink()
        there = look_at(tree, path, text.take)
        if there.state == "absent" or (there.words == A_DIRECTORY and _makes_room(path, changes)):
            return None
        if there.identity is None:
            return there.words
        return Present(there.identity.sha256, git_mode_of(there.identity), text.data)

    old = bases.old(change) if has_hunks(change) else None
    return rebase_change(change, old, bases.new(change) if old is not None else None, look)


def _makes_room(path: str, changes: Sequence[FileChange]) -> bool:
    """Whether the directory in the place of ``path`` may go away with what the change set takes out of it."""
    going = (change.old_path or change.path for change in changes if change.operation in (_DELETE, _RENAME))
    return any(other.startswith(path + "/") for other in going)


def _planned(wiring: Wiring, proposal: Proposal, changes: Sequence[FileChange]) -> tuple[ChangePlan, ChangeSet]:
    """Return a new plan with the old one's wishes; what the policy asks for today is added to them."""
    old = proposal.plan
    plan = ChangePlan.new(
        intent=old.intent,
        created_by=old.created_by,
        objective=old.objective,
        rationale=f"{old.rationale}\nRebased from {old.id}.".strip()[:20_000],
        affected_paths=sorted({path for change in changes for path in change.paths}),
        dependencies=old.dependencies,
        risk_level_proposed=old.risk_level_proposed,
        verification_plan=old.verification_plan,
        health_checks=old.health_checks,
        services=old.services,
        confidence=old.confidence,
        run_id=old.run_id,
        correlation_id=old.correlation_id or old.id,
        parent_execution_id=old.parent_execution_id or proposal.execution_id,
        clock=wiring.clock,
        ids=wiring.ids,
    )
    changeset = ChangeSet.build(
        plan_id=plan.id,
        changes=changes,
        generated_by=old.created_by,
        id=wiring.ids.new("cs"),
        generated_at=plan.created_at,
    )
    return wiring.planner(wiring.policy()).complete(plan, changeset), changeset


def _sentence(conflict: Conflict) -> str:
    if conflict.hunk is not None:
        where = f"hunk {conflict.hunk} does not apply at line {conflict.line}"
        return f"{conflict.path}: {where}: expected {conflict.expected}, found {conflict.found}"
    return f"{conflict.path}: expected {conflict.expected}, found {conflict.found}"
