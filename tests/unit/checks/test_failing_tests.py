"""The names of failing tests, as each runner prints them."""

from __future__ import annotations

import pytest

from lonelycat.checks.results.failing import MAX_NAMES, failing_tests

PYTEST = b"""\
E       assert 22 == 20
=========================== short test summary info ============================
FAILED tests/test_a.py::test_two - assert 22 == 20
FAILED tests/test_a.py::test_x[a b] - assert 1
ERROR tests/test_b.py
ERROR tests/test_c.py - ImportError: no
2 failed, 2 errors in 0.1s
"""
UNITTEST = b"""\
======================================================================
FAIL: test_two (tests.test_a.A.test_two)
----------------------------------------------------------------------
ERROR: test_b (unittest.loader._FailedTest.test_b)
FAILED (failures=1, errors=1)
"""
GO = b"--- FAIL: TestTwo (0.00s)\n    --- FAIL: TestTwo/sub (0.00s)\nFAIL\nFAIL\tshop\t0.1s\n"
TAP = b"1..3\nok 1 - one\nnot ok 2 - adds up # time=1\nnot ok 3\n"


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (PYTEST, ("tests/test_a.py::test_two", "tests/test_a.py::test_x[a b]", "tests/test_b.py", "tests/test_c.py")),
        (UNITTEST, ("test_two (tests.test_a.A.test_two)", "test_b (unittest.loader._FailedTest.test_b)")),
        (GO, ("TestTwo",)),
        (TAP, ("adds up",)),
        (b"", ()),
        (b"all is well\nOK\n", ()),
        (
            UNITTEST.replace(b"\n", b"\r\n"),
            ("test_two (tests.test_a.A.test_two)", "test_b (unittest.loader._FailedTest.test_b)"),
        ),
    ],
    ids=["pytest", "unittest", "go", "tap", "nothing", "no failure", "carriage returns"],
)
def test_names_of_each_runner(output: bytes, names: tuple[str, ...]) -> None:
    assert failing_tests(output) == names


def test_names_are_few_short_and_mislead_no_terminal() -> None:
    many = b"".join(b"FAILED t.py::test_%d - x\n" % number for number in range(40))
    assert failing_tests(many * 2) == (*(f"t.py::test_{number}" for number in range(MAX_NAMES)), "35 more")
    (long,) = failing_tests(b"FAILED " + b"x" * 5000 + b"\n")
    assert len(long) <= 100
    (hostile,) = failing_tests(b"FAILED t.py::\x1b[2Jtest\xff\xe2\x80\xae - x\n")
    assert hostile.isprintable() and "\x1b" not in hostile
