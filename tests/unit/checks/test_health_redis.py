"""Kind redis against a real server, alone, replicated, behind a password, behind TLS, and against impostors."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from tests.patience import until
from tests.servers.certificates import certificates
from tests.servers.redis import Redis, redis
from tests.unit.checks.probing import Asking, Raw, silent


@pytest.fixture
def server(redis_server: Redis) -> Redis:
    return redis_server


def client(one: Redis) -> Any:
    import redis as library

    return library.Redis(port=one.port, decode_responses=True)


def test_it_answers_over_tcp_and_socket(server: Redis, ask: Asking, closed_port: int) -> None:
    assert ask("redis", port=server.port).ok
    assert ask("redis", socket=str(server.socket)).ok
    assert ask("redis", port=server.port, database=3).ok
    assert ask("redis", port=server.port, database=9999).code == "HEALTH_REDIS_ERROR"
    assert ask("redis", port=closed_port).code == "HEALTH_REDIS_CONNECT"
    assert ask("redis", socket="gone.sock").code == "HEALTH_REDIS_CONNECT"


def test_a_key_is_there_and_holds(server: Redis, ask: Asking) -> None:
    with client(server) as writer:
        writer.set("state", "ready gööd")
        writer.lpush("list", "x")
    assert ask("redis", port=server.port, key="state").ok
    assert ask("redis", port=server.port, key="state", equals="ready gööd").ok
    assert ask("redis", port=server.port, key="state", equals="other").code == "HEALTH_REDIS_KEY"
    assert ask("redis", port=server.port, key="gone").code == "HEALTH_REDIS_KEY"
    assert ask("redis", port=server.port, key="gone", equals="x").code == "HEALTH_REDIS_KEY"
    assert ask("redis", port=server.port, key="list").ok
    assert ask("redis", port=server.port, key="list", equals="x").code == "HEALTH_REDIS_ERROR"


def test_a_server_that_hangs_is_left_in_time(server: Redis, ask: Asking) -> None:
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        assert ask("redis", within=0.5, port=server.port).code == "HEALTH_REDIS_TIMEOUT"
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert ask("redis", port=server.port).ok


def test_the_password_comes_from_a_variable(ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acl = ["--user", "reader", "on", ">re4d-only", "~*", "+ping", "+info"]
    with redis(tmp_path / "r", "--requirepass", "hunter2hunter2", *acl) as one:
        assert ask("redis", port=one.port).code == "HEALTH_REDIS_AUTH"
        monkeypatch.setenv("REDIS_PASSWORD", "hunter2hunter2")
        assert ask("redis", port=one.port, password_env="REDIS_PASSWORD").ok
        monkeypatch.setenv("REDIS_PASSWORD", "wrong-password")
        seen = ask("redis", port=one.port, password_env="REDIS_PASSWORD")
        assert seen.code == "HEALTH_REDIS_AUTH" and "wrong-password" not in repr(seen)
        monkeypatch.setenv("REDIS_PASSWORD", "re4d-only")
        as_reader = {"port": one.port, "username": "reader", "password_env": "REDIS_PASSWORD"}
        assert ask("redis", **as_reader).ok
        assert ask("redis", **as_reader, key="x").code == "HEALTH_REDIS_AUTH"


def test_roles_and_replication(server: Redis, ask: Asking, tmp_path: Path, closed_port: int) -> None:
    master = {"port": server.port}
    assert ask("redis", **master, role="master").ok
    assert ask("redis", **master, role="replica").code == "HEALTH_REDIS_REPLICATION"
    assert ask("redis", **master, min_replicas=1).code == "HEALTH_REDIS_REPLICATION"
    assert ask("redis", **master, max_lag_seconds=5).code == "HEALTH_REDIS_REPLICATION"
    with redis(tmp_path / "r", "--replicaof", "127.0.0.1", str(server.port), "--repl-diskless-sync-delay", "0") as one:
        replica = {"port": one.port, "role": "replica"}
        until(lambda: ask("redis", **replica, max_lag_seconds=12).ok, "the replica to follow", pause=0.05)
        assert ask("redis", **master, role="master", min_replicas=1).ok
        assert ask("redis", **master, min_replicas=2).code == "HEALTH_REDIS_REPLICATION"
        with client(one) as admin:
            admin.replicaof("127.0.0.1", str(closed_port))
        assert ask("redis", **replica, max_lag_seconds=12).code == "HEALTH_REDIS_REPLICATION"
        assert ask("redis", **replica).ok  # a replica without its master: that is what was asked


def test_over_tls(ask: Asking, tmp_path: Path) -> None:
    made = certificates(tmp_path / "tls", days=30)
    files = ["--tls-cert-file", str(made.certificate), "--tls-key-file", str(made.key), "--tls-ca-cert-file",
             str(made.authority), "--tls-auth-clients", "no"]  # fmt: skip
    with redis(tmp_path / "r", *files, tls=True) as one:
        assert ask("redis", port=one.port, tls=True, ca_file=str(made.authority)).ok
        assert ask("redis", port=one.port, tls=True, verify_tls=False).ok
        assert ask("redis", port=one.port, tls=True).code == "HEALTH_REDIS_TLS"
        assert ask("redis", port=one.port).code in ("HEALTH_REDIS_PROTOCOL", "HEALTH_REDIS_CONNECT")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "HEALTH_REDIS_PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HEALTH_REDIS_PROTOCOL"),
        (b"+OK\r\n", "HEALTH_REDIS_PROTOCOL"),
        (b"$99999999999\r\n", "HEALTH_REDIS_PROTOCOL"),
        (b"$x\r\n", "HEALTH_REDIS_PROTOCOL"),
        (b"$4\r\nPO", "HEALTH_REDIS_PROTOCOL"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "HEALTH_REDIS_ERROR"),
        (b"x" * 200_000, "HEALTH_REDIS_PROTOCOL"),
    ],
)
def test_what_is_no_answer_of_redis_fails(raw_server: Raw, ask: Asking, said: bytes, code: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(said)

    assert ask("redis", port=raw_server(answer)).code == code


@pytest.mark.parametrize(
    ("link", "ago", "code"),
    [("up", "1", None), ("down", "1", "HEALTH_REDIS_REPLICATION"), ("up", "60", "HEALTH_REDIS_REPLICATION"),
     ("up", "", "HEALTH_REDIS_REPLICATION")],
)  # fmt: skip
def test_a_lag_is_told_by_link_and_time(raw_server: Raw, ask: Asking, link: str, ago: str, code: str | None) -> None:
    info = f"role:slave\r\nmaster_link_status:{link}\r\nmaster_last_io_seconds_ago:{ago}\r\n".encode()

    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"+PONG\r\n")
        connection.recv(1000)
        connection.sendall(b"$%d\r\n%s\r\n" % (len(info), info))

    assert ask("redis", port=raw_server(answer), role="replica", max_lag_seconds=10).code == code


def test_silence_and_dripping_end_in_time(raw_server: Raw, ask: Asking) -> None:
    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"+")
            time.sleep(0.05)

    for handler in (drip, silent):
        assert ask("redis", within=0.4, port=raw_server(handler)).code == "HEALTH_REDIS_TIMEOUT"


@pytest.mark.parametrize(
    "parameters",
    [
        {"socket": "s", "port": 1},
        {"socket": "s", "tls": True},
        {"username": "u"},
        {"equals": "x"},
        {"role": "replica", "min_replicas": 1},
        {"role": "master", "max_lag_seconds": 1},
        {"password": "x"},
    ],
)
def test_what_can_never_pass_is_refused(ask: Asking, parameters: dict[str, Any]) -> None:
    assert ask("redis", **parameters).code == "HEALTH_PARAMETERS"
