"""The other kinds of health check against real sockets, processes, commands, files and databases."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS, until_loaded
from tests.unit.checks.probing import Raw, silent

from lonelycat.checks.health.kind import ProbeContext, ProbeResult
from lonelycat.checks.health.registry import health_kind, validate_health_check
from lonelycat.checks.identity import identify
from lonelycat.checks.pidfile import write_pid_file
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError, RefusedError
from lonelycat.governance.policy import HealthCheck
from lonelycat.settings import Limits


@pytest.fixture
def probe(workspace: Path) -> Callable[..., ProbeResult]:
    def run(kind: str, within: float = PATIENCE_SECONDS, **parameters: Any) -> ProbeResult:
        one = health_kind(kind)
        context = ProbeContext(workspace, SystemClock(), Limits(max_output_bytes=10_000))
        return one.probe(context, one.parameters.model_validate(parameters), within)

    return run


# --- tcp ---


def test_tcp_open_and_refused(raw_server: Raw, probe: Any, closed_port: int) -> None:
    port = raw_server(lambda connection: None)
    assert probe("tcp", port=port).ok
    assert probe("tcp", port=closed_port).code == "HEALTH_TCP_REFUSED"
    assert probe("tcp", host="a" * 70 + ".invalid", port=1).code == "HEALTH_TCP_UNREACHABLE"


def test_tcp_banner(raw_server: Raw, probe: Any) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"22")
        time.sleep(0.05)
        connection.sendall(b"0 ready\r\n")

    def flood(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x" * 65536)

    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    assert probe("tcp", port=raw_server(greet), banner="^220 ").ok
    assert probe("tcp", port=raw_server(greet), banner="^250 ").code == "HEALTH_TCP_BANNER"
    assert probe("tcp", port=raw_server(lambda c: None), banner="^220 ").code == "HEALTH_TCP_BANNER"
    assert probe("tcp", port=raw_server(flood), banner="^220 ").code == "HEALTH_TCP_BANNER"
    assert probe("tcp", port=raw_server(drip), banner="^220 ", within=0.4).code == "HEALTH_TCP_TIMEOUT"
    assert probe("tcp", port=raw_server(silent), banner="2", within=0.2).code == "HEALTH_TCP_TIMEOUT"


def test_tcp_a_full_backlog_times_out(probe: Any) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        assert probe("tcp", port=listener.getsockname()[1], within=0.3).code == "HEALTH_TCP_TIMEOUT"


def test_a_resolver_that_hangs_is_left_behind(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    assert probe("tcp", host="slow.example", port=80, within=0.1).code == "HEALTH_TCP_TIMEOUT"
    assert probe("http", url="http://slow.example/", within=0.1).code == "HEALTH_HTTP_TIMEOUT"


# --- process ---


@pytest.fixture
def sleeper(marker: Any) -> Any:
    with subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(600) # {marker.text}"]) as one:
        until_loaded(one.pid)
        yield one
        one.kill()


def test_process_by_own_pid_file(probe: Any, sleeper: Any, workspace: Path) -> None:
    here = identify(sleeper.pid)
    assert here is not None
    write_pid_file(workspace / "run" / "web.pid", here)
    assert probe("process", pid_file="run/web.pid").ok
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{sleeper.pid}").exists(), "it was to be a zombie here"
    assert probe("process", pid_file="run/web.pid").code == "HEALTH_PROCESS_MISSING"
    sleeper.wait()
    assert probe("process", pid_file="run/web.pid").code == "HEALTH_PROCESS_MISSING"


def test_a_recycled_pid_is_not_the_process(probe: Any, sleeper: Any, workspace: Path) -> None:
    (workspace / "own.pid").write_text(f"{sleeper.pid}\n1\nanother-boot\n")
    assert probe("process", pid_file="own.pid").code == "HEALTH_PROCESS_MISSING"
    foreign = workspace / "foreign.pid"
    foreign.write_text(f"{sleeper.pid}\n")
    assert probe("process", pid_file="foreign.pid").ok
    os.utime(foreign, (0, time.time() - 3600))
    assert probe("process", pid_file="foreign.pid").code == "HEALTH_PROCESS_MISSING"


def test_a_pid_file_that_says_more_in_its_own_way(probe: Any, sleeper: Any, workspace: Path) -> None:
    """Such as PostgreSQL's ``postmaster.pid``."""
    foreign = workspace / "postmaster.pid"
    for rest in ("/var/lib/data\n1795665178\n5432\n\n127.0.0.1\n", "1\n1\n1\n", "\n\n\n"):
        foreign.write_text(f"{sleeper.pid}\n{rest}")
        assert probe("process", pid_file="postmaster.pid").ok
        os.utime(foreign, (0, time.time() - 3600))
        assert probe("process", pid_file="postmaster.pid").code == "HEALTH_PROCESS_MISSING", "a recycled pid"


@pytest.mark.parametrize("content", ["", "\n", "abc", "-1", "0", "1e3", "99999999999", "٣", "\0", "4194304999"])
def test_a_pid_file_without_a_pid_is_no_process(probe: Any, workspace: Path, content: str) -> None:
    (workspace / "x.pid").write_text(content)
    assert probe("process", pid_file="x.pid").code == "HEALTH_PROCESS_MISSING"


def test_a_missing_or_odd_pid_file_is_no_process(probe: Any, workspace: Path) -> None:
    os.mkfifo(workspace / "fifo")
    for name in ("missing", "fifo", "."):
        assert probe("process", pid_file=name).code == "HEALTH_PROCESS_MISSING"


def test_process_by_arguments_and_name(probe: Any, sleeper: Any, marker: Any, workspace: Path) -> None:
    assert probe("process", argv_matches=f"sleep.*{marker.text}").ok
    assert probe("process", argv_matches=marker.text, at_least=2).code == "HEALTH_PROCESS_MISSING"
    assert probe("process", argv_matches=marker.text + "x").code == "HEALTH_PROCESS_MISSING"
    assert probe("process", argv_matches=marker.text, name="no-such").code == "HEALTH_PROCESS_MISSING"
    (workspace / "x.pid").write_text(str(sleeper.pid))
    assert probe("process", pid_file="x.pid", argv_matches=marker.text).ok
    assert probe("process", pid_file="x.pid", argv_matches="another").code == "HEALTH_PROCESS_MISSING"
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert probe("process", argv_matches=marker.text).code == "HEALTH_PROCESS_MISSING"


# --- command ---


@pytest.mark.parametrize(
    ("script", "parameters", "code"),
    [
        ("exit 0", {}, None),
        ("exit 1", {}, "HEALTH_COMMAND_FAILED"),
        ("exit 3", {"exit_codes": [0, 3]}, None),
        ("exit 0", {"exit_codes": 3}, "HEALTH_COMMAND_FAILED"),
        ("kill -9 $$", {}, "HEALTH_COMMAND_FAILED"),
        ("echo ready now", {"output_matches": "^ready"}, None),
        ("echo not ready", {"output_matches": "^ready"}, "HEALTH_COMMAND_OUTPUT"),
        ("echo $X", {"output_matches": "^set$", "env": {"X": "set"}}, None),
        ("sleep 600", {}, "HEALTH_COMMAND_TIMEOUT"),
    ],
)
def test_command(probe: Any, script: str, parameters: dict[str, Any], code: str | None) -> None:
    within = 1.0 if "600" in script else PATIENCE_SECONDS
    seen = probe("command", argv=["sh", "-c", script], within=within, **parameters)
    assert (seen.ok, seen.code) == (code is None, code)


def test_command_missing_and_outside(probe: Any, workspace: Path) -> None:
    assert probe("command", argv=["no-such-tool"]).code == "HEALTH_COMMAND_NOT_FOUND"
    with pytest.raises(RefusedError):
        probe("command", argv=["true"], cwd="..")


def test_a_health_command_sees_the_hosts_processes(probe: Any, sleeper: Any) -> None:
    assert probe("command", argv=["kill", "-0", str(sleeper.pid)]).ok


# --- file ---


def test_file_facts(probe: Any, workspace: Path) -> None:
    (workspace / "f").write_text("hello\nworld\n")
    (workspace / "d").mkdir()
    assert probe("file", path="f", contains="lo\nwo", matches="^world$", min_bytes=12, max_age_seconds=60).ok
    assert probe("file", path="d", type="directory", writable=True, min_free_bytes=1).ok
    assert probe("file", path="missing").code == "HEALTH_FILE_MISSING"
    assert probe("file", path="f/x").code == "HEALTH_FILE_MISSING"
    assert probe("file", path="d").code == "HEALTH_FILE_TYPE"
    assert probe("file", path="f", type="directory").code == "HEALTH_FILE_TYPE"
    assert probe("file", path="f", contains="absent").code == "HEALTH_FILE_CONTENT"
    assert probe("file", path="f", matches="^absent").code == "HEALTH_FILE_CONTENT"
    assert probe("file", path="f", min_bytes=13).code == "HEALTH_FILE_CONTENT"
    assert probe("file", path="f", min_free_bytes=2**60).code == "HEALTH_FILE_NO_SPACE"


def test_a_stale_or_future_file(probe: Any, workspace: Path) -> None:
    (workspace / "f").write_text("x")
    for shift in (-3600, 3600):
        os.utime(workspace / "f", (0, time.time() + shift))
        assert probe("file", path="f", max_age_seconds=60).code == "HEALTH_FILE_STALE"


def test_a_file_that_cannot_be_written(probe: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "f").write_text("x")
    assert probe("file", path="f", writable=True).ok
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert probe("file", path="f", writable=True).code == "HEALTH_FILE_NOT_WRITABLE"


def test_a_needle_across_chunks_of_a_large_file(probe: Any, workspace: Path) -> None:
    for position in (65536 - 3, 65536 + 1024 * 1024 - 3, 2_500_000):
        (workspace / "f").write_bytes(b"n" * position + b"needle" + b"e" * 1000)
        assert probe("file", path="f", contains="needle").ok
        assert probe("file", path="f", contains="needlee" + "x").code == "HEALTH_FILE_CONTENT"


def test_links_out_fifos_and_devices(probe: Any, workspace: Path) -> None:
    (workspace / "link").symlink_to("/etc/passwd")
    (workspace / "directory").symlink_to("/etc")
    os.mkfifo(workspace / "fifo")
    for name in ("link", "directory/passwd"):
        with pytest.raises(RefusedError):
            probe("file", path=name, contains="root")
    assert probe("file", path="fifo", contains="x").code == "HEALTH_FILE_TYPE"


def test_an_endless_file_is_left_at_the_limit(probe: Any, workspace: Path) -> None:
    with open(workspace / "huge", "wb") as file:
        file.truncate(1 << 40)
    assert probe("file", path="huge", contains="needle", within=0.2).code == "HEALTH_FILE_TIMEOUT"


# --- sqlite ---


@pytest.fixture
def database(workspace: Path) -> Path:
    path = workspace / "app 1%?.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"row {n}" * 50) for n in range(500)])
    return path


def test_sqlite_answers(probe: Any, database: Path) -> None:
    name = database.name
    before = database.read_bytes()
    assert probe("sqlite", path=name, integrity="full").ok
    assert probe("sqlite", path=name, query="SELECT count(*) FROM t", equals=500).ok
    assert probe("sqlite", path=name, query="SELECT a FROM t WHERE a < 2 ORDER BY a", rows=[[0], [1]]).ok
    assert probe("sqlite", path=name, query="SELECT a FROM t", min_rows=500).ok
    assert probe("sqlite", path=name, query="SELECT NULL", equals=None).ok
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"query": "SELECT count(*) FROM t", "equals": 1}, "HEALTH_SQLITE_RESULT"),
        ({"query": "SELECT a FROM t WHERE a < 0", "equals": None}, "HEALTH_SQLITE_RESULT"),
        ({"query": "SELECT a FROM t LIMIT 1", "rows": [[0], [1]]}, "HEALTH_SQLITE_RESULT"),
        ({"query": "SELECT a FROM t LIMIT 2", "min_rows": 3}, "HEALTH_SQLITE_RESULT"),
        ({"query": "SELECT * FROM missing", "min_rows": 1}, "HEALTH_SQLITE_QUERY"),
        ({"query": "SELEC", "min_rows": 1}, "HEALTH_SQLITE_QUERY"),
        ({"query": "DELETE FROM t", "min_rows": 1}, "HEALTH_SQLITE_QUERY"),
        ({"query": "DROP TABLE t", "min_rows": 1}, "HEALTH_SQLITE_QUERY"),
        ({"query": "SELECT 1; SELECT 2", "min_rows": 1}, "HEALTH_SQLITE_QUERY"),
    ],
)
def test_sqlite_wrong_answers(probe: Any, database: Path, parameters: dict[str, Any], code: str) -> None:
    before = database.read_bytes()
    seen = probe("sqlite", path=database.name, **parameters)
    assert (seen.ok, seen.code) == (False, code)
    assert database.read_bytes() == before


def test_sqlite_damage_absence_and_strangers(probe: Any, database: Path, workspace: Path) -> None:
    assert probe("sqlite", path="missing.db").code == "HEALTH_SQLITE_MISSING"
    (workspace / "empty.db").touch()
    assert probe("sqlite", path="empty.db").code == "HEALTH_SQLITE_MISSING"
    assert not (workspace / "missing.db").exists()
    (workspace / "text.db").write_text("not a database at all" * 100)
    assert probe("sqlite", path="text.db").code == "HEALTH_SQLITE_INTEGRITY"
    data = bytearray(database.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xa5" * (4096 * 3)
    database.write_bytes(data)
    assert probe("sqlite", path=database.name).code == "HEALTH_SQLITE_INTEGRITY"


def test_sqlite_a_query_without_end_is_interrupted(probe: Any, database: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    assert probe("sqlite", path=database.name, query=endless, equals=1, within=0.3).code == "HEALTH_SQLITE_TIMEOUT"


def test_sqlite_a_locked_database_times_out(probe: Any, database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert probe("sqlite", path=database.name, within=0.2).code == "HEALTH_SQLITE_TIMEOUT"


def test_sqlite_may_not_attach_or_load(
    probe: Any, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for query in ("SELECT load_extension('x')", "VACUUM INTO 'copy.db'", "ATTACH 'other.db' AS other"):
        assert probe("sqlite", path=database.name, query=query, min_rows=1).code == "HEALTH_SQLITE_QUERY"
    assert list(here.iterdir()) == []


# --- parameters ---


@pytest.mark.parametrize(
    ("kind", "parameters", "field"),
    [
        ("http", {}, "with.url"),
        ("http", {"url": "ftp://x/"}, "with.url"),
        ("http", {"url": "http://u:p@x/"}, "with.url"),
        ("http", {"url": "http://x/\r\nEvil: 1"}, "with.url"),
        ("http", {"url": "http://x:99999/"}, "with.url"),
        ("http", {"url": "http://[::1/"}, "with.url"),
        ("http", {"url": "http://x/", "unknown": 1}, "with.unknown"),
        ("http", {"url": "http://x/", "headers": {"A": "("}}, "with.headers.A"),
        ("http", {"url": "http://x/", "request_headers": {"A": "b\r\nC: d"}}, "with.request_headers.A"),
        ("http", {"url": "http://x/", "status": []}, "with.status"),
        ("http", {"url": "http://x/", "method": "HEAD", "body_contains": "x"}, "with"),
        ("tcp", {"port": 0}, "with.port"),
        ("tcp", {"port": "80"}, "with.port"),
        ("tcp", {"port": True}, "with.port"),
        ("tcp", {"port": 80, "banner": "["}, "with.banner"),
        ("process", {}, "with"),
        ("process", {"pid_file": "a", "at_least": 2}, "with"),
        ("command", {"argv": []}, "with.argv"),
        ("command", {"argv": "ls -l"}, "with.argv"),
        ("command", {"argv": ["a\0"]}, "with.argv.0"),
        ("file", {"path": "/etc/passwd"}, "with.path"),
        ("file", {"path": "a/../../b"}, "with.path"),
        ("file", {"path": "d", "type": "directory", "contains": "x"}, "with"),
        ("sqlite", {"path": "a.db", "query": "SELECT 1"}, "with"),
        ("sqlite", {"path": "a.db", "equals": 1}, "with"),
        ("sqlite", {"path": "a.db", "integrity": "none"}, "with"),
    ],
)
def test_wrong_parameters_are_refused_at_load(kind: str, parameters: dict[str, Any], field: str) -> None:
    check = HealthCheck.model_validate({"kind": kind, "with": parameters})
    with pytest.raises(PolicyError) as caught:
        validate_health_check("web", check)
    assert caught.value.code == "HEALTH_PARAMETERS"
    assert str(caught.value.details["field"]).startswith(field)
    assert f"health_checks.web.{field}" in caught.value.message


def test_thresholds_that_cannot_be_reached_are_refused() -> None:
    check = HealthCheck.model_validate({"kind": "tcp", "with": {"port": 1}, "attempts": 2, "success_threshold": 3})
    with pytest.raises(PolicyError, match="success_threshold"):
        validate_health_check("web", check)
