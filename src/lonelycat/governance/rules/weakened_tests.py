"""Weakened tests: a change must not quieten what judges it.

- Fewer tests or fewer assertions in the change as a whole (where no code changes: a test that loses half of its
  own); none left in a test that had some.
- A test that was there before and now skips, leaves early or has a check that cannot fail. What a *new* test does is
  its own affair: it takes nothing away.
- Deleted or renamed-away test files; together with code also touched test configuration.
- Added test files, and additions to test files, beside code are what one wants to see, and pass.

What cannot be compared because the old bytes are not at hand is held when code changes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from lonelycat.changes.changeset import Operation
from lonelycat.governance.facts import ChangeFacts
from lonelycat.governance.judges import Judges
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Reaction
from lonelycat.governance.rules.base import REACTIONS, Finding, RuleContext
from lonelycat.governance.test_blocks import REST, split_tests
from lonelycat.governance.weak_signs import Signs, is_collected, judge_configuration, read_signs


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report test files that a change weakens, each with how."""
    reaction = context.policy.content.weakened_tests
    if reaction is Reaction.ALLOW:
        return
    judges = Judges(context.facts, context.policy)
    with_code = any(judges.is_code(member.change.path) for member in context.facts.members)
    balance = _Balance(context, judges)
    weak: dict[str, str] = {}
    for member in context.facts.members:
        how = _weakened(member, judges, with_code, balance)
        if how:
            weak[member.change.path] = how
    if weak:
        shown = "; ".join(f"{path!a} {how}" for path, how in list(weak.items())[:5])
        beside = ", together with the code that they judge" if with_code else ""
        yield Finding(
            "WEAKENED_TESTS", REACTIONS[reaction], "content.weakened_tests", f"tests are weakened{beside}: {shown}",
            "Change code and tests so that the tests still see as much, or let a person approve it.",
            tuple(sorted(weak)),
        )  # fmt: skip


class _Balance:
    """What the change as a whole adds to tests and takes from them; read only when asked."""

    def __init__(self, context: RuleContext, judges: Judges) -> None:
        self._members = [
            member
            for member in context.facts.members
            if member.adds_bytes and member.old_known and judges.is_test(member.change.path)
        ]

    def _parts(self) -> Iterator[tuple[dict[bytes, bytes], dict[bytes, bytes]]]:
        return ((split_tests(member.old or b""), split_tests(member.new or b"")) for member in self._members)

    @cached_property
    def _names(self) -> tuple[frozenset[bytes], int]:
        """The tests that are new to their file, and how many more there are than before."""
        new: set[bytes] = set()
        more = 0
        for before, after in self._parts():
            new |= after.keys() - before.keys()
            more += len(after) - len(before)
        return frozenset(new), more

    @property
    def tests(self) -> int:
        """How many tests more there are in changed files, deleted files apart."""
        return self._names[1]

    @cached_property
    def asserts(self) -> int:
        """How many assertions more there are in changed files, deleted files apart."""
        return sum(_asserts(after) - _asserts(before) for before, after in self._parts())

    def has_elsewhere(self, name: bytes) -> bool:
        """Tell whether the change adds a test of this name to a file that did not have it."""
        return name in self._names[0]


def _asserts(parts: dict[bytes, bytes]) -> int:
    return sum(read_signs(part).asserts for part in parts.values())


def _weakened(member: ChangeFacts, judges: Judges, with_code: bool, balance: _Balance) -> str | None:
    """Return how a change weakens a test file, in words, or None."""
    change = member.change
    before = change.old_path or change.path
    if not judges.is_test(before):
        arrives = change.operation in (Operation.CREATE, Operation.RENAME)
        return _configured(member) if arrives and with_code and judges.configures(change.path) else None
    if change.operation is Operation.DELETE:
        return "is deleted" if not _is_data(before) and not _all_moved(member, balance) else None
    if change.operation is Operation.RENAME and (
        not judges.is_test(change.path) or (is_collected(before) and not is_collected(change.path))
    ):
        return "is renamed to what no longer looks like a test"
    if change.operation is Operation.CREATE:
        return _configured(member) if with_code and judges.configures(change.path) else None
    if change.new_hash == change.old_hash or _is_data(before):
        return None
    if with_code and judges.configures(change.path):
        return "decides which tests run"
    return _compared(member, with_code, balance)


def _configured(member: ChangeFacts) -> str | None:
    """A new test configuration is held unless it is empty: it can switch every test off."""
    return "decides which tests run" if member.new is None or member.new.strip() else None


def _all_moved(member: ChangeFacts, balance: _Balance) -> bool:
    """Tell whether every test of a deleted file stands in another file of the change now."""
    names = split_tests(member.old or b"").keys() - {REST}
    return bool(names) and all(balance.has_elsewhere(name) for name in names)


def _compared(member: ChangeFacts, with_code: bool, balance: _Balance) -> str | None:
    if member.new is None or member.old is None:
        return "cannot be compared with what it was" if with_code else None
    before, after = split_tests(member.old), split_tests(member.new)
    gone = [name for name in before.keys() - after.keys() if not balance.has_elsewhere(name)]
    fresh = len(after.keys() - before.keys())
    if len(gone) > fresh and balance.tests < 0:
        return f"has {len(gone) - fresh} fewer tests"
    for name in before.keys() & after.keys():
        how = _quietened(read_signs(before[name]), read_signs(after[name]), is_rest=name == REST)
        if how:
            return how
    lost = _asserts(before) - _asserts(after)
    if lost <= 0 or balance.asserts >= 0 or not is_collected(member.change.path):
        return None
    return f"has {lost} fewer assertions" if with_code or _halved(before, after) else None


def _halved(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> bool:
    """Tell whether a test that stays loses half of its assertions or more."""
    kept = before.keys() & after.keys()
    pairs = ((read_signs(before[name]).asserts, read_signs(after[name]).asserts) for name in kept)
    return any(had > has and has * 2 <= had for had, has in pairs)


def _quietened(before: Signs, after: Signs, *, is_rest: bool) -> str | None:
    """Return how one test sees less than it did; of what is outside of tests, only skips are a sign."""
    if after.skips > before.skips:
        return "skips or leaves earlier than before"
    if after.marks < before.marks and not is_rest:
        return "is no longer marked as a test"
    if is_rest:
        return None
    if after.empty > before.empty:
        return "has checks that cannot fail"
    return "has a test that asserts nothing any more" if before.asserts and not after.asserts else None


_DATA_GLOBS = (
    "*.{md,rst,txt,json,csv,tsv,yml,yaml,toml,xml,html,svg,png,jpg,gif,bin,dat,pem,crt,key,gz,zip,out,expected,snap,golden}",
)


def _is_data(path: str) -> bool:
    """Tell whether a file below a test directory is a fixture rather than a test."""
    return compile_globs(_DATA_GLOBS).matches(path) and not judge_configuration().matches(path)
