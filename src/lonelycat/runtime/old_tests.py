"""The tests as they were: a change of code is held once more to the tests that it rewrites in the same breath.

Where a change set changes code and, with it, test files that were there before, a verification that passed says only
that the two agree. So each profile that counted tests is run again without the changes to the tests
(``governance/joint_changes.py``).

Invariants:
- The second run is always in a sandbox, on an overlay; it never sees the live tree but as what lies below that.
- Passing is kept quiet but for its step. Failing, and whatever keeps the run from telling, is a failure of the change,
  unless a person decides or the policy only wants it reported; then it is a warning. It is never silent.
- Secrets are masked in what the second run said, before anything of it is told or kept.
- What takes a kept change back is not held to the tests of that change.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, NamedTuple

from lonelycat.changes.changeset import FileChange
from lonelycat.changes.paths import printable, to_wire
from lonelycat.checks.result import CheckResult
from lonelycat.checks.verifier import Rehearsed
from lonelycat.errors import LonelyCatError, StepFailedError
from lonelycat.executor.new_files import BlobOpener
from lonelycat.executor.tree import PinnedTree
from lonelycat.governance.joint_changes import JointChange, departure, joint_change
from lonelycat.governance.policy import Policy
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.checking import OLD_TESTS, ServiceChecks
from lonelycat.runtime.findings import redacted
from lonelycat.runtime.inverses import inverse_changes, is_revert
from lonelycat.runtime.overlay import put_together
from lonelycat.runtime.steps import ExecutionContext

REWRITTEN, NOT_RUN = "VERIFY_TESTS_REWRITTEN", "VERIFY_OLD_TESTS_NOT_RUN"
_MOST_PATHS = 3
_TESTS_FAILED = frozenset({"VERIFY_FAILED", "VERIFY_RESULTS_DISAGREE"})
_HINTS = {
    REWRITTEN: "Keep what the tests held the code to; or, if that has to change, propose it again: a person decides.",
    NOT_RUN: "Mend what keeps them from running, or propose the change again: a person decides.",
}


class OldTests(NamedTuple):
    """What is held to the tests as they were, and by whose leave it may fail them.

    Attributes:
        open_blob: opens contents of the change set.
        applied: whether the workspace holds the change already; then its tests are put back on the overlay, else all
            but its tests is put in place there.
        approved: whether a person has approved the plan, or decides about it yet.
    """

    context: ExecutionContext
    checks: ServiceChecks
    wiring: Wiring
    policy: Policy
    open_blob: BlobOpener
    applied: bool
    approved: bool

    def judge(self) -> None:
        """Run each profile that passed with counted tests once more, if the change set is joint.

        Raises:
            StepFailedError: :data:`REWRITTEN` or :data:`NOT_RUN`, where nobody has approved that.
        """
        if self.policy.executor.verification.joint_changes == "ignore":
            return
        counted = [found for found in self.checks.verified if found.ok and "tests" in found.details]
        joint = joint_change(self.context.changeset.changes, self.policy) if counted else None
        if joint is None or self._takes_back():
            return
        with tempfile.TemporaryFile(prefix="lonelycat-old-tests-") as contents:
            overlay = self._overlay(joint, contents)
            for found in counted:
                self._judge_one(found, joint, overlay)

    def _takes_back(self) -> bool:
        changeset, plan = self.context.changeset, self.context.plan
        return self.wiring.has_records and is_revert(self.wiring.records, plan, changeset)

    def _overlay(self, joint: JointChange, contents: IO[bytes]) -> Rehearsed | LonelyCatError:
        """Return the change as it has to be put in place, or why it cannot be."""
        limits = self.wiring.settings.limits
        try:
            changes = self._put_back(joint) if self.applied else joint.rest
            with PinnedTree(self.wiring.filesystem, self.wiring.settings.workspace, limits.chunk_bytes) as tree:
                return Rehearsed(put_together(tree, changes, contents, self.open_blob), contents.fileno())
        except LonelyCatError as error:
            return error

    def _put_back(self, joint: JointChange) -> Sequence[FileChange]:
        """Return the changes that take those of the tests back, from the evidence that a revert would use."""
        tests = frozenset(joint.left_out)
        inverse = inverse_changes(self.wiring.records, self.context.execution_id)
        whole = [each for each in inverse if tests.issuperset(each.paths)]
        # What became a test goes, but not back to where it was none: that it is gone from there is the change's.
        became = [departure(each) for each in inverse if len(each.paths) > 1 and each.path not in tests]
        return [*whole, *(each for each in became if each.path in tests)]

    def _judge_one(self, found: CheckResult, joint: JointChange, overlay: Rehearsed | LonelyCatError) -> None:
        name = found.name
        with self.context.step(f"{OLD_TESTS}:{name}") as step:
            again = redacted(self._run_again(name, joint, overlay))
            told = _told(again, joint)
            self.checks.old_tests.append(told)
            step.output, step.message = told.output, told.message
            self.context.emit(
                "old_tests",
                step=f"{OLD_TESTS}:{name}",
                code=told.code,
                cause=again.code,
                tests=found.details["tests"],
                old_tests=again.details.get("tests"),
                sandbox=again.details.get("sandbox"),
                left_out=[to_wire(path) for path in joint.left_out],
            )
            if not told.ok and not self.approved and self.policy.executor.verification.joint_changes == "escalate":
                code = told.code or REWRITTEN
                raise StepFailedError(code, told.message, _HINTS[code], details=told.details)
        if not told.ok:
            whose = "a person has approved the plan" if self.approved else "the policy only reports it"
            self.context.warn(f"verification {told.message}; {whose}")
        elif told.details.get("flaky"):
            self.context.warn(f"verification {told.message}")

    def _run_again(self, name: str, joint: JointChange, overlay: Rehearsed | LonelyCatError) -> CheckResult:
        if isinstance(overlay, LonelyCatError):
            why = f"{name}: {overlay.code}: {overlay.message}"
            return CheckResult(name, "verify", False, overlay.code, why, 0.0)
        profile = self.policy.verification[name]
        walled = profile.model_copy(update={"sandbox": profile.sandbox.model_copy(update={"enabled": True})})
        paths = sorted({*joint.rewritten, *(path for each in joint.rest for path in each.paths)})
        return self.checks.verifier().run(name, walled, paths, self.context.seconds_left(), overlay)


def _told(again: CheckResult, joint: JointChange) -> CheckResult:
    """Return what the second run says about the change."""
    details = {**again.details, "rewritten": [to_wire(path) for path in joint.rewritten]}
    if again.ok:
        return replace(again, message=f"{again.message}, by the tests as they were", details=details)
    from lonelycat.checks.results.failing import failing_tests

    failed = again.code in _TESTS_FAILED
    names = ", ".join(failing_tests(again.output)) if failed else ""
    why = again.message.removeprefix(f"{again.name}: ") + (f" ({names})" if names else "")
    code = REWRITTEN if failed else NOT_RUN
    what = "it fails the tests as they were" if failed else "the tests as they were could not be run"
    message = f"{again.name}: {what}: {why}; the change rewrites {_listed(joint.rewritten)}"
    return replace(again, code=code, message=message, details={**details, "cause": again.code})


def _listed(paths: Sequence[str]) -> str:
    more = len(paths) - _MOST_PATHS
    return ", ".join(printable(path) for path in paths[:_MOST_PATHS]) + (f" and {more} more" if more > 0 else "")
