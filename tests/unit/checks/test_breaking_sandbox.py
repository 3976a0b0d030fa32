"""What is copied for ``health test``, and how the end of its sandbox is told."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from lonelycat.checks.breaking import sandbox
from lonelycat.errors import StateError


def test_one_that_was_ended_by_the_time_limit_has_not_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the thread that ended it is still at it when the end is seen."""
    kill = subprocess.Popen.kill

    def lingering(process: subprocess.Popen[str]) -> None:
        kill(process)
        time.sleep(0.5)

    monkeypatch.setattr(subprocess.Popen, "kill", lingering)
    with pytest.raises(StateError) as caught:
        sandbox._run(["sleep", "600"], {"PATH": "/usr/bin:/bin"}, "{}", lambda event: None, 0.2)
    assert caught.value.code == "HEALTH_TEST_TIMEOUT"


def test_one_that_ends_by_itself_has_crashed_and_what_it_said_is_told() -> None:
    with pytest.raises(StateError) as caught:
        sandbox._run(["sh", "-c", "echo broken >&2"], {"PATH": "/usr/bin:/bin"}, "{}", lambda event: None, 600)
    assert caught.value.code == "HEALTH_TEST_CRASHED"
    assert "broken" in caught.value.message


def test_one_that_ends_in_the_middle_of_a_line_has_crashed() -> None:
    script = """printf '{"event": "sta'"""
    with pytest.raises(StateError) as caught:
        sandbox._run(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, "{}", lambda event: None, 600)
    assert caught.value.code == "HEALTH_TEST_CRASHED"


def test_what_only_lives_with_a_service_is_not_copied(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sockets and pipes, and files that it removes while the rest is copied."""
    for name in (".git", ".venv", "app"):
        (workspace / name).mkdir(exist_ok=True)
        (workspace / name / "file").write_text(name)
    (workspace / "link").symlink_to("nowhere")
    (workspace / "app" / "soon-gone").write_text("")
    os.mkfifo(workspace / "app" / "pipe")
    monkeypatch.chdir(workspace)  # a short name for the socket
    with socket.socket(socket.AF_UNIX) as live:
        live.bind("app/web.sock")
    copied = shutil.copy2

    def copy_while_it_lives(source: str, target: str) -> object:
        (workspace / "app" / "soon-gone").unlink(missing_ok=True)
        return copied(source, target)

    monkeypatch.setattr(shutil, "copy2", copy_while_it_lives)
    sandbox._copy(workspace, tmp_path / "copy")
    found = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")}
    assert {one for one in found if one.startswith(("app", "link", "."))} == {"app", "app/file", "link"}


def test_a_workspace_that_cannot_be_copied_is_told(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(StateError) as caught:
        sandbox._copy(workspace, tmp_path / "copy")
    assert caught.value.code == "HEALTH_TEST_FAILED" and "exists" in caught.value.message
