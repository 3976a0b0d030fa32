"""Reads a JUnit XML report, written by whoever may want to hurt the reader.

Invariants:
- No document type, so no entities of its own; bounded size, depth and number of elements.
- A suite, at any depth, that claims more failures or errors than what is in it shows is believed the worse of both.
- What failed or broke outside of a test counts as well.
- A report without a suite is not a report.
"""

from __future__ import annotations

from typing import NamedTuple
from xml.parsers import expat

from lonelycat.checks.results.counts import TestCounts

MAX_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 64
_MAX_ELEMENTS = 5_000_000
_SUITES = ("testsuites", "testsuite")
_FLAKY = ("flakyFailure", "flakyError")
"""How Maven's reports say that a test failed and then passed."""
_FAILED, _BROKEN, _SKIPPED = "failure", "error", "skipped"


class ReportError(Exception):
    """The report cannot be believed; the text says why."""


class _Bad(NamedTuple):
    failed: int = 0
    errors: int = 0

    def plus(self, other: _Bad) -> _Bad:
        return _Bad(self.failed + other.failed, self.errors + other.errors)

    def at_least(self, claims: _Bad) -> _Bad:
        return _Bad(max(self.failed, claims.failed), max(self.errors, claims.errors))


class _Reading:
    def __init__(self) -> None:
        self.depth = self.elements = self.suites = self.cases = self.reruns = 0
        self.verdicts = {_FAILED: 0, _BROKEN: 0, _SKIPPED: 0}
        self.bad = _Bad()
        self._open: list[tuple[_Bad, _Bad]] = []
        """Of each suite that is not yet at its end: what it claims, and what was before it."""
        self._path: list[str] = []
        self._verdict: str | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth, self.elements = self.depth + 1, self.elements + 1
        if self.depth > _MAX_DEPTH or self.elements > _MAX_ELEMENTS:
            raise ReportError("it is too deep or has too many elements")
        if not self._path and name not in _SUITES:
            raise ReportError(f"it begins with <{name[:40]}>, not with a suite of tests")
        above = self._path[-1] if self._path else ""
        if name in _SUITES:
            self.suites += name == "testsuite"
            claims = _Bad(*(_number(attributes.get(key, "0")) for key in ("failures", "errors")))
            self._open.append((claims, self.bad))
            self.bad = _Bad()
        elif name == "testcase":
            self.cases += 1
            self._verdict = None
        elif above == "testcase" and name in self.verdicts and self._verdict in (None, _SKIPPED):
            self._verdict = name
        elif above == "testcase" and name in _FLAKY:
            self.reruns += 1
        elif above in _SUITES:
            self._count(name)
        self._path.append(name)

    def end(self, name: str) -> None:
        self.depth -= 1
        self._path.pop()
        if name == "testcase" and self._verdict is not None:
            self.verdicts[self._verdict] += 1
            self._count(self._verdict)
        elif name in _SUITES:
            claims, before = self._open.pop()
            self.bad = before.plus(self.bad.at_least(claims))

    def _count(self, verdict: str) -> None:
        self.bad = self.bad.plus(_Bad(verdict == _FAILED, verdict == _BROKEN))

    def counts(self) -> TestCounts:
        if not self.suites:
            raise ReportError("it holds no suite of tests")
        passed = self.cases - sum(self.verdicts.values())
        skipped = self.verdicts[_SKIPPED]
        return TestCounts("JUnit", passed, self.bad.failed, skipped, self.bad.errors, reruns=self.reruns)


def read_report(data: bytes) -> TestCounts:
    """Return the counts of a report.

    Raises:
        ReportError: it is no JUnit report, or is made to hurt.
    """
    if len(data) > MAX_BYTES:
        raise ReportError(f"it is over {MAX_BYTES} bytes")
    reading = _Reading()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ReportError("it has a document type")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise ReportError(f"it is not XML: {error}") from None
    return reading.counts()


def _number(text: str) -> int:
    if not (text.isascii() and text.strip().isdigit() and len(text) < 16):
        raise ReportError(f"it counts {text[:20]!r} failures or errors")
    return int(text)
