"""Weakened tests: a change must not quieten what judges it.

- Together with code: deleted or renamed-away tests, touched test configuration, fewer tests or assertions, more
  skips or empty checks in a file that was there before.
- Tests alone: the same signs, except that assertions may move about as long as half of them stay.
- Added test files, and additions to test files, beside code are what one wants to see, and pass.

What cannot be compared because the old bytes are not at hand is held when code changes with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lonelycat.changes.changeset import FileChange, Operation
from lonelycat.governance.facts import ChangeFacts
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Reaction
from lonelycat.governance.rules.base import REACTIONS, Finding, RuleContext
from lonelycat.governance.weak_signs import judge_configuration, not_code, read_signs, test_files


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report test files that a change weakens, each with how."""
    reaction = context.policy.content.weakened_tests
    if reaction is Reaction.ALLOW:
        return
    judges = _Judges(context)
    with_code = any(judges.is_code(member.change.path) for member in context.facts.members)
    weak: dict[str, str] = {}
    for member in context.facts.members:
        how = _weakened(member, judges, with_code)
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


class _Judges:
    """Tells what judges from what is judged."""

    def __init__(self, context: RuleContext) -> None:
        policy = context.policy
        self._named = compile_globs(glob for profile in policy.verification.values() for glob in profile.judges)
        self._usual = test_files()
        self._configuration = judge_configuration()
        self._not_code = not_code()

    def is_test(self, path: str) -> bool:
        """Tell whether ``path`` is a file that a verification runs."""
        return self._usual.matches(path) or self._named.matches(path) or self._configuration.matches(path)

    def configures(self, path: str) -> bool:
        """Tell whether ``path`` decides which tests run and what counts as passing."""
        return self._configuration.matches(path)

    def is_code(self, path: str) -> bool:
        """Tell whether ``path`` is something that tests judge."""
        return not self.is_test(path) and not self._not_code.matches(path)


def _weakened(member: ChangeFacts, judges: _Judges, with_code: bool) -> str | None:
    """Return how a change weakens a test file, in words, or None."""
    change = member.change
    before = change.old_path or change.path
    if not judges.is_test(before):
        if change.operation is Operation.CREATE and with_code and judges.configures(change.path):
            return _configured(member)
        return None
    if change.operation is Operation.DELETE:
        return "is deleted" if not _is_data(before) else None
    if change.operation is Operation.RENAME and not judges.is_test(change.path):
        return "is renamed to what no longer looks like a test"
    if change.operation is Operation.CREATE:
        return _configured(member) if with_code and judges.configures(change.path) else None
    if change.new_hash == change.old_hash or _is_data(before):
        return None
    if with_code and judges.configures(change.path):
        return "decides which tests run"
    return _compared(member, change, with_code)


def _configured(member: ChangeFacts) -> str | None:
    """A new test configuration is held unless it is empty: it can switch every test off."""
    return "decides which tests run" if member.new is None or member.new.strip() else None


def _compared(member: ChangeFacts, change: FileChange, with_code: bool) -> str | None:
    if member.new is None or member.old is None:
        return "cannot be compared with what it was" if with_code else None
    before, after = read_signs(member.old), read_signs(member.new)
    if after.tests < before.tests:
        return f"has {before.tests - after.tests} fewer tests"
    if after.skips > before.skips:
        return "skips or leaves earlier than before"
    if after.empty > before.empty:
        return "has checks that cannot fail"
    least = before.asserts if with_code else before.asserts / 2
    if after.asserts < least:
        return f"has {before.asserts - after.asserts} fewer assertions"
    return None


_DATA = compile_globs(
    (
        "*.{md,rst,txt,json,csv,tsv,yml,yaml,toml,xml,html,svg,png,jpg,gif,bin,dat,pem,crt,key,gz,zip,out,expected,snap,golden}",
    )
)


def _is_data(path: str) -> bool:
    """Tell whether a file below a test directory is a fixture rather than a test."""
    return _DATA.matches(path) and not judge_configuration().matches(path)
