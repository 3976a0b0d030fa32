"""A change of code together with tests that were there before, and which part of it is which. Pure.

Invariants:
- No test that was there before is changed, gone or moved by ``rest``.
- What ``rest`` adds is no test that a runner finds by its name, and nothing that configures one: a new test can neither
  speak for the old ones nor get in their way. New data and helpers stay, for code may need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lonelycat.changes.changeset import FileChange, Operation
from lonelycat.governance.facts import Facts
from lonelycat.governance.judges import Judges
from lonelycat.governance.policy import Policy
from lonelycat.governance.weak_signs import is_collected


class JointChange(NamedTuple):
    """The two parts of a joint change, in the order of the change set.

    Attributes:
        tests: what is left out to have the tests as they were; at least one of them was there before.
        rest: everything else; code among it.
    """

    tests: tuple[FileChange, ...]
    rest: tuple[FileChange, ...]

    @property
    def rewritten(self) -> tuple[str, ...]:
        """The paths of the tests that were there before, sorted."""
        return tuple(sorted(each.paths[0] for each in self.tests if each.operation is not Operation.CREATE))


def joint_change(changes: Sequence[FileChange], policy: Policy) -> JointChange | None:
    """Return the parts of ``changes``; None unless code changes together with test files that were there before."""
    if len(changes) < 2:
        return None
    judges = Judges(Facts(changes), policy)
    tests: list[FileChange] = []
    rest: list[FileChange] = []
    for each in changes:
        (tests if _belongs_to_tests(each, judges) else rest).append(each)
    joint = JointChange(tuple(tests), tuple(rest))
    with_code = any(judges.is_code(path) for each in rest for path in each.paths)
    return joint if with_code and joint.rewritten else None


def _belongs_to_tests(change: FileChange, judges: Judges) -> bool:
    if change.operation is Operation.CREATE:
        return judges.configures(change.path) or (judges.is_test(change.path) and is_collected(change.path))
    return judges.is_test(change.paths[0])
