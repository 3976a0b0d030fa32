"""Verification before anything is touched: the change is put in place in a sandbox, and the profiles run there.

Invariants:
- What the sandbox puts in place is the executor's change (``overlay.py``).
- Nothing is written to the workspace or the state. The contents go along in a file without a name.
- A change that rewrites tests is held to the tests as they were (``old_tests.py``) here too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from lonelycat.checks.result import CheckResult
from lonelycat.checks.verifier import Rehearsed
from lonelycat.errors import LonelyCatError, RefusedError
from lonelycat.executor.new_files import BlobOpener
from lonelycat.executor.tree import PinnedTree
from lonelycat.governance.policy import Verdict
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.checking import ServiceChecks, validate_named
from lonelycat.runtime.findings import redacted
from lonelycat.runtime.old_tests import OldTests
from lonelycat.runtime.overlay import put_together
from lonelycat.runtime.steps import REHEARSAL, ExecutionContext, as_lonelycat_error

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
        old_tests: what those that counted tests found by the tests as they were, where the change rewrites tests.
    """

    error: LonelyCatError | None
    checks: tuple[CheckResult, ...]
    old_tests: tuple[CheckResult, ...] = ()

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
    context = ExecutionContext(REHEARSAL, plan, changeset, wiring.clock)
    constraints = policy.executor.constraints
    context.deadline = wiring.clock.monotonic() + constraints.max_execution_time
    context.step_seconds = constraints.max_step_time
    checks = ServiceChecks(wiring, context, policy, -1)
    person_decides = decision.verdict is Verdict.NEED_APPROVAL
    error: LonelyCatError | None = None
    try:
        validate_named(plan, policy)
        rehearse(context, checks, plan.verification_plan, wiring, open_blob)
        OldTests(context, checks, wiring, policy, open_blob, False, person_decides).judge()
    except (LonelyCatError, OSError) as failed:
        error = as_lonelycat_error(failed)
    return RehearsalReport(error, tuple(map(redacted, checks.verified)), tuple(checks.old_tests))


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
