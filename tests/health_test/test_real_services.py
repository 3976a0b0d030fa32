"""``lonelycat health test`` on real services: every fault is noticed, a blind check is told, the live ones live on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.debian import program
from tests.health_test.stage import shop
from tests.patience import until

from lonelycat.interfaces.cli import main
from lonelycat.interfaces.demo.pair.stage import ServicesStage
from lonelycat.runtime.service import LonelyCat

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    program("bwrap", "bubblewrap")
    program("redis-server", "redis-server")


def health(stage: ServicesStage, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["-C", str(stage.workspace), "--json", "health", *words])
    return code, json.loads(capsys.readouterr().out)


def running(stage: ServicesStage) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in stage.programs() if one["name"] != "migrate"}


def test_every_fault_is_noticed_and_the_live_services_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with shop() as stage:
        stage.start()
        views, pids = stage.ask("/items")["views"], running(stage)
        before = health(stage, capsys, "list")[1]
        assert not any(check["proven"] for check in before["checks"])
        assert {item.code for item in LonelyCat.open(stage.workspace).doctor()} == {"HEALTH_UNPROVEN"}
        code, told = health(stage, capsys, "test")
        assert code == 0, told
        tried = {(fault["service"], fault["fault"]) for fault in told["faults"]}
        assert tried == {
            ("web", "stop"), ("web", "hang"), ("web", "answer 500"), ("redis", "stop"), ("redis", "hang"),
            ("postgres", "stop"), ("postgres", "hang"), ("postgres", "refuse database"), ("postgres", "lock tables"),
        }  # fmt: skip
        assert all(fault["noticed"] for fault in told["faults"])
        seen = {(fault["service"], fault["fault"]): fault["seen"] for fault in told["faults"]}
        assert seen["web", "hang"]["web-runs"] == "not_noticed", "supervisord says RUNNING of what is stopped"
        assert seen["redis", "stop"]["database-answers"] == "not_applicable"
        assert set(told["skipped"]) == {"migrate"}
        assert {
            check["name"]: check["proven"] for check in health(stage, capsys, "list")[1]["checks"]
        } == dict.fromkeys(told["checks"], True)
        assert LonelyCat.open(stage.workspace).doctor() == ()
        assert stage.ask("/items")["views"] == views + 1, "nobody but this test asked the live service"
        assert running(stage) == pids, "no live service was restarted"
        (record,) = [one for one in LonelyCat.open(stage.workspace).audit_export() if one["type"] == "health.tested"]
        assert len(record["payload"]["faults"]) == 9  # type: ignore[index]  # JSON
        assert LonelyCat.open(stage.workspace).audit_verify().first_problem is None


COMPARING = """
  web-stays:
    kind: supervisor
    with: {program: web, socket: "%s", no_restart: true}
  nothing-logged:
    kind: log
    with: {path: app/web.py, pattern: "^ERROR"}
"""


def test_a_fault_that_no_check_notices_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """By checks that compare with what was before, too: none of them may keep the rest from being tried."""

    def with_comparing_checks(policy: str) -> str:
        place = policy.partition('socket: "')[2].partition('"')[0]
        return policy.replace("health_checks:\n", f"health_checks:{COMPARING % place}", 1)

    with shop(with_comparing_checks) as stage, socket.socket(socket.AF_UNIX) as live:
        live.bind(str(stage.workspace / "live.sock"))  # as a live service may have in its workspace
        os.mkfifo(stage.workspace / "live.fifo")
        code, told = health(stage, capsys, "test", "web-runs", "web-stays", "nothing-logged")
        assert (code, told["code"]) == (4, "HEALTH_TEST_NOT_NOTICED")
        assert "hang of web" in told["message"] and "stop of redis" in told["message"]
        assert "stop of web" not in told["message"]
        proven = {check["name"]: check["proven"] for check in health(stage, capsys, "list")[1]["checks"]}
        assert {name for name, is_proven in proven.items() if is_proven} == {"web-runs", "web-stays"}


REACHING_OUT = """
import sys
from lonelycat.checks.breaking import database
from lonelycat.errors import StateError
from lonelycat.governance.policy_profiles import BrokenDatabase

place = BrokenDatabase(url=sys.argv[1], service="postgres")
for fault in (database.Refusing(place), database.Locking(place)):
    try:
        with fault():
            print("BROKEN")
    except StateError as error:
        print(error.code)
"""


@pytest.mark.parametrize("inside", [True, False], ids=["of the sandbox", "outside"])
def test_only_a_database_of_the_sandbox_is_broken(stage: ServicesStage, inside: bool) -> None:
    """A live database whose socket can be reached from the sandbox, since nobody called it private."""
    stage.start()
    sandbox = [program("bwrap", "bubblewrap"), "--dev-bind", "/", "/", "--proc", "/proc"]
    argv = [sys.executable, "-c", REACHING_OUT, f"postgresql://shop@/shop?host={stage.run}"]
    done = subprocess.run([*([] if inside else [*sandbox, "--unshare-pid"]), *argv], capture_output=True, text=True)
    expected = "BROKEN" if inside else "HEALTH_TEST_NOT_PRIVATE"
    assert done.stdout.splitlines() == [expected] * 2, done.stderr
    assert stage.psql("select count(*) from items") == "3", "and mended, where it was broken"


@pytest.fixture
def stage() -> Iterator[ServicesStage]:
    with shop() as one:
        yield one


def test_a_copy_that_does_not_start_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    broken = 'start: ["{python}", -c, "raise SystemExit(\'no licence\')"]'
    with shop(
        lambda text: "\n".join(f"  {broken}" if "ops/stack.py" in line else line for line in text.split("\n"))
    ) as one:
        code, told = health(one, capsys, "test")
        assert (code, told["code"]) == (1, "HEALTH_TEST_NOT_READY")
        assert "ended with 1" in told["message"] and "no licence" in told["hint"]


def test_without_a_section_or_a_sandbox_nothing_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: ServicesStage
) -> None:
    with shop(lambda text: text[: text.index("health_test:")]) as other:
        assert health(other, capsys, "test")[1]["code"] == "HEALTH_TEST_UNDEFINED"
    assert health(stage, capsys, "test", "nobody")[1]["code"] == "UNKNOWN_HEALTH_CHECK"
    monkeypatch.setattr("lonelycat.checks.breaking.sandbox.shutil.which", lambda name: None)
    assert health(stage, capsys, "test")[1]["code"] == "HEALTH_TEST_NO_SANDBOX"


def test_the_sandbox_ends_in_time_and_leaves_nothing(stage: ServicesStage, monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.errors import StateError

    monkeypatch.setattr("lonelycat.runtime.health_testing._SECONDS", 4.0)
    with pytest.raises(StateError) as caught:
        LonelyCat.open(stage.workspace).health_test()
    assert caught.value.code == "HEALTH_TEST_TIMEOUT"
    until(lambda: not _names(stage.base), lambda: f"the end of {_names(stage.base)}", pause=0.1)


def _names(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(directory) in line:
                found.append(line.decode(errors="replace"))
    return found
