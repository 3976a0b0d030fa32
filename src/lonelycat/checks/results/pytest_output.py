"""Reads pytest's last line: ``12 passed, 1 skipped in 0.10s``.

Only the last summary counts, so that output printed by the tests themselves rarely decides. Subtests are counted with
their test, but one that failed is a failure whatever is said of its test.
"""

from __future__ import annotations

import re

from lonelycat.checks.results.counts import TestCounts

_COUNT = r"\d{1,15} (?:subtests )?[a-z]+"
_SUMMARY = re.compile(rf"^=*[ ]?((?:no tests ran|{_COUNT})(?:, {_COUNT})*) in \d+(?:\.\d+)?s\b[^\n]*$", re.M)
_EMPTY = re.compile(r"^collected 0 items\b", re.M)
_PASSED = ("passed", "xfailed", "xpassed")


def read(text: str) -> TestCounts | None:
    """Return the counts of the last run of pytest in ``text``."""
    summaries = list(_SUMMARY.finditer(text))
    if not summaries:
        return TestCounts("pytest") if _EMPTY.search(text) else None
    numbers: dict[str, int] = {}
    for part in summaries[-1][1].split(", "):
        number, _, outcome = part.partition(" ")
        if number.isdigit():
            numbers[outcome] = numbers.get(outcome, 0) + int(number)
    return TestCounts(
        "pytest",
        passed=sum(numbers.get(outcome, 0) for outcome in _PASSED),
        failed=numbers.get("failed", 0) or numbers.get("subtests failed", 0),
        skipped=numbers.get("skipped", 0),
        errors=numbers.get("error", 0) + numbers.get("errors", 0),
        reruns=numbers.get("rerun", 0),  # of pytest-rerunfailures
    )
