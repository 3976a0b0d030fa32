"""Reads what ``go test`` prints, as text or, with ``-json``, as one JSON object a line.

Without ``-v`` the text names packages, not tests; then packages are counted. Subtests are counted with their test.
"""

from __future__ import annotations

import json
import re

from lonelycat.checks.results.counts import TestCounts

_PACKAGE = re.compile(r"^(ok  |FAIL|\?   |---)\t(\S+)(?:[ \t]+([^\n]*))?$", re.M)
_TEST = re.compile(r"^--- (PASS|FAIL|SKIP): (\S+) \(\d+(?:\.\d+)?s\)$", re.M)
_NOTHING = ("[no test files]", "[no tests to run]", "no test files")
_KEYS = frozenset({"Action", "Package"})


def read(text: str) -> TestCounts | None:
    """Return the counts of all runs of ``go test`` in ``text``."""
    return _from_json(text) or _from_text(text)


def _from_text(text: str) -> TestCounts | None:
    packages = [match for match in _PACKAGE.finditer(text) if match[1] != "---"]
    if not packages:
        return None
    broken = [match for match in packages if match[1] == "FAIL"]
    tests = [match[1] for match in _TEST.finditer(text)]
    if tests.count("PASS") or tests.count("SKIP"):
        failed = tests.count("FAIL")
        # A package that fails without a failing test did not build, or broke outside of its tests.
        errors = max(0, len(broken) - failed) if not failed else sum("[" in (match[3] or "") for match in broken)
        return TestCounts("go test", tests.count("PASS"), failed, tests.count("SKIP"), errors)
    passed = [match for match in packages if match[1] == "ok  " and not _is_empty(match[3] or "")]
    return TestCounts("go test", len(passed), len(broken), packages=True)


def _is_empty(rest: str) -> bool:
    return any(words in rest for words in _NOTHING)


def _from_json(text: str) -> TestCounts | None:
    events = [event for line in text.splitlines() if (event := _event(line)) is not None]
    if not events:
        return None
    tests = [str(event["Action"]) for event in events if event.get("Test") and "/" not in str(event["Test"])]
    ends = [str(event["Action"]) for event in events if "Test" not in event]
    started = {event["Package"] for event in events if "Package" in event}
    ended = {
        event["Package"] for event in events if "Test" not in event and event["Action"] in ("pass", "fail", "skip")
    }
    failed = tests.count("fail")
    errors = max(0, ends.count("fail") - failed) if not failed else 0
    problem = f"{len(started - ended)} packages did not end" if started - ended else None
    return TestCounts("go test", tests.count("pass"), failed, tests.count("skip"), errors, problem=problem)


def _event(line: str) -> dict[str, object] | None:
    if not line.startswith('{"'):
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and event.keys() >= _KEYS and isinstance(event["Action"], str) else None
