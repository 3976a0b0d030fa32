"""Tells a run that tested something from one that only says it succeeded.

Invariant: zero tests, only skipped tests, or a missing required proof is a reason, never a pass. Only the last
summary of each framework counts, so that output printed by the tests themselves rarely decides.
Patterns from the policy see at most the last :data:`MATCH_BYTES` of the output; they are the policy author's, and a
pattern that backtracks without end is theirs to avoid.
"""

from __future__ import annotations

import re

from lonelycat.governance.policy import NoTests

MATCH_BYTES = 64 * 1024
"""How much of the end of an output is searched for patterns."""

PYTEST_NO_TESTS_EXIT = 5
"""Exit code of pytest, and of unittest since Python 3.12, when no test ran."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PYTEST = re.compile(
    r"^=*[ ]?((?:no tests ran|\d{1,15} [a-z]+)(?:, \d{1,15} [a-z]+)*) in \d+(?:\.\d+)?s\b[^\n]*$", re.M
)
_PYTEST_EMPTY = re.compile(r"^collected 0 items\b", re.M)
_PYTEST_RAN = frozenset({"passed", "failed", "error", "errors", "xpassed", "xfailed"})
_UNITTEST = re.compile(r"^Ran (\d{1,15}) tests? in \d+(?:\.\d+)?s$", re.M)
_UNITTEST_SKIPPED = re.compile(r"^OK \([^)\n]*\bskipped=(\d{1,15})", re.M)


def why_nothing_tested(rules: NoTests, exit_code: int, output: bytes) -> str | None:
    """Return why a command that ended by itself tested nothing, or None if it did test (or failed otherwise).

    Args:
        rules: the profile's own rules.
        exit_code: the command's exit code; past 0 only the exit code itself may mean "no tests".
        output: what the command wrote.
    """
    if exit_code in rules.exit_codes:
        return f"exit code {exit_code} means that no tests ran"
    text = _ESCAPES.sub("", output[-MATCH_BYTES:].decode("utf-8", "replace")).replace("\r\n", "\n")
    recognised = _pytest(text) or _unittest(text)
    if exit_code == PYTEST_NO_TESTS_EXIT and recognised:
        return recognised
    if exit_code != 0:
        return None
    for pattern in rules.output_patterns:
        if re.search(pattern, text, re.M):
            return f"the output matches {pattern!r}, which means that no tests ran"
    required = rules.require_output_pattern
    if required is not None and not re.search(required, text, re.M):
        return f"the output does not show {required!r}, which proves that tests ran"
    return recognised


def _pytest(text: str) -> str | None:
    summaries = list(_PYTEST.finditer(text))
    if not summaries:
        return "pytest collected 0 items" if _PYTEST_EMPTY.search(text) else None
    counts = summaries[-1][1]
    for part in counts.split(", "):
        number, _, outcome = part.partition(" ")
        if outcome in _PYTEST_RAN and int(number) > 0:
            return None
    return f"pytest ran no test: {counts}"


def _unittest(text: str) -> str | None:
    runs = list(_UNITTEST.finditer(text))
    if not runs:
        return None
    ran = int(runs[-1][1])
    if ran == 0:
        return "unittest ran 0 tests"
    skipped = _UNITTEST_SKIPPED.search(text, runs[-1].end())
    return f"unittest skipped all of its {ran} tests" if skipped and int(skipped[1]) >= ran else None
