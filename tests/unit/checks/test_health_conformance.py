"""Every built-in kind keeps what kinds promise, asked of real servers."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS, until_loaded
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.supervisord import PASSWORD, USER, Supervisord

from lonelycat.checks.health import conformance
from lonelycat.checks.health.conformance import Subject, contract
from lonelycat.checks.health.registry import BUILT_IN, health_kind

PROMISES = [test.name for test in contract(Subject("tcp", {}, {}, lambda port: {}))]
OF_SERVERS = {name for name in PROMISES if "_on_" in name}
WITHOUT_SERVER = {"command", "file", "log", "process", "sqlite", "systemd"}


class Fine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Fine) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one.server_port
        one.shutdown()
        thread.join()


@pytest.fixture
def subject(
    request: pytest.FixtureRequest, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, bool], Subject]:
    """Return a function that makes the subject of a kind, with a short limit where it is to be reached."""
    for patience in ("_GRACE_SECONDS", "_SETTLING_SECONDS"):
        monkeypatch.setattr(conformance, patience, PATIENCE_SECONDS)

    def of(kind: str, hangs: bool) -> Subject:
        make = globals()[f"_{kind}"]
        seconds = PATIENCE_SECONDS if not hangs else 3.0 if health_kind(kind).isolated else 1.0
        cases = make(request.getfixturevalue, workspace, monkeypatch)
        return Subject(kind, **cases, workspace=workspace, seconds=seconds)

    return of


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (kind, promise)
        for kind in BUILT_IN
        for promise in PROMISES
        if promise not in OF_SERVERS or kind not in WITHOUT_SERVER
    ],
)
def test_contract(subject: Callable[[str, bool], Subject], kind: str, promise: str) -> None:
    hangs = promise in ("fails_in_time_on_silence", "fails_in_time_on_dripping", "leaves_nothing_behind")
    (test,) = (test for test in contract(subject(kind, hangs)) if test.name == promise)
    test()


# What each kind passes with, fails with, and which parameters make it ask a port.

Get = Callable[[str], Any]


def _command(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    return {"passing": {"argv": ["true"]}, "failing": {"argv": ["false"]}}


def _file(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    (workspace / "there").write_text("x")
    return {"passing": {"path": "there"}, "failing": {"path": "gone"}}


def _log(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    (workspace / "app.log").write_text("started\n")
    silent = {"path": "app.log", "pattern": "ERROR", "expect": "ready"}
    return {"passing": {"path": "app.log", "pattern": "ERROR"}, "failing": silent}


def _process(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    sleeper = subprocess.Popen(["sleep", "600"])
    get("request").addfinalizer(lambda: (sleeper.kill(), sleeper.wait()))
    until_loaded(sleeper.pid)
    return {"passing": {"argv_matches": "sleep 600"}, "failing": {"name": "no-such-program-at-all"}}


def _sqlite(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    with sqlite3.connect(workspace / "app.db") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (i)")
    connection.close()
    return {"passing": {"path": "app.db"}, "failing": {"path": "app.db", "query": "SELECT * FROM t", "min_rows": 1}}


def _systemd(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    """A stand-in for systemctl: the real manager is asked in test_health_systemd.py, from inside its namespaces."""
    stand_in = get("tmp_path") / "bin" / "systemctl"
    stand_in.parent.mkdir()
    stand_in.write_text(
        "#!/bin/sh\ncase $* in *good*) s=active;; *) s=failed;; esac\n"
        "echo LoadState=loaded; echo ActiveState=$s; echo SubState=running; echo NRestarts=0\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    return {"passing": {"unit": "good", "max_restarts": 0}, "failing": {"unit": "bad"}}


def _tcp(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    return {
        "passing": {"port": get("port")},
        "failing": {"port": get("closed_port")},
        "reaching": lambda port: {"port": port, "banner": "^220 "},
    }


def _http(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    monkeypatch.setenv("TOKEN", "t0p-s3cret-token")
    at, token = f"http://127.0.0.1:{get('port')}/", {"request_headers_env": {"X-Token": "TOKEN"}}
    return {
        "passing": {"url": at, **token},
        "failing": {"url": at, "status": 503, **token},
        "reaching": lambda port: {"url": f"http://127.0.0.1:{port}/", **token},
    }


def _prometheus(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    url = get("prometheus_url")
    return {
        "passing": {"url": url, "query": "shop_errors", "max": 5},
        "failing": {"url": url, "query": "shop_errors", "max": 1},
        "reaching": lambda port: {"url": f"http://127.0.0.1:{port}", "query": "up", "min": 1},
    }


def _supervisor(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    server: Supervisord = get("supervisor_server")
    monkeypatch.setenv("SUPERVISOR_PASSWORD", PASSWORD)
    user = {"username": USER, "password_env": "SUPERVISOR_PASSWORD"}
    at = {"url": f"http://127.0.0.1:{server.port}", **user}
    return {
        "passing": {"program": "web", "no_restart": True, **at},
        "failing": {"program": "off", **at},
        "reaching": lambda port: {"program": "web", "url": f"http://127.0.0.1:{port}", **user},
    }


def _redis(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    server: Redis = get("redis_server")
    return {
        "passing": {"port": server.port},
        "failing": {"port": server.port, "role": "replica"},
        "reaching": lambda port: {"port": port},
    }


def _sql(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    database: Postgres = get("database")
    monkeypatch.setenv("APP_DATABASE", database.url())
    monkeypatch.setenv("APP_PASSWORD", database.password)
    one = {"url_env": "APP_DATABASE", "query": "SELECT 1"}
    return {
        "passing": {**one, "equals": 1},
        "failing": {**one, "equals": 2},
        "reaching": lambda port: {
            "url": f"postgresql+psycopg://postgres@127.0.0.1:{port}/x", "password_env": "APP_PASSWORD"
        },
        "secrets": [database.password],
    }  # fmt: skip


def _grpc(get: Get, workspace: Path, monkeypatch: Any) -> dict[str, Any]:
    target = get("grpc_target")
    monkeypatch.setenv("TOKEN", "t0p-secret")
    guarded = {"service": "guarded", "metadata_env": {"token": "TOKEN"}}
    return {
        "passing": {"target": target, **guarded},
        "failing": {"target": target, "service": "broken", "metadata_env": {"token": "TOKEN"}},
        "reaching": lambda port: {"target": f"127.0.0.1:{port}", **guarded},
    }


def test_every_kind_is_asked_everything() -> None:
    assert {name[1:] for name in globals() if name[1:] in BUILT_IN and name[0] == "_"} == set(BUILT_IN)
    assert len(PROMISES) == 13 and len(OF_SERVERS) == 4


def test_what_starts_after_a_look_that_found_nothing_is_no_leak(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of the author's tests may start processes at any time: supervisord tries a dead program for ever."""
    case = Subject("command", passing={"argv": ["true"]}, failing={"argv": ["false"]}, workspace=workspace)
    (test,) = (test for test in contract(case) if test.name == "leaves_nothing_behind")
    look = conformance._held
    looks: list[dict[str, set[str]]] = []
    others: list[subprocess.Popen[bytes]] = []

    def look_and_start_one() -> dict[str, set[str]]:
        looks.append(look())
        if len(looks) > 1 and looks[-1]["processes"] == looks[0]["processes"]:
            others.append(subprocess.Popen(["sleep", "600"]))
        return looks[-1]

    monkeypatch.setattr(conformance, "_held", look_and_start_one)
    monkeypatch.setattr(conformance, "_SETTLING_SECONDS", 0.2)
    try:
        test()
    finally:
        for process in others:
            process.kill()
            process.wait()
    assert len(others) == 1


def test_nobody_can_begin_to_listen_where_a_kind_is_to_meet_nobody(workspace: Path, port: int) -> None:
    """A port that was only looked up as free may have become another program's when the kind asks it."""
    with contextlib.ExitStack() as stack:
        begun: list[socket.socket] = []

        def reaching(closed: int) -> dict[str, Any]:
            with contextlib.suppress(OSError):
                begun.append(stack.enter_context(socket.create_server(("127.0.0.1", closed))))
            return {"port": closed}

        case = Subject("tcp", {"port": port}, {"port": port, "banner": "^220 "}, reaching, workspace=workspace)
        (test,) = (test for test in contract(case) if test.name == "fails_on_nobody")
        test()
    assert begun == []
