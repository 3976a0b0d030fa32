"""Ctrl-C and SIGTERM while a change is being verified: rolled back, said, 130."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.interfaces.cli.samples import create, quiet_environment
from tests.patience import until

BY = ("--by", "agent:coder", "--intent", "something slow")


def proposed(cli: Any, workspace: Path) -> str:
    done = cli("-C", workspace, "propose", "--patch", "-", *BY, "--json", stdin=create("slow/a.md"))
    assert done.code == 0, done
    return str(done.json["plan_id"])


def test_ctrl_c_rolls_back_and_says_so(cli: Any, terminal: Any, workspace: Path) -> None:
    plan = proposed(cli, workspace)
    shown = terminal("-C", str(workspace), "execute", plan)
    shown.until("verify:slow")
    assert (workspace / "slow/a.md").exists()
    shown.press_ctrl_c()
    assert shown.end() == 130
    assert "INTERRUPTED" in shown.seen
    assert "as they were" in shown.seen
    assert not (workspace / "slow").exists()
    (entry,) = cli("-C", workspace, "log", "--json").json["executions"]
    assert (entry["status"], entry["error_code"]) == ("rolled_back", "INTERRUPTED")


def test_sigterm_is_an_interrupt_and_the_answer_is_still_json(cli: Any, workspace: Path, tmp_path: Path) -> None:
    plan = proposed(cli, workspace)
    process = subprocess.Popen(
        [sys.executable, "-m", "lonelycat", "-C", str(workspace), "execute", plan, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=quiet_environment(tmp_path),
        start_new_session=True,
    )
    try:
        until(lambda: (workspace / "slow/a.md").exists() or process.poll() is not None, "the change to be applied")
        os.kill(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 130
    answer = json.loads(out)
    assert (answer["code"], answer["ok"], answer["plan_id"]) == ("INTERRUPTED", False, plan)
    assert answer["status"] == "rolled_back"
    assert err == b""
    assert not (workspace / "slow").exists()
