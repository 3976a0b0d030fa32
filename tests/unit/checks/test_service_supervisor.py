"""Restarts by a real supervisord: RUNNING past startsecs passes, everything else fails with a code and in time."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS, until
from tests.servers.supervisord import PASSWORD, USER, WAITING, Supervisord, python_program, supervisord
from tests.unit.checks.documented import documented
from tests.unit.checks.probing import Raw, decided, silent

from lonelycat.checks.result import CheckResult
from lonelycat.checks.services.registry import validate_service
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import Service
from lonelycat.settings import Limits

DYING = "import sys; sys.exit('no database here')"
LATE = "import sys, time; time.sleep(1.3); sys.exit('too late')"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
RELOADING = (
    "import signal, time; signal.signal(signal.SIGHUP, lambda *_: print('reloaded', flush=True)); "
    "print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="lc-") as name:
        yield Path(name)


def act(workspace: Path, within: float = PATIENCE_SECONDS, action: str = "restart", **parameters: Any) -> CheckResult:
    service = Service.model_validate({"kind": "supervisor", "action": action, "with": parameters})
    return ServiceRestarter(workspace, SystemClock(), Limits()).restart("web", service, within)


@pytest.fixture
def ask(short: Path, workspace: Path) -> Iterator[Callable[..., CheckResult]]:
    programs = {"web": WAITING, "dying": DYING, "late": LATE, "reloading": RELOADING}
    with supervisord(short, _sections(short, programs, "stopwaitsecs=30", "autostart=false")) as server:
        yield lambda **given: act(workspace, **{"socket": str(server.socket), **given})


def _sections(directory: Path, programs: Mapping[str, str], *settings: str) -> str:
    """Return the sections of programs that are tried once, and write to a file of their name in ``directory``."""
    return "\n".join(
        python_program(name, text, "startsecs=1", "startretries=0", "autorestart=false",
                       f"stdout_logfile={directory}/{name}.out", *settings)
        for name, text in programs.items()
    )  # fmt: skip


def test_a_restart_replaces_the_process_and_waits_until_it_runs(ask: Callable[..., CheckResult]) -> None:
    first = ask(program="web")
    assert (first.ok, first.code, first.kind) == (True, None, "service:supervisor"), first
    assert first.duration_seconds >= 1, "startsecs was not waited for"
    second = ask(program="web:web", settle_seconds=0)
    assert second.ok and "runs as process" in second.message
    before, after = (found.details["pids"]["web:web"] for found in (first, second))  # type: ignore[index]
    assert before != after
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_a_program_that_ends_at_once_fails_with_what_it_said(ask: Callable[..., CheckResult]) -> None:
    found = ask(program="dying")
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED")
    assert "FATAL" in found.message or "BACKOFF" in found.message
    assert b"no database here" in found.output


def test_a_program_that_ends_within_the_settling_time_fails(ask: Callable[..., CheckResult]) -> None:
    found = ask(program="late", settle_seconds=30)
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED"), found
    assert "EXITED" in found.message
    assert b"too late" in found.output


def test_no_time_to_settle_is_not_settled(ask: Callable[..., CheckResult], short: Path) -> None:
    assert ask(program="reloading").ok
    until(lambda: (short / "reloading.out").read_text() == "up\n", "the program to listen")
    found = decided(lambda: ask(program="reloading", action="reload", within=2.0, settle_seconds=600))
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_TIMEOUT"), found


def test_an_unknown_program_and_an_unknown_group(ask: Callable[..., CheckResult]) -> None:
    assert ask(program="nobody").code == "SERVICE_NOT_KNOWN"
    assert ask(program="nobody:*").code == "SERVICE_NOT_KNOWN"


def test_a_group_is_restarted_whole(ask: Callable[..., CheckResult]) -> None:
    found = ask(program="web:*")
    assert found.ok and list(found.details["pids"]) == ["web:web"]  # type: ignore[call-overload]


def test_reload_and_signal_reach_the_running_process(ask: Callable[..., CheckResult], short: Path) -> None:
    started = ask(program="reloading")
    said = short / "reloading.out"
    until(lambda: said.exists() and said.read_text() == "up\n", "the program to listen")
    reloaded = ask(program="reloading", action="reload", settle_seconds=0.3)
    assert reloaded.ok and reloaded.details == started.details
    until(lambda: said.read_text() != "up\n", "the program to say something")
    assert said.read_text() == "up\nreloaded\n"
    told = ask(program="reloading", action="signal", signal="USR1", settle_seconds=30)
    assert (told.ok, told.code) == (False, "SERVICE_RESTART_FAILED"), "USR1 ends it, and that is not ok"
    assert ask(program="reloading", action="reload").code == "SERVICE_NOT_RUNNING"


def test_a_program_that_does_not_end_is_a_timeout(short: Path, workspace: Path) -> None:
    with supervisord(short, _sections(short, {"web": STUBBORN}, "stopwaitsecs=600")) as server:
        until(lambda: (short / "web.out").exists() and (short / "web.out").read_text(), "the program to be deaf")
        found = decided(lambda: act(workspace, 1.0, program="web", socket=str(server.socket)))
        assert (found.ok, found.code) == (False, "SERVICE_RESTART_TIMEOUT")


def test_what_does_not_run_yet_cannot_reload(short: Path, workspace: Path) -> None:
    with supervisord(short, python_program("web", WAITING, "startsecs=600")) as server:
        at = {"program": "web", "socket": str(server.socket)}
        assert act(workspace, action="reload", **at).code == "SERVICE_NOT_RUNNING"
        assert decided(lambda: act(workspace, 2.0, **at)).code == "SERVICE_RESTART_TIMEOUT", "STARTING is not RUNNING"


def _pid(server: Supervisord) -> int:
    return int(server.state("web")["pid"])


def test_the_password_comes_from_the_environment(short: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with supervisord(short, _sections(short, {"web": WAITING}), guarded=True) as server:
        given = {"program": "web", "socket": str(server.socket), "settle_seconds": 0}
        assert act(workspace, **given).code == "SERVICE_MANAGER_REFUSED"
        given |= {"username": USER, "password_env": "SUPERVISOR_PASSWORD"}
        missing = act(workspace, **given)
        assert missing.code == "SERVICE_MANAGER_REFUSED" and "SUPERVISOR_PASSWORD is not set" in missing.message
        monkeypatch.setenv("SUPERVISOR_PASSWORD", "wrong")
        assert act(workspace, **given).code == "SERVICE_MANAGER_REFUSED"
        monkeypatch.setenv("SUPERVISOR_PASSWORD", PASSWORD)
        assert act(workspace, **given).ok


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "SERVICE_MANAGER_ANSWER"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\n<cut", "SERVICE_MANAGER_ANSWER"),
        (b"HTTP/1.0 200 OK\r\n\r\n<html>hello</html>", "SERVICE_MANAGER_ANSWER"),
        (b"HTTP/1.0 500 No\r\n\r\n", "SERVICE_MANAGER_ANSWER"),
        (b"HTTP/1.0 200 OK\r\n\r\n<methodResponse><params><param><value><int>1</int></value></param></params>"
         b"</methodResponse>", "SERVICE_MANAGER_ANSWER"),
        (b"\xff" * 3_000_000, "SERVICE_MANAGER_ANSWER"),
    ],
    ids=["nothing", "cut", "no XML-RPC", "500", "another shape", "too much"],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_failure(raw_server: Raw, workspace: Path, answer: bytes, code: str) -> None:
    def handle(connection: socket.socket) -> None:
        asked = b""
        while b"</methodCall>" not in asked and (more := connection.recv(65536)):
            asked += more  # what is left unread makes the end of the connection a reset
        connection.sendall(answer)

    found = act(workspace, program="web", url=f"http://127.0.0.1:{raw_server(handle)}")
    assert (found.ok, found.code) == (False, code), found


def test_a_socket_that_accepts_and_never_answers_or_drips_is_a_timeout(raw_server: Raw, workspace: Path) -> None:
    def dripping(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)

    for handle in (silent, dripping):
        found = act(workspace, 0.7, program="web", url=f"http://127.0.0.1:{raw_server(handle)}")
        assert (found.ok, found.code) == (False, "SERVICE_MANAGER_TIMEOUT"), found
        assert found.duration_seconds > 0.6


def test_nobody_listens(workspace: Path) -> None:
    assert act(workspace, program="web", socket="run/none.sock").code == "SERVICE_MANAGER_UNREACHABLE"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"program": "web"}, "with"),
        ({"program": "web", "socket": "/s", "url": "http://127.0.0.1:1"}, "with"),
        ({"program": "web", "url": "http://me:secret@127.0.0.1:1"}, "with.url"),
        ({"program": "web", "url": "unix:///run/s.sock"}, "with.url"),
        ({"program": "web", "socket": "/s", "username": "me"}, "with"),
        ({"program": "a b", "socket": "/s"}, "with.program"),
        ({"program": "web", "socket": "/s", "signal": "HUP"}, "with.signal"),
        ({"program": "web", "socket": "/s", "wait": True}, "with.wait"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        validate_service("web", Service.model_validate({"kind": "supervisor", "with": parameters}))
    assert caught.value.code == "SERVICE_PARAMETERS"
    assert caught.value.details["field"] == field


def test_the_action_signal_needs_a_signal_and_command_cannot_reload() -> None:
    for given, field in (
        ({"kind": "supervisor", "action": "signal", "with": {"program": "web", "socket": "/s"}}, "with.signal"),
        ({"kind": "command", "action": "reload", "with": {"argv": ["true"]}}, "action"),
    ):
        with pytest.raises(PolicyError) as caught:
            validate_service("web", Service.model_validate(given))
        assert caught.value.details["field"] == field


def test_the_documented_example(short: Path, workspace: Path) -> None:
    with supervisord(short, _sections(short, {"web": WAITING})) as server:
        name, service = documented("supervisor", socket=str(server.socket))
        found = ServiceRestarter(workspace, SystemClock(), Limits()).restart(name, service, PATIENCE_SECONDS)
    assert found.ok, found


SLOW_TO_END = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.5), sys.exit(0))); "
    "print('up', flush=True); time.sleep(600)"
)
ONCE = (
    "import os, sys, time; again = os.path.exists('{mark}'); open('{mark}', 'w').close(); "
    "print('up', flush=True); sys.exit('no second time') if again else time.sleep(600)"
)


def _told_to_end(short: Path, workspace: Path, program: str, autorestart: str, within: float, **given: Any) -> Any:
    """Return the pid before, and what came of telling a real program to end by a signal, as its way to restart."""
    settings = ("startsecs=1", "startretries=0", f"autorestart={autorestart}", f"stdout_logfile={short}/web.out")
    with supervisord(short, python_program("web", program, *settings)) as server:
        until(lambda: server.state("web")["statename"] == "RUNNING", lambda: str(server.state("web")))
        if "print('up'" in program:
            until(lambda: (short / "web.out").read_text() == "up\n", "the program to listen")
        before = _pid(server)
        at: dict[str, Any] = {"program": "web", "socket": str(server.socket), "signal": "TERM", **given}
        found = decided(lambda: act(workspace, within, "signal", **at))
        return before, found, server.state("web")


@pytest.mark.parametrize(
    ("program", "autorestart"),
    [(WAITING, "true"), (WAITING, "unexpected"), (SLOW_TO_END, "true")],
    ids=["at once", "by the default of supervisord", "slowly"],
)
def test_a_program_that_ends_by_a_signal_and_is_started_again_has_restarted(
    short: Path, workspace: Path, program: str, autorestart: str
) -> None:
    before, found, alive = _told_to_end(short, workspace, program, autorestart, PATIENCE_SECONDS)
    assert found.ok, (found, alive)
    assert found.details["pids"]["web:web"] != before, "the old process was taken for the new one"
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_a_program_that_nobody_starts_again_is_a_failure_that_says_so(short: Path, workspace: Path) -> None:
    for program, autorestart in ((WAITING, "false"), (SLOW_TO_END, "unexpected")):
        directory = short / autorestart
        _, found, alive = _told_to_end(directory, workspace, program, autorestart, PATIENCE_SECONDS)
        assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED"), (found, alive)
        assert "EXITED" in found.message and "autorestart" in found.message, found


def test_a_program_that_does_not_start_again_is_a_failure(short: Path, workspace: Path) -> None:
    program = ONCE.replace("{mark}", str(short / "mark"))
    _, found, alive = _told_to_end(short, workspace, program, "true", PATIENCE_SECONDS)
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED"), (found, alive)
    assert b"no second time" in found.output


def test_a_program_that_does_not_end_by_its_signal_has_not_restarted(short: Path, workspace: Path) -> None:
    before, found, alive = _told_to_end(short, workspace, STUBBORN, "true", 3.0, settle_seconds=0)
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_TIMEOUT"), (found, alive)
    assert f"process {before}, which SIGTERM has not ended" in found.message
