"""The demonstration ends as told, cleans up after itself, and fails when it does not end as told."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lonelycat.checks.pidfile import read_pid_file
from lonelycat.governance.policy_file import load_policy
from lonelycat.interfaces.cli import main
from lonelycat.interfaces.demo.performance import shop
from lonelycat.interfaces.demo.policy import demo_policy
from lonelycat.interfaces.demo.scenes import SCENES, Expectation, Play, Scene
from lonelycat.interfaces.demo.throwaway import Throwaway

pytestmark = pytest.mark.timeout(400)


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    return subprocess.run(
        [sys.executable, "-m", "lonelycat", "demo", *arguments],
        cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=380,
    )


def test_every_scene_ends_as_told_and_everything_is_removed(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT SO" not in done.stdout
    for scene in SCENES:
        assert scene.title in done.stdout
    assert done.stdout.count("as told") > 25
    assert list(tmp_path.iterdir()) == []
    service = re.search(r"http://127.0.0.1:([0-9]+)", done.stdout)
    assert service is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(service[1])), timeout=2)


def test_an_interrupt_in_an_execution_ends_it_all(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "lonelycat", "demo"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before: list[str] = []
        for line in process.stdout:
            before.append(line)
            if " apply " in line:
                process.send_signal(signal.SIGINT)
                break
        after = process.stdout.read()
    assert process.returncode == 130, "".join(before) + after
    assert "INTERNAL_ERROR" not in after and after.count("INTERRUPTED") >= 1
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object_and_keep_keeps(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert [scene["name"] for scene in answer["scenes"]] == [*(scene.name for scene in SCENES), "history"]
    assert all(scene["as_told"] for scene in answer["scenes"])
    shop = Path(answer["directory"]) / "shop"
    assert (shop / "app/service.py").is_file()
    noted = read_pid_file(shop / ".lonelycat/run/web.pid")
    assert noted is not None
    assert noted.running() is None, "the service is ended though the directory is kept"


def test_a_scene_that_does_not_end_as_told_makes_it_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def surprise(play: Play) -> list[Expectation]:
        return [Expectation("the sky", "blue", "green \x1b[31m")]

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("lonelycat.interfaces.demo.performance._records", lambda play: [])
    programme = shop((Scene("sky", "The sky", "Look up.", surprise),))
    monkeypatch.setattr("lonelycat.interfaces.cli.narration.shop", lambda: programme)
    assert main(["demo"]) == 1
    told = capsys.readouterr().out
    assert "NOT SO" in told
    assert "expected blue, got green \\x1b[31m" in told
    assert list(tmp_path.iterdir()) == []


def test_the_stage_is_taken_down_when_a_scene_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(play: Play) -> list[Expectation]:
        raise ZeroDivisionError

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    only = shop((Scene("x", "X", "X", broken),))
    monkeypatch.setattr("lonelycat.interfaces.cli.narration.shop", lambda: only)
    assert main(["demo", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "INTERNAL_ERROR"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_its_port_is_none_that_the_kernel_gives_to_who_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is down for moments, and any connection of the machine could have its port then."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(5):
        stage = Throwaway()
        stage.close(keep=False)
        assert 1024 <= stage.port < first


def test_the_policy_of_the_demonstration_loads() -> None:
    loaded = load_policy(demo_policy(port=8080, public_key="A" * 43 + "=").encode(), source="demo")
    assert loaded.policy.approvals.methods == ("key",)


def test_the_tree_digest_sees_bytes_modes_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stage = Throwaway()
    try:
        file = stage.workspace / "file"
        file.write_bytes(b"one")
        (stage.workspace / ".lonelycat").mkdir()
        seen = {stage.tree_digest()}
        (stage.workspace / ".lonelycat/x").write_bytes(b"x")
        assert stage.tree_digest() in seen
        file.write_bytes(b"two")
        seen.add(stage.tree_digest())
        file.chmod(0o755)
        seen.add(stage.tree_digest())
        file.rename(stage.workspace / "other")
        seen.add(stage.tree_digest())
        assert len(seen) == 4
    finally:
        stage.close(keep=False)
    assert list(tmp_path.iterdir()) == []
