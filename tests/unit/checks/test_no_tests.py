"""What counts as having tested nothing."""

from __future__ import annotations

import pytest

from lonelycat.checks.no_tests import why_nothing_tested
from lonelycat.governance.policy import NoTests

NOTHING = [
    "collected 0 items\n\n===== no tests ran in 0.01s =====\n",
    "no tests ran in 0.00s\n",
    "\x1b[33m\x1b[33mno tests ran\x1b[0m\x1b[33m in 0.00s\x1b[0m\x1b[0m\n",
    "sss\n3 skipped in 0.02s\n",
    "=== 3 skipped, 2 warnings in 0.02s ===\n",
    "=== 5 deselected in 0.02s ===\n",
    "3 skipped in 75.02s (0:01:15)\n",
    "0 passed, 3 skipped in 0.1s\n",
    "collected 0 items / 1 skipped\n",
    "1 passed in 0.1s\nno tests ran in 0.1s\n",
    "\n----\nRan 0 tests in 0.000s\n\nOK\n",
    "\r\n----\r\nRan 0 tests in 0.000s\r\n\r\nOK\r\n",
    "Ran 3 tests in 0.001s\n\nOK (skipped=3)\n",
    "Ran 1 test in 0.001s\n\nOK (skipped=1, expected failures=0)\n",
]
SOMETHING = [
    "",
    "whatever a linter says\n",
    "12 passed in 0.1s\n",
    "== 1 passed, 3 skipped in 0.10s ==\n",
    "1 xfailed, 3 skipped in 0.10s\n",
    "collected 0 items printed by a test\n1 passed in 0.1s\n",
    "3 skipped in 0.1s\n1 passed in 0.1s\n",
    "the 3 skipped in 0.1s were not a summary\n",
    "Ran 3 tests in 0.001s\n\nOK (skipped=2)\n",
    "Ran 3 tests in 0.001s\n\nOK\n",
]


@pytest.mark.parametrize("output", NOTHING)
def test_nothing_tested(output: str) -> None:
    assert why_nothing_tested(NoTests(), 0, output.encode())


@pytest.mark.parametrize("output", SOMETHING)
def test_something_tested(output: str) -> None:
    assert why_nothing_tested(NoTests(), 0, output.encode()) is None


def test_a_failing_command_is_failing_whatever_it_says() -> None:
    assert why_nothing_tested(NoTests(), 1, b"no tests ran in 0.00s\n") is None
    assert why_nothing_tested(NoTests(), 5, b"something else") is None
    assert why_nothing_tested(NoTests(), 5, b"no tests ran in 0.00s\n")


def test_hostile_output_does_not_break_it() -> None:
    assert why_nothing_tested(NoTests(), 0, b"\xff\xfe\x00" * 100_000) is None
    assert why_nothing_tested(NoTests(), 0, b"1 passed, " * 100_000) is None
    assert why_nothing_tested(NoTests(), 0, b"Ran " + b"9" * 60_000 + b" tests in 0.1s\n") is None
    assert why_nothing_tested(NoTests(), 0, b"9" * 6_000 + b" passed in 0.1s\n") is None
