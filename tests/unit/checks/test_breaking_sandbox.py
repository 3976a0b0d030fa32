"""How the end of the sandbox of ``health test`` is told."""

from __future__ import annotations

import subprocess
import time

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
