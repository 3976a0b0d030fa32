"""A change of code together with tests that were there before, and which part of it is which. Pure.

Invariants:
- No test that was there before is changed, gone or moved by ``rest``.
- What ``rest`` adds is no test that a runner finds by its name, and nothing that configures one, new or moved there: it
  can neither speak for the old ones nor get in their way. New data and helpers stay, for code may need them.
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
    """The two parts of a joint change.

    Attributes:
        left_out: the paths of all tests that it touches, sorted: without what it does to them, they are as they were.
        rewritten: those of them that were there before, sorted; at least one.
        rest: everything else, in the order of the change set; code among it.
    """

    left_out: tuple[str, ...]
    rewritten: tuple[str, ...]
    rest: tuple[FileChange, ...]


def joint_change(changes: Sequence[FileChange], policy: Policy) -> JointChange | None:
    """Return the parts of ``changes``; None unless code changes together with test files that were there before."""
    if len(changes) < 2:
        return None
    judges = Judges(Facts(changes), policy)
    left_out: list[str] = []
    rewritten: list[str] = []
    rest: list[FileChange] = []
    for each in changes:
        if each.operation is not Operation.CREATE and judges.is_test(each.paths[0]):
            rewritten.append(each.paths[0])
            left_out += each.paths
        elif each.operation in (Operation.CREATE, Operation.RENAME) and _speaks_for_itself(each.path, judges):
            left_out.append(each.path)
            rest += [departure(each)] if each.operation is Operation.RENAME else []
        else:
            rest.append(each)
    with_code = any(judges.is_code(path) for each in rest for path in each.paths)
    return (
        JointChange(tuple(sorted(left_out)), tuple(sorted(rewritten)), tuple(rest)) if with_code and rewritten else None
    )


def departure(rename: FileChange) -> FileChange:
    """Return that half of ``rename`` which takes the file away from where it was."""
    return FileChange(
        operation=Operation.DELETE,
        path=rename.paths[0],
        old_hash=rename.old_hash,
        old_mode=rename.old_mode,
    )


def _speaks_for_itself(path: str, judges: Judges) -> bool:
    """Tell whether a file that comes to ``path`` is a test that a runner finds by its name, or configures one."""
    return judges.configures(path) or (judges.is_test(path) and is_collected(path))
