"""A ``process`` health check that looks for a text must not find it where the check itself was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, quiet_environment
from tests.patience import until_loaded

WORKER = f"worker-{uuid.uuid4().hex}"
"""Of this run alone: the check sees every process of the machine."""

CHECKS = f"""
health_checks:
  worker:
    kind: process
    with: {{argv_matches: "{WORKER}"}}
    timeout: 20
    attempts: 1
"""


@pytest.fixture
def checked(workspace: Path) -> Path:
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + CHECKS)
    return workspace


def _ask_through(argv: list[str], workspace: Path, home: Path) -> dict[str, Any]:
    """Ask by ``argv``, the end of whose output is the answer of ``lonelycat health run --json``."""
    done = subprocess.run(argv, cwd=workspace, env=quiet_environment(home), capture_output=True, timeout=100)
    facts = json.loads(done.stdout.splitlines()[-1])
    (check,) = facts["results"]
    return check  # type: ignore[no-any-return]


def _lonelycat() -> str:
    return f"{sys.executable} -m lonelycat --json health run"


WRAPPERS = {
    "a shell that waits": ["sh", "-c", f"{_lonelycat()}; : {WORKER}"],
    "a shell in a shell": ["bash", "-c", f"sh -c '{_lonelycat()}; :'; : {WORKER}"],
    "a script with an argument": ["sh", "./wrapper.sh", WORKER],
    "one with a part in the background": ["sh", "./background.sh", WORKER],
    "a tool of one's own": [
        sys.executable,
        "-c",
        f"import subprocess; subprocess.run({_lonelycat().split()!r})  # {WORKER}",
    ],
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_asks_is_not_what_is_asked_for(checked: Path, tmp_path: Path, wrapper: str) -> None:
    (checked / "wrapper.sh").write_text(f"{_lonelycat()}\ntrue\n")
    alive = "( while :; do read _ || exit; done ) <fifo &\nexec 9>fifo\n"
    (checked / "background.sh").write_text(f"mkfifo fifo\n{alive}{_lonelycat()}\ntrue\n")
    seen = _ask_through(WRAPPERS[wrapper], checked, tmp_path)
    assert seen["code"] == "HEALTH_PROCESS_MISSING", seen
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()", WORKER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as worker:
        until_loaded(worker.pid)
        seen = _ask_through(WRAPPERS[wrapper], checked, tmp_path)
        assert (seen["ok"], seen["details"]["count"]) == (True, 1), "the worker counts, once"


def test_a_change_is_not_kept_because_its_own_command_names_the_service(checked: Path, tmp_path: Path) -> None:
    policy = checked / "agent/policies/default.yaml"
    text = policy.read_text().replace("    attempts: 1", "    attempts: 1\n    already_failing: block")
    policy.write_text(text.replace("for_risk: []", "for_risk: [LOW]"))
    intent = f"restart {WORKER}"
    line = f"{sys.executable} -m lonelycat --json run --patch - --by agent:x --intent '{intent}'; : {intent}"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=checked,
        env=quiet_environment(tmp_path),
        input=UPDATE_NOTES,
        capture_output=True,
        timeout=100,
    )
    facts = json.loads(done.stdout)
    assert (facts["code"], facts["status"]) == ("HEALTH_ALREADY_FAILING", "rejected"), facts


def test_a_name_is_no_mention_of_one(workspace: Path, tmp_path: Path) -> None:
    """What started LonelyCat may be the very service, as sshd is: by its exact name it counts."""
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + CHECKS.replace(f'argv_matches: "{WORKER}"', "name: the-shell"))
    (tmp_path / "the-shell").symlink_to("/bin/sh")
    seen = _ask_through([str(tmp_path / "the-shell"), "-c", f"{_lonelycat()}; :"], workspace, tmp_path)
    assert seen["ok"], seen
