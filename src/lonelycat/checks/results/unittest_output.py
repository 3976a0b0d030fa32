"""Reads the last lines of unittest: ``Ran 3 tests in 0.001s`` and ``FAILED (failures=1, skipped=1)``."""

from __future__ import annotations

import re

from lonelycat.checks.results.counts import TestCounts

_RAN = re.compile(r"^Ran (\d{1,15}) tests? in \d+(?:\.\d+)?s$", re.M)
_VERDICT = re.compile(r"^(OK|FAILED|NO TESTS RAN)(?: \(([a-z =,0-9]{1,300})\))?$", re.M)


def read(text: str) -> TestCounts | None:
    """Return the counts of the last run of unittest in ``text``."""
    runs = list(_RAN.finditer(text))
    if not runs:
        return None
    verdict = _VERDICT.search(text, runs[-1].end())
    if verdict is None:
        return TestCounts("unittest", problem="unittest did not say how its run ended")
    numbers: dict[str, int] = {}
    for part in (verdict[2] or "").split(", "):
        name, _, number = part.partition("=")
        if number.isdigit():
            numbers[name] = int(number[:15])
    skipped, errors = numbers.get("skipped", 0), numbers.get("errors", 0)
    failed = numbers.get("failures", 0) + numbers.get("unexpected successes", 0)
    told = TestCounts("unittest", max(0, int(runs[-1][1]) - skipped - failed - errors), failed, skipped, errors)
    if verdict[1] == "FAILED" and not told.bad:
        return TestCounts("unittest", told.passed, 0, skipped, problem="unittest says FAILED and does not say what")
    return told
