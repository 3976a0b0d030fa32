"""Reads a JUnit XML report, written by whoever may want to hurt the reader.

Invariants:
- No document type, so no entities of its own; bounded size, depth and number of elements.
- A suite that claims more failures or errors than its cases show is believed the worse of both.
- A report without a suite is not a report.
"""

from __future__ import annotations

from xml.parsers import expat

from lonelycat.checks.results.counts import TestCounts

MAX_BYTES = 64 * 1024 * 1024
_MAX_DEPTH = 64
_MAX_ELEMENTS = 5_000_000
_FAILED, _BROKEN, _SKIPPED = "failure", "error", "skipped"


class ReportError(Exception):
    """The report cannot be believed; the text says why."""


class _Reading:
    def __init__(self) -> None:
        self.depth = self.elements = self.suites = self.cases = 0
        self.claimed = {"failures": 0, "errors": 0}
        self.counted = {_FAILED: 0, _BROKEN: 0, _SKIPPED: 0}
        self._path: list[str] = []
        self._verdict: str | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth, self.elements = self.depth + 1, self.elements + 1
        if self.depth > _MAX_DEPTH or self.elements > _MAX_ELEMENTS:
            raise ReportError("it is too deep or has too many elements")
        if not self._path and name not in ("testsuites", "testsuite"):
            raise ReportError(f"it begins with <{name[:40]}>, not with a suite of tests")
        if name == "testsuite":
            self.suites += 1
            if "testsuite" not in self._path:  # an outer suite counts what its inner ones do
                for key in self.claimed:
                    self.claimed[key] += _number(attributes.get(key, "0"))
        elif name == "testcase":
            self.cases += 1
            self._verdict = None
        elif self._path[-1:] == ["testcase"] and name in self.counted and self._verdict in (None, _SKIPPED):
            self._verdict = name
        self._path.append(name)

    def end(self, name: str) -> None:
        self.depth -= 1
        self._path.pop()
        if name == "testcase" and self._verdict is not None:
            self.counted[self._verdict] += 1

    def counts(self) -> TestCounts:
        if not self.suites:
            raise ReportError("it holds no suite of tests")
        failed = max(self.counted[_FAILED], self.claimed["failures"])
        errors = max(self.counted[_BROKEN], self.claimed["errors"])
        passed = self.cases - sum(self.counted.values())
        return TestCounts("JUnit", max(0, passed), failed, self.counted[_SKIPPED], errors)


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
