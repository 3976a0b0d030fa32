"""Verification profiles run for real; whatever is not a proven pass is a failure with its code."""

from __future__ import annotations

import ast
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS

from lonelycat.checks import verifier as verifier_module
from lonelycat.checks.result import CheckResult
from lonelycat.checks.verifier import Verifier, validate_verification_profile
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import VerificationProfile
from lonelycat.settings import Limits


def profile(*argv: str, **fields: Any) -> VerificationProfile:
    return VerificationProfile.model_validate({"argv": list(argv), **fields})


@pytest.fixture
def verify(workspace: Path) -> Any:
    def run(*argv: str, changed: tuple[str, ...] = ("a.py",), within: float = 60.0, **fields: Any) -> CheckResult:
        checker = Verifier(workspace, SystemClock(), Limits(max_output_bytes=20_000))
        return checker.run("tests", profile(*argv, **fields), changed, within)

    return run


@pytest.fixture
def verify_in_place(workspace: Path) -> Any:
    """Run where what a command writes stays in the workspace: so it is allowed, and so it can be counted."""

    def run(*argv: str, changed: tuple[str, ...] = ("a.py",), within: float = 60.0, **fields: Any) -> CheckResult:
        checker = Verifier(workspace, SystemClock(), Limits(max_output_bytes=20_000), unsandboxed=True)
        return checker.run("tests", profile(*argv, **{**fields, "sandbox": {"enabled": False}}), changed, within)

    return run


def test_a_pass_has_no_code_and_carries_its_output(verify: Any) -> None:
    result = verify("sh", "-c", "echo checked")
    assert (result.ok, result.code, result.kind, result.name) == (True, None, "verify", "tests")
    assert result.output == b"checked\n"
    assert result.details["exit_code"] == 0


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 1", "VERIFY_FAILED"),
        ("exit 127", "VERIFY_FAILED"),
        ("kill -SEGV $$", "VERIFY_KILLED"),
        ("kill -TERM $$", "VERIFY_KILLED"),
        ("kill -KILL $$", "VERIFY_KILLED"),
        ("sleep 600", "VERIFY_TIMEOUT"),
        ("trap 'exit 0' TERM; while :; do sleep 0.02; done", "VERIFY_TIMEOUT"),
    ],
)
def test_every_other_end_is_a_failure_with_its_code(verify: Any, script: str, code: str) -> None:
    result = verify("sh", "-c", script, timeout=1.0 if code == "VERIFY_TIMEOUT" else PATIENCE_SECONDS)
    assert (result.ok, result.code) == (False, code)
    assert result.message.startswith("tests: ")


def test_the_shorter_time_limit_holds(verify: Any) -> None:
    assert verify("sleep", "600", within=0.3).code == "VERIFY_TIMEOUT"
    assert verify("sleep", "600", timeout=0.3).code == "VERIFY_TIMEOUT"


def test_no_time_left_is_not_a_pass(verify: Any) -> None:
    assert verify("sleep", "1", within=0.0).code == "VERIFY_TIMEOUT"
    assert verify("sleep", "1", within=-5.0).code == "VERIFY_TIMEOUT"


def test_a_missing_command_is_told(verify: Any) -> None:
    result = verify("no-such-tool")
    assert (result.ok, result.code) == (False, "VERIFY_COMMAND_NOT_FOUND")
    assert "no-such-tool" in result.message


def test_stop_is_a_failure(workspace: Path) -> None:
    stop = threading.Event()
    stop.set()
    result = Verifier(workspace, SystemClock(), Limits(), stop=stop).run("t", profile("sleep", "600"), (), 60)
    assert (result.ok, result.code) == (False, "VERIFY_STOPPED")


def test_a_crash_of_the_verifier_is_a_failure(verify: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(verifier_module, "fill", crash)
    result = verify("true")
    assert (result.ok, result.code) == (False, "VERIFY_CRASHED")


def test_placeholders_are_filled_and_nothing_else(verify: Any, workspace: Path) -> None:
    odd = ("a b.py", "ü.txt", "-x", b"\xff\xfe".decode("utf-8", "surrogateescape"), "new\nline")
    script = (
        "import sys; listing, root, raw = sys.argv[1:]\n"
        "print(open(listing, 'rb').read().split(b'\\0'))\n"
        "print(root, raw); print(listing)"
    )
    result = verify("{python}", "-c", script, "{changed_files}", "<{workspace}>", "{other}{}", changed=odd)
    assert result.ok
    listed, second, listing = result.output.decode().splitlines()
    assert ast.literal_eval(listed) == [path.encode("utf-8", "surrogateescape") for path in odd] + [b""]
    assert second == f"<{workspace}> {{other}}{{}}"
    assert not Path(listing).exists()
    assert not Path(listing).is_relative_to(workspace)


def test_the_list_of_paths_stays_out_of_a_workspace_that_holds_tmpdir(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, verify: Any
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(workspace))
    result = verify("sh", "-c", "echo $0; ls -A", "{changed_files}")
    assert result.ok
    assert len(result.output.splitlines()) == 1
    assert list(workspace.iterdir()) == []


def test_it_runs_in_the_directory_asked_for(verify: Any, workspace: Path) -> None:
    (workspace / "sub").mkdir()
    assert verify("pwd", cwd="sub").output == f"{workspace}/sub\n".encode()


@pytest.mark.parametrize("cwd", ["..", "/", "link", "link/deeper", "sub/../..", "loop"])
def test_a_directory_outside_is_refused(verify: Any, workspace: Path, cwd: str) -> None:
    (workspace / "sub").mkdir()
    (workspace / "link").symlink_to("/")
    (workspace / "loop").symlink_to("loop")
    result = verify("touch", "made", cwd=cwd)
    assert (result.ok, result.code) == (False, "CHECK_PATH_OUTSIDE")


def test_a_neighbour_with_the_same_prefix_is_outside(verify: Any, workspace: Path) -> None:
    evil = workspace.with_name(workspace.name + "-evil")
    evil.mkdir()
    (workspace / "link").symlink_to(evil)
    assert verify("true", cwd="link").code == "CHECK_PATH_OUTSIDE"


def test_a_missing_directory_is_a_failure(verify: Any) -> None:
    assert verify("true", cwd="missing").code == "VERIFY_COMMAND_NOT_FOUND"


def test_the_environment_is_scrubbed(verify: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/evil")
    monkeypatch.setenv("WANTED", "w")
    result = verify("env", env={"EXTRA": "e"}, pass_env=["WANTED"])
    names = dict(line.split("=", 1) for line in result.output.decode().splitlines())
    assert "SOME_TOKEN" not in names and "PYTHONPATH" not in names
    assert (names["WANTED"], names["EXTRA"]) == ("w", "e")


def test_running_python_leaves_no_compiled_code_behind(verify: Any, workspace: Path) -> None:
    (workspace / "module.py").write_text("x = 1\n")
    assert verify("{python}", "-c", "import module").ok
    assert [path.name for path in workspace.iterdir()] == ["module.py"]


def test_output_is_bounded(verify: Any) -> None:
    result = verify("{python}", "-c", "print('x' * 3_000_000)")
    assert result.ok and len(result.output) < 21_000 and b"dropped" in result.output


def test_real_pytest_and_unittest_runs_are_told_apart(verify: Any, workspace: Path) -> None:
    (workspace / "test_real.py").write_text("def test_it():\n    assert True\n")
    (workspace / "test_skipped.py").write_text("import pytest\n@pytest.mark.skip\ndef test_it():\n    assert False\n")
    (workspace / "test_none.py").write_text("x = 1\n")
    (workspace / "test_bad.py").write_text("def test_it():\n    assert False\n")
    (workspace / "unit_real.py").write_text(
        "import unittest\nclass T(unittest.TestCase):\n    def test_it(self): pass\n"
    )
    (workspace / "unit_skipped.py").write_text(
        "import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('no')\n    def test_it(self): pass\n"
    )
    pytest_argv = ("{python}", "-m", "pytest", "-p", "no:cacheprovider")
    assert verify(*pytest_argv, "test_real.py").code is None
    assert verify(*pytest_argv, "-q", "--color=yes", "test_real.py", "test_skipped.py").code is None
    for extra in ((), ("-q",), ("--color=yes",), ("-v",)):
        assert verify(*pytest_argv, *extra, "test_skipped.py").code == "VERIFY_NO_TESTS", extra
        assert verify(*pytest_argv, *extra, "test_none.py").code == "VERIFY_NO_TESTS", extra
    assert verify(*pytest_argv, "-k", "nothing", "test_real.py").code == "VERIFY_NO_TESTS"
    assert verify(*pytest_argv, "test_bad.py").code == "VERIFY_FAILED"
    assert verify("{python}", "-m", "unittest", "unit_real").code is None
    assert verify("{python}", "-m", "unittest", "unit_skipped").code == "VERIFY_NO_TESTS"
    assert verify("{python}", "-m", "unittest", "discover", "-p", "none*").code == "VERIFY_NO_TESTS"
    assert verify("sh", "-c", "'$0' -m pytest test_none.py; true".replace("'$0'", '"$0"'), "{python}").code == (
        "VERIFY_NO_TESTS"
    )


def test_the_profiles_own_rules(verify: Any) -> None:
    rules = {"exit_codes": [3], "output_patterns": ["^0 checks$"], "require_output_pattern": r"^[1-9]\d* files"}
    assert verify("sh", "-c", "echo 4 files", no_tests=rules).ok
    assert verify("sh", "-c", "echo 4 files; exit 3", no_tests=rules).code == "VERIFY_NO_TESTS"
    assert verify("sh", "-c", "echo 4 files; echo 0 checks", no_tests=rules).code == "VERIFY_NO_TESTS"
    assert verify("sh", "-c", "echo 0 files", no_tests=rules).code == "VERIFY_NO_TESTS"
    assert verify("sh", "-c", "exit 1", no_tests=rules).code == "VERIFY_FAILED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"no_tests": {"output_patterns": ["ok", "("]}}, "no_tests.output_patterns[1]"),
        ({"no_tests": {"require_output_pattern": "*"}}, "no_tests.require_output_pattern"),
        ({"argv": ["a", "b\0"]}, "argv[1]"),
        ({"argv": [""]}, "argv[0]"),
        ({"env": {"A": "\0"}}, "env.A"),
        ({"env": {"A=B": ""}}, "env"),
        ({"cwd": "a\0"}, "cwd"),
    ],
)
def test_a_profile_that_cannot_work_is_refused_at_load(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        validate_verification_profile("p", VerificationProfile.model_validate({"argv": ["true"], **fields}))
    assert caught.value.code == "VERIFICATION_PARAMETERS"
    assert caught.value.details["field"] == field


def test_a_good_profile_is_accepted() -> None:
    validate_verification_profile("p", profile("pytest", env={"A": "b"}, no_tests={"output_patterns": ["x"]}))


def test_a_flaky_run_is_never_silent(verify_in_place: Any, workspace: Path) -> None:
    flaky = "test -e ran && echo 3 passed in 0.1s || { touch ran; echo 1 failed, 2 passed in 0.1s; exit 1; }"
    result = verify_in_place("sh", "-c", flaky)
    assert result.code == "VERIFY_FAILED" and "flaky" not in result.details
    (workspace / "ran").unlink()
    result = verify_in_place("sh", "-c", flaky, retries=2)
    assert result.ok and result.details["flaky"] is True and result.details["attempts"] == 2
    assert result.message.startswith("tests: passed: 3 passed") and "(flaky: it passed only at try 2)" in result.message
    assert verify_in_place("sh", "-c", flaky, retries=2).details.get("flaky") is None  # it passed at once


def test_nor_is_one_that_its_own_runner_tried_again(verify_in_place: Any) -> None:
    result = verify_in_place("echo", "3 passed, 1 rerun in 0.1s")
    assert result.ok and result.details["flaky"] is True and "1 tried again" in result.message
    result = verify_in_place("sh", "-c", "echo 1 failed, 2 passed, 1 rerun in 0.1s; exit 1")
    assert not result.ok and "flaky" not in result.details and "1 tried again" in result.message
    assert "flaky" not in verify_in_place("echo", "3 passed in 0.1s").details


def test_a_failure_that_stays_is_tried_as_often_as_told(verify_in_place: Any, workspace: Path) -> None:
    result = verify_in_place("sh", "-c", "echo x >> runs; exit 1", retries=2)
    assert result.code == "VERIFY_FAILED" and result.details["attempts"] == 3 and result.details["flaky"] is False
    assert (workspace / "runs").read_text() == "x\n" * 3
    assert "all of its 3 tries" in result.message


@pytest.mark.parametrize("script", ["echo 3 skipped in 0.1s", "echo 1 failed in 0.1s", "exit 3"])
def test_what_chance_does_not_make_is_not_tried_again(verify_in_place: Any, workspace: Path, script: str) -> None:
    rules = {"exit_codes": [3]}
    assert not verify_in_place("sh", "-c", f"echo x >> runs; {script}", retries=5, no_tests=rules).ok
    assert (workspace / "runs").read_text() == "x\n"


def test_retries_keep_the_time_limit_of_the_step(verify_in_place: Any, workspace: Path) -> None:
    result = verify_in_place("sh", "-c", "echo x >> runs; sleep 1; exit 1", retries=10, within=3.0)
    assert not result.ok
    assert 1 <= len((workspace / "runs").read_text().splitlines()) <= 3


@pytest.mark.parametrize("ground", ["verify", "verify_in_place"])
def test_a_report_is_looked_for_where_the_command_wrote_it(ground: str, request: Any, workspace: Path) -> None:
    verify = request.getfixturevalue(ground)
    results = {"format": "junit", "report": "out/r.xml"}
    made = "mkdir -p out && echo '<testsuite><testcase/></testsuite>' > out/r.xml"
    result = verify("sh", "-c", made, results=results, sandbox={"undeclared_writes": "fail"})
    assert result.ok and result.details["tests"]["passed"] == 1 and "1 passed" in result.message
    (workspace / "out").mkdir(exist_ok=True)
    (workspace / "out" / "r.xml").write_text("<testsuite><testcase/></testsuite>")
    os.utime(workspace / "out" / "r.xml", (1, 1))
    assert verify("true", results=results).code == "VERIFY_REPORT_STALE"
    assert verify("rm", "out/r.xml", results=results).code == "VERIFY_REPORT_MISSING"


def test_a_report_leads_nowhere_else(verify: Any, workspace: Path, tmp_path: Path) -> None:
    passed = "<testsuite><testcase/></testsuite>"
    (tmp_path / "other.xml").write_text(passed)
    results = {"format": "junit", "report": "out/r.xml"}
    for made in (
        f"mkdir out && echo '{passed}' > real.xml && ln -s ../real.xml out/r.xml",
        f"mkdir out && ln -s {tmp_path}/other.xml out/r.xml",
        f"mkdir elsewhere && echo '{passed}' > elsewhere/r.xml && ln -s elsewhere out",
        "mkdir out && mkfifo out/r.xml",
        "mkdir -p out/r.xml",
    ):
        assert verify("sh", "-c", made, results=results).code == "VERIFY_REPORT_MISSING", made
    large = "mkdir out && head -c 40000000 /dev/zero > out/r.xml"
    assert verify("sh", "-c", large, results=results).code == "VERIFY_RESULTS_UNREADABLE"
