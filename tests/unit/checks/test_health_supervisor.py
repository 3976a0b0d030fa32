"""Kind supervisor against a real supervisord, over its Unix socket and over HTTP."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest
from tests.patience import until
from tests.servers.supervisord import PASSWORD, USER, Supervisord
from tests.unit.checks.probing import Asking, Raw

from lonelycat.errors import LonelyCatError


@pytest.fixture
def server(supervisor_server: Supervisord) -> Supervisord:
    return supervisor_server


def test_only_running_passes(server: Supervisord, ask: Asking) -> None:
    at = {"socket": str(server.socket)}
    seen = ask("supervisor", **at, program="web")
    assert seen.ok and seen.details["state"] == "RUNNING", seen
    assert ask("supervisor", **at, program="pair:one").ok
    dead = ask("supervisor", **at, program="dead")
    assert dead.code == "HEALTH_SUPERVISOR_STATE" and dead.details["state"] in ("STARTING", "BACKOFF")
    off = ask("supervisor", **at, program="off")
    assert off.code == "HEALTH_SUPERVISOR_STATE" and off.details["state"] == "STOPPED"
    unknown = ask("supervisor", **at, program="gone")
    assert unknown.code == "HEALTH_SUPERVISOR_ERROR" and "BAD_NAME" in unknown.message


def test_over_http_with_a_password(server: Supervisord, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    at = {"url": f"http://127.0.0.1:{server.port}", "program": "web"}
    assert ask("supervisor", **at).code == "HEALTH_SUPERVISOR_ERROR"
    monkeypatch.setenv("SUPERVISOR_PASSWORD", PASSWORD)
    user = {"username": USER, "password_env": "SUPERVISOR_PASSWORD"}
    assert ask("supervisor", **at, **user).ok
    monkeypatch.setenv("SUPERVISOR_PASSWORD", "wr0ng-word")
    seen = ask("supervisor", **at, **user)
    assert seen.code == "HEALTH_SUPERVISOR_ERROR" and "401" in seen.message and "wr0ng-word" not in repr(seen)


def test_a_restart_is_seen_and_uptime_counts(server: Supervisord, ask: Asking) -> None:
    at = {"socket": str(server.socket), "program": "web"}
    mark = ask.mark("supervisor", **at, no_restart=True)
    assert ask("supervisor", **at, no_restart=True, mark=mark).ok
    assert ask("supervisor", **at, no_restart=True).code == "HEALTH_NO_BASELINE"
    assert ask.mark("supervisor", **at) is None
    server.restart("web")
    assert ask("supervisor", **at).ok
    assert ask("supervisor", **at, no_restart=True, mark=mark).code == "HEALTH_SUPERVISOR_RESTARTED"
    assert ask("supervisor", **at, min_uptime_seconds=3600).code == "HEALTH_SUPERVISOR_UPTIME"
    until(lambda: ask("supervisor", **at, min_uptime_seconds=1).ok, "an uptime of a second", pause=0.1)


def test_a_program_that_is_down_has_no_mark(server: Supervisord, ask: Asking) -> None:
    with pytest.raises(LonelyCatError) as caught:
        ask.mark("supervisor", socket=str(server.socket), program="off", no_restart=True)
    assert caught.value.code == "HEALTH_SUPERVISOR_STATE"


def test_a_supervisord_that_hangs_or_is_gone(server: Supervisord, ask: Asking, closed_port: int) -> None:
    at = {"socket": str(server.socket), "program": "web"}
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        assert ask("supervisor", within=0.5, **at).code == "HEALTH_SUPERVISOR_TIMEOUT"
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert ask("supervisor", **at).ok
    assert ask("supervisor", socket="gone.sock", program="web").code == "HEALTH_SUPERVISOR_CONNECT"
    nobody = f"http://127.0.0.1:{closed_port}"
    assert ask("supervisor", url=nobody, program="web").code == "HEALTH_SUPERVISOR_CONNECT"


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><methodResponse>&b;</methodResponse>'


@pytest.mark.parametrize(
    "body",
    [
        b"not xml",
        b"<methodResponse></methodResponse>",
        b"<methodResponse><params><param><value><int>1</int></value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><nonsense/></value></param></params></methodResponse>",
        BOMB,
        b"x" * 2_000_000,
    ],
)
def test_what_is_no_answer_of_supervisord_fails(raw_server: Raw, ask: Asking, body: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    seen = ask("supervisor", url=f"http://127.0.0.1:{raw_server(answer)}", program="web")
    assert seen.code == "HEALTH_SUPERVISOR_PROTOCOL"


def test_entities_of_its_own_are_refused_even_in_a_good_answer(raw_server: Raw, ask: Asking) -> None:
    import xmlrpc.client

    good = {"statename": "RUNNING", "now": 100, "start": 1, "pid": 7}
    plain = xmlrpc.client.dumps((good,), methodresponse=True)
    bodies = [plain, plain.replace("<methodResponse>", '<!DOCTYPE m [<!ENTITY r "RUNNING">]><methodResponse>', 1)]
    bodies[1] = bodies[1].replace(">RUNNING<", ">&r;<")

    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        body = bodies.pop(0).encode()
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    url = f"http://127.0.0.1:{raw_server(answer)}"
    assert ask("supervisor", url=url, program="web").ok
    assert ask("supervisor", url=url, program="web").code == "HEALTH_SUPERVISOR_PROTOCOL"


@pytest.mark.parametrize(
    "parameters",
    [
        {"program": "web"},
        {"program": "web", "socket": "s", "url": "http://h"},
        {"program": "a b", "socket": "s"},
        {"program": "web", "socket": "s", "username": "u"},
    ],
)
def test_what_can_never_pass_is_refused(ask: Asking, parameters: dict[str, Any]) -> None:
    assert ask("supervisor", **parameters).code == "HEALTH_PARAMETERS"
