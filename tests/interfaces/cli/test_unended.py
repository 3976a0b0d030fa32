"""What ``status`` names as running or unfinished can be shown, with what it did so far."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.interfaces.cli.samples import create, quiet_environment
from tests.interfaces.cli.test_commands import propose
from tests.patience import until


def test_an_execution_that_has_not_ended_is_shown(cli: Any, workspace: Path, tmp_path: Path) -> None:
    plan = propose(cli, workspace, create("slow/a.md"))["plan_id"]
    argv = [sys.executable, "-m", "lonelycat", "execute", plan]
    with subprocess.Popen(argv, cwd=workspace, env=quiet_environment(tmp_path), stdout=subprocess.DEVNULL) as process:
        try:
            until((workspace / "slow/a.md").exists, lambda: "the change was not put in place")
            execution = cli("-C", workspace, "status", "--json").json["running"]["execution_id"]
            for identifier in (execution, plan):
                shown = cli("-C", workspace, "show", identifier)
                assert shown.code == 0 and f"RUNNING  {execution}" in shown.text, shown
                assert "lonelycat execute" not in shown.text, "it is being executed"
                facts = cli("-C", workspace, "show", identifier, "--json").json
                assert (facts["plan_id"], facts["running"]["execution_id"]) == (plan, execution)
            assert cli("-C", workspace, "show", execution, "--json").json["events"]
            refused = cli("-C", workspace, "revert", execution, "--by", "maria", "--json").json
            assert (refused["code"], refused["ok"]) == ("NOT_COMPLETED", False) and "not ended" in refused["message"]
        finally:
            process.kill()
    assert cli("-C", workspace, "status", "--json").json["unfinished"] == [execution]
    shown = cli("-C", workspace, "show", execution)
    assert shown.code == 0 and "lonelycat recover" in shown.text, shown
    facts = cli("-C", workspace, "show", execution, "--json").json
    assert (facts["unfinished"], facts["execution_id"]) == (True, execution) and facts["events"]
    assert cli("-C", workspace, "revert", execution, "--by", "maria", "--json").json["code"] == "NOT_COMPLETED"
    assert cli("-C", workspace, "recover").code == 0
    assert cli("-C", workspace, "show", execution, "--json").json["status"] == "rolled_back"
    assert not (workspace / "slow/a.md").exists()
