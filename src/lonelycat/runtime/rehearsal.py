"""Verification before anything is touched: the change is put in place in a sandbox, and the profiles run there.

Invariants:
- The base is looked at as the real run does (``executor/staging.py``), with the same conflicts; bytes and modes are
  those that the executor would write.
- Nothing is written to the workspace or the state. The contents go along in a file without a name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import IO, TYPE_CHECKING, NamedTuple

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.checks.result import CheckResult
from lonelycat.checks.sandbox.spec import Operation, Rehearsal
from lonelycat.checks.verifier import Rehearsed
from lonelycat.errors import LonelyCatError, RefusedError
from lonelycat.executor.operations import FileOperation, plan_operations
from lonelycat.executor.staging import BlobOpener, check_base, check_written, permissions_of
from lonelycat.executor.tree import Found, PinnedTree
from lonelycat.governance.policy import Verdict
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.checking import ServiceChecks, validate_named
from lonelycat.runtime.findings import redacted
from lonelycat.runtime.steps import ExecutionContext, as_lonelycat_error

if TYPE_CHECKING:
    from lonelycat.changes.changeset import ChangeSet
    from lonelycat.changes.plan import ChangePlan
    from lonelycat.governance.decision import GovernanceDecision
    from lonelycat.governance.policy import Policy

STEP = "rehearse"


class RehearsalReport(NamedTuple):
    """What a rehearsal came to.

    Attributes:
        error: why it failed, or None.
        checks: what each profile found, up to the first that failed; secrets in it are masked.
    """

    error: LonelyCatError | None
    checks: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every profile of the plan passed, of which there is at least one."""
        return self.error is None and bool(self.checks)


def rehearse(
    context: ExecutionContext, checks: ServiceChecks, names: Iterable[str], wiring: Wiring, open_blob: BlobOpener
) -> None:
    """Run the profiles ``names`` on the workspace as the change would make it, each on a tree of its own.

    Raises:
        StepFailedError: with the code of the first that failed.
        ConflictError, RefusedError: the change cannot be applied; as the real run would say.
    """
    changes = context.changeset.changes
    with tempfile.TemporaryFile(prefix="lonelycat-rehearsal-") as contents:
        with context.step(STEP) as step:
            with PinnedTree(wiring.filesystem, wiring.settings.workspace, wiring.settings.limits.chunk_bytes) as tree:
                rehearsal = put_together(tree, changes, contents, open_blob)
            step.message = "the base is as it has to be; the change is put in place in a sandbox only"
        checks.verify(names, STEP, Rehearsed(rehearsal, contents.fileno()))
    context.verification_passed = True


def rehearse_alone(
    wiring: Wiring,
    plan: ChangePlan,
    changeset: ChangeSet,
    decision: GovernanceDecision,
    policy: Policy,
    open_blob: BlobOpener,
) -> RehearsalReport:
    """Rehearse a change outside of an execution: nothing is stored, and no lock is taken.

    What the gate denied is not run, not even in a sandbox.
    """
    why = _not_rehearsed(plan, decision)
    if why is not None:
        return RehearsalReport(why, ())
    context = ExecutionContext("rehearsal", plan, changeset, wiring.clock)
    constraints = policy.executor.constraints
    context.deadline = wiring.clock.monotonic() + constraints.max_execution_time
    context.step_seconds = constraints.max_step_time
    checks = ServiceChecks(wiring, context, policy, -1)
    try:
        validate_named(plan, policy)
        rehearse(context, checks, plan.verification_plan, wiring, open_blob)
    except (LonelyCatError, OSError) as error:
        return RehearsalReport(as_lonelycat_error(error), tuple(map(redacted, checks.verified)))
    return RehearsalReport(None, tuple(map(redacted, checks.verified)))


def _not_rehearsed(plan: ChangePlan, decision: GovernanceDecision) -> LonelyCatError | None:
    if decision.verdict is Verdict.DENY:
        return RefusedError("REHEARSAL_DENIED", "a denied change is not run", "Change what the reasons name.")
    if not plan.verification_plan:
        return RefusedError(
            "REHEARSAL_EMPTY",
            "the plan names no verification profile, so nothing was rehearsed",
            "Give the policy one.",
        )
    return None


# -- putting together what the sandbox is told ------------------------------------------------------------------------


def put_together(
    tree: PinnedTree, changes: Sequence[FileChange], contents: IO[bytes], open_blob: BlobOpener
) -> Rehearsal:
    """Return what the sandbox is told of ``changes``, and write their new contents to ``contents``.

    Raises:
        ConflictError: the base is not what the change was made against.
        RefusedError: an object that cannot be changed; a content that is not what was approved.
    """
    plan = plan_operations(changes)
    found = check_base(tree, plan.operations)
    by_path = {operation.path: operation for operation in plan.operations}

    def translated(operation: FileOperation) -> Operation:
        return _translated(operation, by_path, found, contents, open_blob)

    early, rest = tuple(map(translated, plan.early)), tuple(map(translated, plan.rest))
    contents.flush()
    size = os.fstat(contents.fileno()).st_size
    size += sum(found[each.copied_from].status.st_size for each in rest if each.copied_from is not None)
    return Rehearsal(early, plan.rooms, plan.parents, rest, plan.prunable, size)


def _translated(
    operation: FileOperation,
    by_path: dict[str, FileOperation],
    found: dict[str, Found],
    contents: IO[bytes],
    open_blob: BlobOpener,
) -> Operation:
    new = operation.new
    if new is None:
        return Operation(operation.path, "delete")
    source = None if operation.source is None else by_path[operation.source]
    replaced = None if source is None else found.get(source.path)
    offset, size, copied_from = contents.tell(), 0, None
    if operation.content is None and source is not None:
        copied_from = source.path
    else:
        size = _write_content(operation, contents, open_blob)
    if new.is_link:
        return Operation(operation.path, "link", offset, size, copied_from)
    owner = None
    if replaced is not None and not replaced.identity.is_link:
        owner = (replaced.status.st_uid, replaced.status.st_gid)
    return Operation(operation.path, "file", offset, size, copied_from, permissions_of(new, replaced), owner)


def _write_content(operation: FileOperation, contents: IO[bytes], open_blob: BlobOpener) -> int:
    digest, size = sha256(), 0
    for data in _content(operation, open_blob):
        digest.update(data)
        size += len(data)
        contents.write(data)
    check_written(operation, digest.hexdigest(), size)
    return size


def _content(operation: FileOperation, open_blob: BlobOpener) -> Iterable[bytes]:
    if isinstance(operation.content, BlobRef):
        return open_blob(operation.content)
    return (operation.content or b"",)
