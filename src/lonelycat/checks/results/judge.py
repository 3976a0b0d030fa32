"""Whether a verification command that ended by itself passed: its exit code, held against what its tests say.

Invariants:
- A pass takes exit code 0 *and* results that agree: some test ran, none failed, and what was planned was reported.
- Zero tests, only skipped tests, or a missing proof that the policy asks for is a failure.
- A report that the policy names must have been written by this very run.
- Nothing is read into garbage: a runner that is known to report its results and did not has not passed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lonelycat.checks.inside import resolve_inside
from lonelycat.checks.results import go_test, junit, pytest_output, tap, unittest_output
from lonelycat.checks.results.counts import Reader, TestCounts, added
from lonelycat.errors import LonelyCatError
from lonelycat.governance.policy_profiles import VerificationProfile

OUTPUT_BYTES = 1024 * 1024
"""How much of the end of an output is searched for results; what is kept of it is less by default."""

PATTERN_BYTES = 64 * 1024
"""How much of the end of an output the policy's own patterns see; one that backtracks without end is its author's."""

PYTEST_NO_TESTS_EXIT = 5
"""Exit code of pytest, and of unittest since Python 3.12, when no test ran."""

_READERS: dict[str, Reader] = {
    "pytest": pytest_output.read,
    "unittest": unittest_output.read,
    "go_test": go_test.read,
    "tap": tap.read,
}
_PYTEST = re.compile(r"(pytest|py\.test)(-[0-9.]+)?")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TICK_SECONDS = time.clock_getres(getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME))
"""A file's time is that of the kernel's last tick, which may lie this far before the clock's."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the end of a command amounts to.

    Attributes:
        code: None for a pass.
        message: what happened, in words, without the profile's name.
        tests: the counts, where there were any.
    """

    code: str | None
    message: str
    tests: TestCounts | None = None


class _UnreadableError(Exception):
    """There are no results where there must be; the arguments are a code and the reason."""


def judge_results(
    profile: VerificationProfile, root: Path, exit_code: int, output: bytes, started_at: float
) -> Judgement:
    """Judge a command that ended by itself.

    Args:
        profile: its rules for results and for what means that nothing was tested.
        root: the workspace as the command saw it: where a report that it wrote is found.
        exit_code: how it ended.
        output: what it wrote, standard output and error together.
        started_at: when it was started, in seconds since the epoch.
    """
    if exit_code in profile.no_tests.exit_codes:
        return Judgement("VERIFY_NO_TESTS", f"exit code {exit_code} means that no tests ran")
    text = _ESCAPES.sub("", output[-OUTPUT_BYTES:].decode("utf-8", "replace")).replace("\r\n", "\n")
    try:
        counts = _counts(profile, root, text, started_at)
    except _UnreadableError as error:
        code, why = error.args
        return Judgement("VERIFY_FAILED", f"exited with {exit_code}; {why}") if exit_code else Judgement(code, why)
    if exit_code == PYTEST_NO_TESTS_EXIT and counts is not None and not counts.ran:
        return Judgement("VERIFY_NO_TESTS", _nothing(counts), counts)
    if exit_code != 0:
        said = f": {counts.words()}" if counts is not None and counts.ran else ""
        return Judgement("VERIFY_FAILED", f"exited with {exit_code}{said}", counts)
    nothing = _by_the_rules(profile, text[-PATTERN_BYTES:])
    return Judgement("VERIFY_NO_TESTS", nothing, counts) if nothing else _agreed(profile, counts)


def _counts(profile: VerificationProfile, root: Path, text: str, started_at: float) -> TestCounts | None:
    """Return what the profile's results say; None where there are none and none are due."""
    results = profile.results
    if results.report is not None:
        return _reported(root, results.report, started_at)
    if results.format == "exit_code":
        return None
    if results.format != "auto":
        counts = _READERS[results.format](text)
        if counts is None:
            raise _UnreadableError("VERIFY_RESULTS_UNREADABLE", f"the output holds no results of {results.format}")
        return counts
    runner = _known_runner(profile.argv)
    readers = _READERS.values() if runner is None else (_READERS[runner],)
    return added(counts for reader in readers if (counts := reader(text)) is not None)


def _reported(root: Path, report: str, started_at: float) -> TestCounts:
    try:
        path = resolve_inside(root, report)
        facts = path.stat()
        if not path.is_file():
            raise _UnreadableError("VERIFY_REPORT_MISSING", f"the report {report!a} is not a file")
        if facts.st_mtime < started_at - _TICK_SECONDS:
            raise _UnreadableError("VERIFY_REPORT_STALE", f"the report {report!a} was not written by this run")
        if facts.st_size > junit.MAX_BYTES:
            raise _UnreadableError("VERIFY_RESULTS_UNREADABLE", f"the report {report!a} is too large")
        return junit.read_report(path.read_bytes())
    except OSError as error:
        raise _UnreadableError("VERIFY_REPORT_MISSING", f"the report {report!a}: {error.strerror}") from None
    except LonelyCatError as error:
        raise _UnreadableError("VERIFY_REPORT_MISSING", error.message) from None
    except junit.ReportError as error:
        raise _UnreadableError("VERIFY_RESULTS_UNREADABLE", f"the report {report!a} cannot be read: {error}") from None


def _by_the_rules(profile: VerificationProfile, text: str) -> str | None:
    """Return why the policy's own rules say that nothing was tested, or None."""
    for pattern in profile.no_tests.output_patterns:
        if re.search(pattern, text, re.M):
            return f"the output matches {pattern!r}, which means that no tests ran"
    required = profile.no_tests.require_output_pattern
    if required is not None and not re.search(required, text, re.M):
        return f"the output does not show {required!r}, which proves that tests ran"
    return None


def _agreed(profile: VerificationProfile, counts: TestCounts | None) -> Judgement:
    """Judge a command that exited with 0 by what its tests say."""
    if counts is None:
        runner = _known_runner(profile.argv) if profile.results.format == "auto" else None
        if runner is not None:
            why = f"the output holds no results of {runner}; results.format: exit_code does without"
            return Judgement("VERIFY_RESULTS_UNREADABLE", why)
        return Judgement(None, "passed")
    if counts.bad:
        why = f"exited with 0, but its results say: {counts.words()}"
        return Judgement("VERIFY_RESULTS_DISAGREE", why, counts)
    if counts.problem is not None:
        why = f"exited with 0, but its results are not whole: {counts.problem}"
        return Judgement("VERIFY_RESULTS_DISAGREE", why, counts)
    if not counts.ran:
        return Judgement("VERIFY_NO_TESTS", _nothing(counts), counts)
    return Judgement(None, f"passed: {counts.words()}", counts)


def _nothing(counts: TestCounts) -> str:
    if counts.skipped:
        return f"{counts.source} skipped all of its {counts.skipped} tests"
    return f"{counts.source} ran no test"


def _known_runner(argv: Sequence[str]) -> str | None:
    """Return the runner that ``argv`` starts, if it is one that always reports its results.

    Options of the interpreter, and programs that run another (``uv run pytest``, ``coverage run -m pytest``), hide it
    no more than a version in its name does.
    """
    words = [word.rpartition("/")[2] for word in argv]
    if _PYTEST.fullmatch(words[0]):
        return "pytest"
    for first, second in pairwise(words):
        if first in ("-m", "run") and _PYTEST.fullmatch(second):
            return "pytest"
        if (first, second) == ("-m", "unittest"):
            return "unittest"
    return "go_test" if words[:2] == ["go", "test"] else None
