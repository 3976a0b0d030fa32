"""Whatever happens inside, the outside is an exit code, a text or one JSON object."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES

from lonelycat import errors
from lonelycat.interfaces.cli import boundary, registry
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report

SECRET = "AKIA" + "Q3EGZX7P5VJ2WKTN"
Raise = Callable[[BaseException], None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Raise]:
    """Return a function that sets what the command ``status`` raises."""
    module = ModuleType("failing_command")
    wanted: list[BaseException] = []

    def command(call: Invocation) -> Report:
        """Fail."""
        raise wanted[0]

    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "failing_command", module)
    monkeypatch.setitem(registry.COMMANDS, "status", registry.Entry("failing_command", "Look"))
    yield wanted.append


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError, 2),
        (errors.PolicyError, 2),
        (errors.NeedsApprovalError, 3),
        (errors.RefusedError, 4),
        (errors.ConflictError, 5),
        (errors.StepFailedError, 6),
        (errors.FrozenError, 7),
        (errors.LockTimeoutError, 8),
        (errors.StateError, 1),
    ],
)
def test_an_error_becomes_its_exit_code(
    failing: Raise, capsys: pytest.CaptureFixture[str], error: type[errors.LonelyCatError], code: int
) -> None:
    failing(error("SOME_CODE", "it \x1b[31mfailed", "Do \u202ethis.", details={"plan_id": "plan_1"}))
    assert boundary.run(["status"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert "error SOME_CODE: it \\x1b[31mfailed" in told.err
    assert "Do \\u202ethis." in told.err
    assert boundary.run(["status", "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert (answer["code"], answer["hint"], answer["plan_id"]) == ("SOME_CODE", "Do \u202ethis.", "plan_1")


def test_a_defect_is_one_line_and_a_private_file(
    failing: Raise, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".lonelycat").mkdir()
    failing(ZeroDivisionError(f"key {SECRET}"))
    assert boundary.run(["--json", "status"]) == 1
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert answer["code"] == "INTERNAL_ERROR"
    assert told.err == ""
    file = Path(answer["traceback_file"])
    assert file.parent == tmp_path / ".lonelycat"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in file.read_text()
    assert SECRET not in file.read_text()
    assert SECRET not in told.out
    assert boundary.run(["status"]) == 1
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert told.err.startswith("error INTERNAL_ERROR: ")


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EIO, "IO_ERROR"), (errno.ENOSPC, "NO_SPACE"), (errno.EROFS, "READ_ONLY"), (errno.EACCES, "NO_RIGHTS")],
)
def test_what_the_machine_refuses_is_no_defect(
    failing: Raise, capsys: pytest.CaptureFixture[str], tmp_path: Path, number: int, code: str
) -> None:
    failing(OSError(number, os.strerror(number), "/some/place"))
    assert boundary.run(["-C", str(tmp_path), "--json", "status"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["code"], "traceback_file" in answer) == (code, False)
    assert "/some/place" in answer["message"]
    assert answer["hint"]
    assert list(tmp_path.iterdir()) == []


def test_a_defect_where_there_is_no_state_writes_nothing_into_the_workspace(
    failing: Raise, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    failing(ZeroDivisionError())
    assert boundary.run(["-C", str(workspace), "status", "--json"]) == 1
    assert list(workspace.iterdir()) == []
    assert Path(json.loads(capsys.readouterr().out)["traceback_file"]).parent == elsewhere


def test_an_interrupt_is_130(failing: Raise, capsys: pytest.CaptureFixture[str]) -> None:
    failing(KeyboardInterrupt())
    assert boundary.run(["status"]) == 130
    assert "INTERRUPTED" in capsys.readouterr().err
    assert boundary.run(["status", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["code"] == "INTERRUPTED"


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["approve"],
        ["--nonsense"],
        ["-C"],
        ["execute", "plan_1", "plan_2"],
        ["policy"],
        ["policy", "nonsense"],
        ["execute", "plan_1", "--lock-timeout", "soon"],
        ["execute", "plan_1", "--lock-timeout", "-1"],
        [],
    ],
)
def test_bad_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.run(argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err
    assert boundary.run([*argv, "--json"]) == 2
    told = capsys.readouterr()
    assert told.err == ""
    answer = json.loads(told.out)
    assert (answer["ok"], answer["code"]) == (False, "USAGE")


def test_only_the_command_that_is_asked_for_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert boundary._commands_needed(["-C", "propose", "--json", "check", "--patch", "x"]) == ["check"]
    assert boundary._commands_needed(["--workspace=x", "check"]) == ["check"]
    assert boundary._commands_needed(["nonsense"]) is None
    assert boundary._commands_needed(["--help"]) is None


class Full(io.StringIO):
    """Standard output on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def fileno(self) -> int:
        return self.spare

    spare = -1


def test_output_that_cannot_be_written_is_said_and_never_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    full = Full()
    full.spare = os.open(tmp_path / "spare", os.O_WRONLY | os.O_CREAT)
    try:
        monkeypatch.setattr(sys, "stdout", full)
        assert boundary.run(["--version"]) == 1
    finally:
        os.close(full.spare)
    assert "OUTPUT_FAILED" in capsys.readouterr().err


def test_exit_of_a_report_is_kept_when_its_reader_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        answer: Any = boundary._deliver(Invocation(json_output=True), Report(Exit.REFUSED, {"a": 1}))
        assert answer is Exit.REFUSED


def test_who_only_looks_is_not_told_that_a_change_may_be_under_way(cli: Any, workspace: Path) -> None:
    assert cli("-C", workspace, "run", "--patch", "-", "--by", "a", "--intent", "x", stdin=UPDATE_NOTES).code == 0
    (workspace / ".lonelycat/lonelycat.db").write_bytes(b"garbage " * 5_000)
    for command in ("status", "log", "doctor"):
        shown = cli("-C", workspace, command)
        assert shown.code == 1 and "DATABASE_CORRUPT" in shown.err + shown.text
        assert f"`lonelycat {command}`" not in shown.err + shown.text, "it is what was run just now"
    assert "`lonelycat status`" in cli("-C", workspace, "recover").err
