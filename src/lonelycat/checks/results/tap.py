"""Reads the Test Anything Protocol, versions 13 and 14.

Invariants:
- A stream without a plan, with more or fewer tests than planned, with a test twice, or with ``Bail out!`` is not
  whole. Nested streams are counted with the test that they belong to.
- Several streams one after another, as ``prove --verbose`` prints them, are added up.
"""

from __future__ import annotations

import re

from lonelycat.checks.results.counts import TestCounts, added

_VERSION = re.compile(r"TAP version 1[34]$")
_PLAN = re.compile(r"1\.\.(\d{1,9})(?:\s*#\s*(.*))?$")
_TEST = re.compile(r"(not )?ok\b(?: (\d{1,9})\b)?(.*)$")
_DIRECTIVE = re.compile(r"(?<!\\)#\s*(skip|todo)", re.I)


class _Stream:
    """One stream as it is read."""

    def __init__(self) -> None:
        self.planned: int | None = None
        self.seen: set[int] = set()
        self.passed = self.failed = self.skipped = 0
        self.problem: str | None = None

    def plan(self, count: int) -> None:
        if self.planned is not None:
            self.problem = self.problem or "the plan stands twice"
        self.planned = count

    def test(self, bad: bool, number: int | None, rest: str) -> None:
        number = len(self.seen) + 1 if number is None else number
        if number in self.seen:
            self.problem = self.problem or f"test {number} stands twice"
        self.seen.add(number)
        found = _DIRECTIVE.search(rest)
        directive = None if found is None else found[1].lower()
        if bad and directive != "todo":  # a failing TODO is an expected failure; what was skipped did not fail
            self.failed += 1
        elif directive == "skip":
            self.skipped += 1
        else:
            self.passed += 1

    def is_over(self, number: int | None = None) -> bool:
        """Whether the next plan or the test ``number`` begins another stream."""
        if self.planned is None:
            return False
        return len(self.seen) >= self.planned and number in (None, 1)

    def is_told(self) -> bool:
        """Whether there is enough of a stream to take it for one: a plan, and a test unless none is planned."""
        return self.planned is not None and (bool(self.seen) or not self.planned)

    def counts(self) -> TestCounts:
        problem = self.problem
        if self.planned is None:
            problem = problem or "the TAP stream has no plan"
        elif len(self.seen) != self.planned:
            problem = problem or f"{len(self.seen)} of {self.planned} planned tests were reported"
        return TestCounts("TAP", self.passed, self.failed, self.skipped, problem=problem)


def read(text: str) -> TestCounts | None:
    """Return the counts of all streams in ``text``; None when there is none."""
    streams: list[_Stream] = []
    bailed: str | None = None
    versions = 0
    for line in text.splitlines():
        if _VERSION.match(line):
            streams.append(_Stream())
            versions += 1
        elif plan := _PLAN.match(line):
            if not streams or streams[-1].is_over():
                streams.append(_Stream())
            streams[-1].plan(int(plan[1]))
        elif test := _TEST.match(line):
            number = None if test[2] is None else int(test[2])
            if number is None and not test[3].strip() and streams and streams[-1].is_over():
                continue  # the bare "ok" with which prove ends a file
            if not streams or (number is not None and streams[-1].is_over(number)):
                streams.append(_Stream())
            streams[-1].test(test[1] is not None, number, test[3])
        elif line.startswith("Bail out!"):
            bailed = line[:200]
    if not streams or not (versions or any(stream.is_told() for stream in streams)):
        return None
    total = added(stream.counts() for stream in streams)
    if total is not None and bailed is not None:
        return TestCounts("TAP", total.passed, total.failed, total.skipped, problem=bailed)
    return total
