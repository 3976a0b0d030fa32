"""What a command's end and its tests' results amount to: real runners, and outputs made to deceive."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from tests.debian import program

from lonelycat.checks.results import go_test, junit, pytest_output, tap, unittest_output
from lonelycat.checks.results.counts import TestCounts
from lonelycat.checks.results.judge import Judgement, judge_results
from lonelycat.governance.policy import VerificationProfile


def judge(
    output: bytes | str, exit_code: int = 0, root: Path | None = None, argv: Any = ("run",), **fields: Any
) -> Judgement:
    profile = VerificationProfile.model_validate({"argv": list(argv), **fields})
    data = output.encode() if isinstance(output, str) else output
    return judge_results(profile, root or Path("/"), exit_code, data, time.time() - 60)


def numbers(counts: TestCounts | None) -> tuple[int, int, int, int]:
    assert counts is not None
    return counts.passed, counts.failed, counts.skipped, counts.errors


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
    "\n----\nRan 0 tests in 0.000s\n\nNO TESTS RAN\n",
    "1..0 # SKIP no network\n",
    "TAP version 14\n1..2\nok 1 # SKIP\nok 2 - b # skip later\n",
    "1..2\nok 1 # SKIP\nok 2 # skip: later\n",
    "?   \texample.com/a\t[no test files]\n",
    "ok  \texample.com/a\t0.1s [no tests to run]\n",
    '{"Action":"start","Package":"a"}\n{"Action":"skip","Package":"a"}\n',
]
SOMETHING = [
    "",
    "whatever a linter says\n",
    "12 passed in 0.1s\n",
    "1 passed, 3 subtests passed in 0.01s\n",
    "=== 2 passed, 3 subtests passed, 1 subtests skipped, 1 warning in 61.01s (0:01:01) ===\n",
    "== 1 passed, 3 skipped in 0.10s ==\n",
    "1 xfailed, 3 skipped in 0.10s\n",
    "collected 0 items printed by a test\n1 passed in 0.1s\n",
    "3 skipped in 0.1s\n1 passed in 0.1s\n",
    "the 3 skipped in 0.1s were not a summary\n",
    "Ran 3 tests in 0.001s\n\nOK (skipped=2)\n",
    "Ran 3 tests in 0.001s\n\nOK\n",
    "1..5\n",
    "ok\nok then\n",
    "TAP version 14\nok 1\n1..1\n",
    "ok  \texample.com/a\t(cached)\n?   \texample.com/b\t[no test files]\n",
]
DISAGREES = [
    "1 failed, 3 passed in 0.1s\n",
    "3 passed, 1 error in 0.1s\n",
    "Ran 3 tests in 0.001s\n\nFAILED (failures=1)\n",
    "Ran 3 tests in 0.001s\n\nFAILED (unexpected successes=1)\n",
    "Ran 3 tests in 0.001s\n\nFAILED\n",
    "Ran 3 tests in 0.001s\n",
    "1 passed, 1 subtests failed, 3 subtests passed in 0.1s\n",
    "1..2\nok 1\nnot ok 2\n",
    "1..1\nnot ok 1 # SKIP no network\n",
    "1..3\nok 1\nok 2\n",
    "1..1\nok 1\nok 2 - one more than planned\n",
    "TAP version 13\nok 1\n",
    "1..2\nok 1\nok 1\n",
    "1..2\nok 1\nBail out! the disk is full\n",
    "1..2\nok 1\n1..2\nok 2\n",
    "1..1\nok 1\n1..1\nnot ok 1\n",
    "ok  \ta\t0.1s\nFAIL\tb\t0.1s\nFAIL\n",
    "ok  \ta\t0.1s\nFAIL\tb [build failed]\n",
    '{"Action":"pass","Package":"a","Test":"T"}\n{"Action":"fail","Package":"a"}\n',
    '{"Action":"pass","Package":"a","Test":"T"}\n',
]


@pytest.mark.parametrize("output", NOTHING)
def test_nothing_tested(output: str) -> None:
    assert judge(output).code == "VERIFY_NO_TESTS"


@pytest.mark.parametrize("output", SOMETHING)
def test_something_tested(output: str) -> None:
    assert judge(output).code is None


@pytest.mark.parametrize("output", DISAGREES)
def test_exit_code_0_is_not_believed_against_the_results(output: str) -> None:
    assert judge(output).code == "VERIFY_RESULTS_DISAGREE"
    assert judge(output, results={"format": "exit_code"}).code is None


def test_a_failing_command_is_failing_whatever_it_says() -> None:
    for output in (*NOTHING, *SOMETHING, *DISAGREES):
        assert judge(output, 1).code == "VERIFY_FAILED"
    assert judge("something else", 5).code == "VERIFY_FAILED"
    assert judge("no tests ran in 0.00s\n", 5).code == "VERIFY_NO_TESTS"
    assert judge("1 failed, 3 passed in 0.1s\n", 1).message == "exited with 1: 1 failed, 3 passed"


def test_the_counts_are_said() -> None:
    seen = judge("12 passed, 1 skipped in 0.1s\n")
    assert seen.message == "passed: 12 passed, 1 skipped"
    assert seen.tests is not None and seen.tests.facts() == {
        "format": "pytest", "passed": 12, "failed": 0, "skipped": 1, "errors": 0, "reruns": 0, "counts": "tests",
    }  # fmt: skip
    again = judge("12 passed, 2 rerun in 0.1s\n")
    assert again.message == "passed: 12 passed, 2 tried again"
    maven = b"<testsuite><testcase><flakyFailure/><flakyError/></testcase><testcase/></testsuite>"
    assert junit.read_report(maven).words() == "2 passed, 2 tried again"
    both = judge("12 passed in 0.1s\nok  \ta\t0.1s\n")
    assert both.tests is not None and (both.tests.source, both.tests.passed) == ("pytest+go test", 13)


@pytest.mark.parametrize(
    "argv",
    [
        ("pytest", "-q"),
        ("/x/.venv/bin/pytest",),
        ("{python}", "-m", "pytest"),
        ("python3", "-X", "dev", "-m", "pytest"),
        ("pytest-3",),
        ("uv", "run", "pytest"),
        ("coverage", "run", "-m", "unittest"),
        ("python3", "-m", "unittest", "discover"),
        ("go", "test", "./..."),
    ],
)
def test_a_known_runner_that_says_nothing_has_not_passed(argv: tuple[str, ...]) -> None:
    for garbage in ("", "all fine\n", "\0" * 100, "1..1\nok 1\n"):
        assert judge(garbage, argv=argv).code == "VERIFY_RESULTS_UNREADABLE"
    assert judge("", argv=argv, results={"format": "exit_code"}).code is None


@pytest.mark.parametrize("name", ["pytest", "unittest", "go_test", "tap"])
def test_a_format_that_is_named_must_be_there(name: str) -> None:
    for garbage in ("", "all fine\n", "x" * 100_000):
        assert judge(garbage, results={"format": name}).code == "VERIFY_RESULTS_UNREADABLE"


def test_hostile_output_does_not_break_it() -> None:
    for output in (
        b"\xff\xfe\x00" * 100_000,
        b"1 passed, " * 100_000,
        b"Ran " + b"9" * 60_000 + b" tests in 0.1s\n",
        b"9" * 6_000 + b" passed in 0.1s\n",
        b"=" * 1_000_000,
        b"ok " * 300_000,
        b"ok 1\n" * 200_000,
        b'{"' * 400_000,
        (b'{"a":' + b"[" * 50_000 + b"\n") * 10,
        b"1.." + b"9" * 100_000 + b"\n",
    ):
        assert judge(output).code is None


# --- real runners ---


def run(root: Path, *argv: str, **environment: str) -> tuple[int, bytes]:
    done = subprocess.run(
        argv, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )  # fmt: skip
    return done.returncode, done.stdout


PYTEST = """
import pytest
def test_a(): pass
def test_b(): assert BROKEN
@pytest.mark.skip
def test_c(): pass
@pytest.mark.xfail
def test_d(): assert 0
def test_e(gone): pass
"""


def test_a_real_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PYTEST.replace("BROKEN", "0"))
    for extra in (("-q",), ("--color=yes", "-v")):
        code, output = run(tmp_path, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *extra)
        seen = judge(output, code)
        assert seen.code == "VERIFY_FAILED" and numbers(seen.tests) == (2, 1, 1, 1), extra
        assert judge(output, 0).code == "VERIFY_RESULTS_DISAGREE"
    (tmp_path / "test_it.py").write_text(PYTEST.replace("BROKEN", "1").replace("(gone)", "()"))
    code, output = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert (judge(output, code).code, numbers(judge(output, code).tests)) == (None, (4, 0, 1, 0))


UNITTEST = """
import unittest
class T(unittest.TestCase):
    def test_a(self): pass
    def test_b(self): self.assertTrue(BROKEN)
    @unittest.skip("no")
    def test_c(self): pass
    @unittest.expectedFailure
    def test_d(self): self.fail()
    def test_e(self): ERROR
"""


def test_a_real_pytest_with_subtests(tmp_path: Path) -> None:
    subtests = "def test_a(subtests):\n    for i in range(3):\n        with subtests.test(i=i): assert i < {}\n"
    for most, expected in ((5, (1, 0, 0, 0)), (2, (0, 2, 0, 0))):  # the subtest, and the test because of it
        (tmp_path / "test_it.py").write_text(subtests.format(most))
        _, output = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        seen = judge(output, int(expected[1] > 0), argv=("pytest",))
        assert (seen.code is None) is (expected[1] == 0), output
        assert numbers(seen.tests) == expected, output


def test_a_real_unittest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(UNITTEST.replace("BROKEN", "0").replace("ERROR", "1 / 0"))
    argv = [sys.executable, "-m", "unittest", "test_it"]
    code, output = run(tmp_path, *argv)
    seen = judge(output, code, argv=argv)
    assert seen.code == "VERIFY_FAILED" and numbers(seen.tests) == (2, 1, 1, 1)
    (tmp_path / "test_it.py").write_text(UNITTEST.replace("BROKEN", "1").replace("ERROR", "pass"))
    code, output = run(tmp_path, *argv)
    seen = judge(output, code, argv=argv)
    assert seen.code is None and numbers(seen.tests) == (4, 0, 1, 0)


PERL = """
use Test::More;
ok(1, "one");
ok(BROKEN, "two");
SKIP: { skip "no reason", 1; ok(1); }
TODO: { local $TODO = "later"; ok(0, "four"); }
subtest nested => sub { plan tests => 2; ok(1); ok(1); };
done_testing();
"""


def test_real_tap_from_perl_and_prove(tmp_path: Path) -> None:
    prove = program("prove", "perl")
    (tmp_path / "a.t").write_text(PERL.replace("BROKEN", "1"))
    (tmp_path / "b.t").write_text("use Test::More tests => 2; ok(1); ok(1);\n")
    code, output = run(tmp_path, "perl", "a.t")
    seen = judge(output, code)
    assert seen.code is None and numbers(seen.tests) == (4, 0, 1, 0)
    code, output = run(tmp_path, prove, "--verbose", "a.t", "b.t")
    seen = judge(output, code, results={"format": "tap"})
    assert seen.code is None and numbers(seen.tests) == (6, 0, 1, 0), output
    (tmp_path / "a.t").write_text(PERL.replace("BROKEN", "0"))
    code, output = run(tmp_path, prove, "--verbose", "a.t", "b.t")
    seen = judge(output, code)
    assert seen.code == "VERIFY_FAILED" and numbers(seen.tests) == (5, 1, 1, 0), output
    (tmp_path / "a.t").write_text("use Test::More tests => 3; ok(1); exit 0;\n")
    code, output = run(tmp_path, "perl", "a.t")
    assert judge(output, 0).code == "VERIFY_RESULTS_DISAGREE"
    (tmp_path / "a.t").write_text("use Test::More skip_all => 'no database';\n")
    code, output = run(tmp_path, "perl", "a.t")
    assert (code, judge(output, code).code) == (0, "VERIFY_NO_TESTS")


GO_VERBOSE = """=== RUN   TestA
--- PASS: TestA (0.00s)
=== RUN   TestB
    b_test.go:9: no database
--- SKIP: TestB (0.00s)
=== RUN   TestC
=== RUN   TestC/deep
--- PASS: TestC (0.10s)
    --- PASS: TestC/deep (0.10s)
PASS
ok  	example.com/shop	0.105s
"""


def test_go_test_as_text_and_json() -> None:
    assert numbers(go_test.read(GO_VERBOSE)) == (2, 0, 1, 0)
    broken = GO_VERBOSE.replace("--- PASS: TestA", "--- FAIL: TestA").replace("ok  \t", "FAIL\t")
    assert numbers(go_test.read(broken)) == (1, 1, 1, 0)
    assert numbers(go_test.read(GO_VERBOSE + "FAIL\texample.com/other [build failed]\n")) == (2, 0, 1, 1)
    assert numbers(go_test.read(broken + "FAIL\texample.com/other [build failed]\n")) == (1, 1, 1, 1)
    terse = "ok  \texample.com/a\t0.1s\tcoverage: 80.0% of statements\nok  \texample.com/b\t(cached)\n"
    counts = go_test.read(terse)
    assert counts is not None and counts.words() == "2 packages passed"
    events = textwrap.dedent(
        """
        {"Time":"2030-01-01T00:00:00Z","Action":"start","Package":"example.com/shop"}
        {"Action":"run","Package":"example.com/shop","Test":"TestA"}
        {"Action":"output","Package":"example.com/shop","Test":"TestA","Output":"=== RUN   TestA\\n"}
        {"Action":"pass","Package":"example.com/shop","Test":"TestA","Elapsed":0}
        {"Action":"pass","Package":"example.com/shop","Test":"TestC/deep","Elapsed":0}
        {"Action":"fail","Package":"example.com/shop","Test":"TestC","Elapsed":0}
        {"Action":"skip","Package":"example.com/shop","Test":"TestB","Elapsed":0}
        {"Action":"fail","Package":"example.com/shop","Elapsed":0.1}
        """
    )
    assert numbers(go_test.read(events)) == (1, 1, 1, 0)
    assert go_test.read("not json\n{}\n[]\n") is None


# --- JUnit ---

SUITE = '<testsuite name="s" tests="4" failures="{failures}" errors="0">{cases}</testsuite>'
CASES = (
    '<testcase name="a"/><testcase name="b"><skipped/></testcase>'
    '<testcase name="c"><failure message="x"/><error/></testcase><testcase name="d"><error/></testcase>'
)


def test_junit_counts() -> None:
    assert numbers(junit.read_report(SUITE.format(failures=0, cases=CASES).encode())) == (1, 1, 1, 1)
    nested = f"<testsuites><testsuite failures='1'>{SUITE.format(failures=1, cases=CASES)}</testsuite></testsuites>"
    assert numbers(junit.read_report(nested.encode())) == (1, 1, 1, 1)
    claimed = SUITE.format(failures=7, cases='<testcase name="a"/>')
    assert numbers(junit.read_report(claimed.encode())) == (1, 7, 0, 0)
    assert numbers(junit.read_report(b"<testsuite/>")) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("report", "bad"),
    [
        ("<testsuites failures='2'><testsuite>{}</testsuite></testsuites>", (2, 0)),
        ("<testsuite><testsuite failures='1' errors='2'>{}</testsuite></testsuite>", (1, 2)),
        ("<testsuite failures='1'><testsuite failures='3'>{}</testsuite><testsuite errors='1'/></testsuite>", (3, 1)),
        ("<testsuite failures='9'><testsuite failures='3'>{}</testsuite></testsuite>", (9, 0)),
        ("<testsuites><testsuite failures='1'/><testsuite failures='1'/>{}</testsuites>", (2, 0)),
        ("<testsuite>{}<error>the set-up of all</error></testsuite>", (0, 1)),
        ("<testsuites><testsuite>{}</testsuite><failure/></testsuites>", (1, 0)),
    ],
)
def test_what_failed_is_believed_wherever_a_report_says_so(report: str, bad: tuple[int, int]) -> None:
    told = junit.read_report(report.format("<testcase/>").encode())
    assert numbers(told) == (1, bad[0], 0, bad[1])


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 1000 + b'"><!ENTITY b "' + b"&a;" * 1000 + b'">]><testsuite>&b;</testsuite>'
)
EXTERNAL = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite>&a;</testsuite>'


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"not xml",
        b"<html/>",
        b"<testsuites/>",
        b"<testsuite>",
        b"<testsuite failures='many'/>",
        b"<testsuite failures='-1'/>",
        b"<testsuite>" * 100 + b"</testsuite>" * 100,
        BOMB,
        EXTERNAL,
        b'<?xml version="1.0" encoding="nonsense"?><testsuite/>',
        b"\x1f\x8b\x08",
    ],
)
def test_a_report_that_is_none_is_not_believed(tmp_path: Path, report: bytes) -> None:
    (tmp_path / "r.xml").write_bytes(report)
    with pytest.raises(junit.ReportError):
        junit.read_report(report)
    seen = judge("12 passed in 0.1s\n", root=tmp_path, results={"report": "r.xml"})
    assert seen.code == "VERIFY_RESULTS_UNREADABLE"


def test_a_real_report_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PYTEST.replace("BROKEN", "0"))
    code, output = run(tmp_path, sys.executable, "-m", "pytest", "-qq", "--junitxml=r.xml", "-p", "no:cacheprovider")
    results = {"format": "junit", "report": "r.xml"}
    seen = judge(output, code, tmp_path, results=results)
    assert seen.code == "VERIFY_FAILED" and numbers(seen.tests) == (1, 1, 2, 1)
    assert judge(output, 0, tmp_path, results=results).code == "VERIFY_RESULTS_DISAGREE"


def test_a_report_must_be_of_this_run(tmp_path: Path) -> None:
    results = {"report": "r.xml"}
    assert judge("", root=tmp_path, results=results).code == "VERIFY_REPORT_MISSING"
    (tmp_path / "r.xml").write_text("<testsuite><testcase/></testsuite>")
    assert judge("", root=tmp_path, results=results).code is None
    os.utime(tmp_path / "r.xml", (time.time() - 61, time.time() - 61))
    assert judge("", root=tmp_path, results=results).code == "VERIFY_REPORT_STALE"
    assert judge("", 1, tmp_path, results=results).code == "VERIFY_FAILED"
    (tmp_path / "r.xml").unlink()
    (tmp_path / "r.xml").mkdir()
    assert judge("", root=tmp_path, results=results).code == "VERIFY_REPORT_MISSING"
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert judge("", root=tmp_path, results={"report": "link"}).code == "VERIFY_REPORT_MISSING"
    os.mkfifo(tmp_path / "pipe")
    assert judge("", root=tmp_path, results={"report": "pipe"}).code == "VERIFY_REPORT_MISSING"
    with (tmp_path / "big").open("wb") as file:
        file.truncate(junit.MAX_BYTES + 1)
    assert judge("", root=tmp_path, results={"report": "big"}).code == "VERIFY_RESULTS_UNREADABLE"


def test_readers_take_no_others_output() -> None:
    assert pytest_output.read(GO_VERBOSE) is unittest_output.read(GO_VERBOSE) is tap.read(GO_VERBOSE) is None
    assert go_test.read("3 passed in 0.1s\n") is None
