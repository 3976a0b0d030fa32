"""Restarts of real processes: the right one is stopped, the new one lives on without our lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS, until

from lonelycat.checks.identity import Identity, command_line, identify
from lonelycat.checks.pidfile import read_pid_file, write_pid_file
from lonelycat.checks.result import CheckResult
from lonelycat.checks.services import process as process_kind
from lonelycat.checks.services.registry import SERVICE_KINDS, validate_service
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.checks.services.stopping import send_signal, stop_service
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import Service
from lonelycat.settings import Limits

PYTHON = (sys.executable, "-S", "-c")
"""Without site: what measures coverage takes SIGTERM over, and one that comes while it starts may be lost."""

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
FORKING = "import os, time; os.fork(); os.fork(); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def restart(workspace: Path) -> Iterator[Callable[..., CheckResult]]:
    def run(
        kind: str = "process", within: float = PATIENCE_SECONDS, pass_fds: tuple[int, ...] = (), **parameters: Any
    ) -> CheckResult:
        service = Service.model_validate({"kind": kind, "with": parameters})
        return ServiceRestarter(workspace, SystemClock(), Limits(), pass_fds).restart("web", service, within)

    yield run
    for path in workspace.rglob("*.pid"):
        noted = read_pid_file(path)
        if noted is not None and noted.identity is not None and noted.identity.alive():
            stop_service(noted.identity, signal.SIGKILL, 0, SystemClock())


def script(text: str, marker: Any) -> list[str]:
    return ["{python}", "-c", f"{text} # {marker.text}"]


def pid_path(workspace: Path) -> Path:
    return workspace / ".lonelycat" / "run" / "web.pid"


def await_log(workspace: Path, text: str, times: int = 1) -> None:
    log = workspace / ".lonelycat" / "run" / "web.log"
    until(lambda: log.exists() and log.read_text().count(text) >= times, f"{text!r} in the log, {times} times")


def test_the_first_restart_starts_and_the_second_replaces(restart: Any, workspace: Path, marker: Any) -> None:
    first = restart(argv=script(SLEEP, marker), settle_seconds=0.1)
    assert (first.ok, first.code, first.kind, first.name) == (True, None, "service:process", "web")
    noted = read_pid_file(pid_path(workspace))
    assert noted is not None and noted.identity == identify(noted.pid)
    assert marker.carriers() == [noted.pid]
    second = restart(argv=script(SLEEP, marker), settle_seconds=0.1, must_be_running=True)
    assert second.ok and second.details["pid"] != first.details["pid"]
    assert marker.carriers() == [second.details["pid"]]
    await_log(workspace, "up", 2)


def test_a_start_that_is_interrupted_leaves_no_service_that_nobody_knows(
    restart: Any, workspace: Path, marker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever restarts it next, such as the rollback, finds what was started, and ends it."""
    run = subprocess.run

    def interrupted(argv: list[str], **options: Any) -> None:
        run(argv, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restart(argv=script(SLEEP, marker))
    monkeypatch.undo()
    (left,) = marker.await_carriers(True)
    again = restart(argv=script(SLEEP, marker), settle_seconds=0.1, must_be_running=True)
    assert again.ok, again
    assert marker.carriers() == [again.details["pid"]] != [left]


def test_a_stubborn_service_is_killed_after_its_grace(restart: Any, workspace: Path, marker: Any) -> None:
    assert restart(argv=script(STUBBORN, marker)).ok
    await_log(workspace, "up")
    result = restart(argv=script(STUBBORN, marker), grace_seconds=0.2)
    assert result.ok
    assert marker.carriers() == [result.details["pid"]]


def test_grace_is_cut_to_the_time_that_is_left(restart: Any, workspace: Path, marker: Any) -> None:
    assert restart(argv=script(STUBBORN, marker)).ok
    for number, within in enumerate((3, 15, 50)):  # what is left has to do for the start, on a busy machine too
        await_log(workspace, "up", number + 1)
        found = restart(argv=script(STUBBORN, marker), grace_seconds=600, settle_seconds=0.1, within=within)
        if found.code != "SERVICE_RESTART_TIMEOUT":
            break
    assert found.ok, found


def test_workers_of_the_service_are_stopped_with_it(restart: Any, workspace: Path, marker: Any) -> None:
    assert restart(argv=script(FORKING, marker)).ok
    await_log(workspace, "up", 4)
    assert len(marker.carriers()) == 4
    result = restart(argv=script(SLEEP, marker))
    assert result.ok
    assert marker.carriers() == [result.details["pid"]]


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "import time; time.sleep(0.2); raise SystemExit(0)"])
def test_a_service_that_ends_is_a_failure_and_its_log_is_shown(restart: Any, marker: Any, text: str) -> None:
    result = restart(argv=script(f"print('said'); {text}", marker), settle_seconds=5)
    assert (result.ok, result.code) == (False, "SERVICE_RESTART_FAILED")
    assert b"said" in result.output


@pytest.mark.parametrize("argv", [["no-such-program"], ["./plain"], ["./odd"], ["./script"]])
def test_a_service_that_cannot_be_started(restart: Any, workspace: Path, argv: list[str]) -> None:
    (workspace / "plain").write_text("x")
    for name, data in (("odd", b"\x7fELF garbage"), ("script", b"#!/no/such/interpreter\n")):
        (workspace / name).write_bytes(data)
        (workspace / name).chmod(0o755)
    result = restart(argv=argv)
    assert (result.ok, result.code) == (False, "SERVICE_RESTART_FAILED")
    assert not pid_path(workspace).exists()


def test_must_be_running(restart: Any, marker: Any) -> None:
    result = restart(argv=script(SLEEP, marker), must_be_running=True)
    assert (result.ok, result.code) == (False, "SERVICE_NOT_RUNNING")
    assert marker.carriers() == []


@pytest.fixture
def bystander(marker: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*PYTHON, "import time; time.sleep(600)"]) as one:
        yield one
        one.kill()


def test_a_recycled_pid_is_never_signalled(restart: Any, workspace: Path, marker: Any, bystander: Any) -> None:
    pid_path(workspace).parent.mkdir(parents=True)
    here = identify(bystander.pid)
    assert here is not None
    for stale in (Identity(here.pid, "1", here.boot), Identity(here.pid, here.started, "another boot")):
        write_pid_file(pid_path(workspace), stale)
        assert restart(argv=script(SLEEP, marker), settle_seconds=0.05).ok
        assert bystander.poll() is None


def test_a_foreign_pid_file_that_names_another_program_stops_the_restart(
    restart: Any, workspace: Path, marker: Any, bystander: Any
) -> None:
    (workspace / "x.pid").write_text(f"{bystander.pid}\n")
    result = restart(argv=script(SLEEP, marker), pid_file="x.pid")
    assert (result.ok, result.code) == (False, "SERVICE_PID_MISMATCH")
    assert bystander.poll() is None and marker.carriers() == []


def test_a_foreign_pid_file_older_than_the_process_is_stale(
    restart: Any, workspace: Path, marker: Any, bystander: Any
) -> None:
    (workspace / "x.pid").write_text(f"{bystander.pid}\n")
    os.utime(workspace / "x.pid", (0, time.time() - 3600))
    assert restart(argv=script(SLEEP, marker), pid_file="x.pid").ok
    assert bystander.poll() is None


def test_a_foreign_pid_file_that_names_the_service_is_believed(restart: Any, workspace: Path, marker: Any) -> None:
    argv = [*PYTHON, f"{SLEEP} # {marker.text}"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as old:
        (workspace / "x.pid").write_text(str(old.pid))
        assert restart(argv=argv, pid_file="x.pid").ok
        assert old.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    shebang = workspace / "serve"
    shebang.write_text("#!/bin/sh\nwhile :; do sleep 0.05; done\n")
    shebang.chmod(0o755)
    with subprocess.Popen(["./serve", marker.text], cwd=workspace) as old:
        (workspace / "y.pid").write_text(str(old.pid))
        assert restart(argv=["./serve", marker.text], pid_file="y.pid").ok
        assert old.wait(PATIENCE_SECONDS) == -signal.SIGTERM


def test_a_service_that_is_just_being_loaded_is_looked_at_again(
    restart: Any, workspace: Path, marker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [*PYTHON, f"{SLEEP} # {marker.text}"]
    looks: list[int] = []

    def loading(pid: int) -> list[str] | None:
        looks.append(pid)
        return command_line(pid) if len(looks) > 2 else []

    monkeypatch.setattr("lonelycat.checks.services.process.command_line", loading)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as old:
        (workspace / "x.pid").write_text(str(old.pid))
        try:
            assert restart(argv=argv, pid_file="x.pid").ok
            assert old.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        finally:
            old.kill()
    assert len(looks) > 2


def test_a_signal_needs_the_whole_identity(bystander: Any) -> None:
    here = identify(bystander.pid)
    assert here is not None
    send_signal(Identity(here.pid, "1", here.boot), signal.SIGKILL)
    send_signal(Identity(2**22 + 5, "1", ""), signal.SIGKILL)
    with pytest.raises(subprocess.TimeoutExpired):
        bystander.wait(0.3)
    send_signal(here, signal.SIGTERM)
    assert bystander.wait(PATIENCE_SECONDS) == -signal.SIGTERM


def test_a_zombie_is_nobody(bystander: Any) -> None:
    here = identify(bystander.pid)
    assert here is not None and here.alive()
    bystander.kill()
    os.waitid(os.P_PID, bystander.pid, os.WEXITED | os.WNOWAIT)
    assert identify(bystander.pid) is None and not here.alive()


RESTARTING = """
import json, os, sys
from pathlib import Path
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.governance.policy import Service
from lonelycat.settings import Limits
service = Service.model_validate({"kind": sys.argv[3], "with": json.loads(sys.argv[2])})
guard = os.open(sys.argv[1] + "/guard", os.O_CREAT | os.O_RDWR)
os.set_inheritable(guard, True)
import fcntl; fcntl.flock(guard, fcntl.LOCK_EX)
r = ServiceRestarter(Path(sys.argv[1]), SystemClock(), Limits(), (guard,)).restart("web", service, 30)
print(r, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", ["process", "command"])
def test_the_service_outlives_us_without_lock_terminal_session_or_pipes(
    kind: str, workspace: Path, marker: Any, restart: Any
) -> None:
    import json

    argv = script(SLEEP, marker)
    if kind == "process":
        parameters: dict[str, Any] = {"argv": argv, "settle_seconds": 0.1}
    else:
        parameters = {"argv": ["setsid", "-f", *argv], "starts_daemon": True}
    done = subprocess.run(
        [sys.executable, "-c", RESTARTING, str(workspace), json.dumps(parameters), kind],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert b"ok=True" in done.stdout
    (pid,) = marker.await_carriers(True)
    with open(workspace / "guard") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    time.sleep(0.1)
    assert marker.carriers() == [pid]
    held = {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    assert set(held) == {"0", "1", "2"} and held["0"] == "/dev/null"
    assert not any("pipe:" in target for target in held.values())
    assert os.getsid(pid) == pid != os.getsid(0)


def test_pid_and_log_may_not_lie_outside(restart: Any, workspace: Path, tmp_path: Path, marker: Any) -> None:
    (workspace / "out").symlink_to(tmp_path)
    for field in ("pid_file", "log_file"):
        result = restart(argv=script(SLEEP, marker), **{field: "out/x"})
        assert (result.ok, result.code) == (False, "CHECK_PATH_OUTSIDE")
    assert marker.carriers() == [] and not (tmp_path / "x").exists()


def test_a_log_over_its_limit_is_set_aside(restart: Any, workspace: Path, marker: Any) -> None:
    log = workspace / "big.log"
    with open(log, "wb") as file:
        file.truncate(11 * 1024 * 1024)
    assert restart(argv=script(SLEEP, marker), log_file="big.log").ok
    assert log.stat().st_size < 1000
    assert (workspace / "big.log.old").stat().st_size == 11 * 1024 * 1024


def test_a_crash_in_a_restart_is_a_failure(restart: Any, marker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(process_kind, "read_pid_file", crash)
    result = restart(argv=script(SLEEP, marker))
    assert (result.ok, result.code) == (False, "SERVICE_RESTART_CRASHED")


# --- kind command ---


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize(
    ("text", "fields", "code"),
    [
        ("echo done", {}, None),
        ("exit 3", {}, "SERVICE_RESTART_FAILED"),
        ("exit 3", {"exit_codes": [3]}, None),
        ("kill -9 $$", {}, "SERVICE_RESTART_FAILED"),
        ("echo said; sleep 600", {}, "SERVICE_RESTART_TIMEOUT"),
    ],
)
def test_a_restart_command(restart: Any, daemon: bool, text: str, fields: dict[str, Any], code: str | None) -> None:
    within = 1.0 if "600" in text else PATIENCE_SECONDS
    result = restart("command", within, argv=["sh", "-c", text], starts_daemon=daemon, **fields)
    assert (result.ok, result.code) == (code is None, code)
    if "echo" in text:
        assert result.output.strip() in (b"done", b"said")


@pytest.mark.parametrize("daemon", [False, True])
def test_a_missing_restart_command(restart: Any, daemon: bool) -> None:
    result = restart("command", argv=["no-such-tool"], starts_daemon=daemon)
    assert (result.ok, result.code) == (False, "SERVICE_COMMAND_NOT_FOUND")


def test_a_restart_command_leaves_a_daemon_only_when_told(restart: Any, marker: Any) -> None:
    argv = ["sh", "-c", f"setsid sh -c 'sleep 600; : {marker.text}' & exit 0"]
    assert restart("command", argv=argv).ok
    assert marker.carriers() == []
    assert restart("command", argv=argv, starts_daemon=True).ok
    assert len(marker.await_carriers(True)) >= 1


def test_a_restart_command_can_signal_the_host(restart: Any, bystander: Any) -> None:
    assert restart("command", argv=["kill", "-TERM", str(bystander.pid)]).ok
    assert bystander.wait(PATIENCE_SECONDS) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("kind", "parameters", "field"),
    [
        ("process", {}, "with.argv"),
        ("process", {"argv": []}, "with.argv"),
        ("process", {"argv": ["a"], "pid_file": "/run/x.pid"}, "with.pid_file"),
        ("process", {"argv": ["a"], "log_file": "../x"}, "with.log_file"),
        ("process", {"argv": ["a"], "stop_signal": "KILL9"}, "with.stop_signal"),
        ("process", {"argv": ["a"], "grace_seconds": -1.0}, "with.grace_seconds"),
        ("command", {"argv": "systemctl restart x"}, "with.argv"),
        ("command", {"argv": ["a"], "other": 1}, "with.other"),
        ("command", {"argv": ["a"], "exit_codes": []}, "with.exit_codes"),
    ],
)
def test_wrong_parameters_are_refused_at_load(kind: str, parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        validate_service("web", Service.model_validate({"kind": kind, "with": parameters}))
    assert caught.value.code == "SERVICE_PARAMETERS"
    assert caught.value.details["field"] == field


def test_every_kind_of_the_policy_is_registered() -> None:
    assert set(SERVICE_KINDS) == set(typing.get_args(Service.model_fields["kind"].annotation))


def test_a_pid_file_is_replaced_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.pid"
    for one in (Identity(7, "123", "boot"), Identity(8, "4", "boot")):
        write_pid_file(path, one)
        noted = read_pid_file(path)
        assert noted is not None and noted.identity == one
    with contextlib.suppress(FileNotFoundError):
        assert list(path.parent.iterdir()) == [path]
