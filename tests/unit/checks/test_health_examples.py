"""Every example of docs/health-checks.md: run against the real thing, once well and once broken.

What an example asks at a fixed place is asked where the test's server is; nothing else of it is changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.patience import PATIENCE_SECONDS, until_loaded
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.supervisord import Supervisord
from tests.servers.systemd import systemd
from tests.unit.checks.probing import Asking
from tests.unit.checks.test_health_sql import alembic, migration

from lonelycat.checks.health.registry import BUILT_IN
from lonelycat.governance.policy import HealthCheck
from lonelycat.governance.policy_file import load_policy

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "health-checks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([a-z]+)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL))
Broken = Callable[[], contextlib.AbstractContextManager[None]]


def example(kind: str, *places: tuple[str, object]) -> HealthCheck:
    """Return the example of a kind, as the policy reader reads it, with its place where ``places`` say."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", SECTIONS[kind], re.MULTILINE | re.DOTALL)
    for documented, here in places:
        assert documented in text
        text = text.replace(documented, str(here))
    head = 'version: 1\nname: example\nexecutor:\n  allowed_paths: ["**"]\n'
    (check,) = load_policy((head + text).encode()).policy.health_checks.values()
    assert check.kind == kind
    return check.model_copy(update={"attempts": 1, "timeout": PATIENCE_SECONDS})


def codes(kind: str) -> list[str]:
    (line,) = re.findall(r"^Codes: (.*)$", SECTIONS[kind], re.MULTILINE)
    return re.findall(r"`(HEALTH_[A-Z_0-9]+)`", line)


def run_both(ask: Asking, check: HealthCheck, broken: Broken, code: str) -> None:
    """See the check hold, fail with ``code`` while it is broken, and the page name that code."""
    mark = ask.checker.mark("it", check, PATIENCE_SECONDS)
    good = ask.checker.run("it", check, PATIENCE_SECONDS, mark)
    assert good.ok, good
    with broken():
        bad = ask.checker.run("it", check, PATIENCE_SECONDS, mark)
    assert bad.code == code, bad
    listed = codes(check.kind)
    assert code in listed or any(code.startswith(one) for one in listed if one.endswith("_"))


def once(action: Callable[[], object]) -> Broken:
    @contextlib.contextmanager
    def broken() -> Iterator[None]:
        action()
        yield

    return broken


def test_every_kind_has_a_section_with_an_example_and_codes() -> None:
    assert set(SECTIONS) == set(BUILT_IN)
    for kind in BUILT_IN:
        assert yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", SECTIONS[kind], re.M | re.S)[0]) and codes(kind)
        assert f"test_{kind}" in globals()


def test_the_codes_that_a_kind_can_give_stand_there() -> None:
    source = Path(__file__).resolve().parents[3] / "src" / "lonelycat" / "checks" / "health"
    for kind in BUILT_IN:
        text = (source / f"{kind}.py").read_text(encoding="utf-8")
        given = set(re.findall(rf'"(HEALTH_(?:{kind.upper()}|NO_BASELINE|EXTRA)[A-Z_]*)"', text))
        assert given <= set(codes(kind)), (kind, given - set(codes(kind)))


def test_http(ask: Asking) -> None:
    class Shop(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            body = b'{"status": "ok"}' if self.path == "/health" else b""
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        check = example("http", ("127.0.0.1:8000", f"127.0.0.1:{server.server_port}"))
        run_both(ask, check, once(lambda: setattr(Shop, "status", 500)), "HEALTH_HTTP_500")
        server.shutdown()
        thread.join()


def test_tcp(ask: Asking, raw_server: Any) -> None:
    greeting = [b"220 ready\r\n"]
    port = raw_server(lambda connection: connection.sendall(greeting[0]))
    broken = once(lambda: greeting.__setitem__(0, b"421 going down\r\n"))
    run_both(ask, example("tcp", ("2525", port)), broken, "HEALTH_TCP_BANNER")


def test_process(ask: Asking, workspace: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as worker:
        until_loaded(worker.pid)
        (workspace / "worker.pid").write_text(f"{worker.pid}\n")

        def end() -> None:
            worker.kill()
            worker.wait()

        run_both(ask, example("process"), once(end), "HEALTH_PROCESS_MISSING")


def test_command(ask: Asking, workspace: Path) -> None:
    (workspace / "queue-length").write_text("3\n")
    broken = once(lambda: (workspace / "queue-length").write_text("1200\n"))
    run_both(ask, example("command"), broken, "HEALTH_COMMAND_OUTPUT")


def test_file(ask: Asking, workspace: Path) -> None:
    beat = workspace / "run" / "heartbeat"
    beat.parent.mkdir()
    beat.write_text("")
    run_both(ask, example("file"), once(lambda: os.utime(beat, (0, time.time() - 90))), "HEALTH_FILE_STALE")


def test_sqlite(ask: Asking, workspace: Path) -> None:
    (workspace / "data").mkdir()

    def execute(statement: str) -> None:
        with contextlib.closing(sqlite3.connect(workspace / "data" / "orders.db")) as connection:
            connection.execute(statement)
            connection.commit()

    execute("CREATE TABLE orders (i)")
    execute("INSERT INTO orders VALUES (1)")
    run_both(ask, example("sqlite"), once(lambda: execute("DELETE FROM orders")), "HEALTH_SQLITE_RESULT")


def test_sql(ask: Asking, workspace: Path, database: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DATABASE_PASSWORD", database.password)
    with database.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS shop")
        connection.execute("CREATE DATABASE shop")
    versions = workspace / "alembic" / "versions"
    migration(versions, "a1", None)
    alembic(workspace, database.url("shop"), "upgrade", "head")
    broken = once(lambda: migration(versions, "b2", "a1"))
    run_both(ask, example("sql", ("5432", database.port)), broken, "HEALTH_SQL_MIGRATIONS")


def test_redis(ask: Asking, redis_server: Redis) -> None:
    import redis

    with redis.Redis(port=redis_server.port) as writer:
        writer.set("schema-version", "7")
        broken = once(lambda: writer.set("schema-version", "6"))
        run_both(ask, example("redis", ("6379", redis_server.port)), broken, "HEALTH_REDIS_KEY")


def test_grpc(ask: Asking, grpc_target: str) -> None:
    check = example("grpc", ("127.0.0.1:50051", grpc_target))
    run_both(ask, check, once(lambda: check.parameters.update(service="broken")), "HEALTH_GRPC_NOT_SERVING")


def test_systemd(tmp_path: Path) -> None:
    check = example("systemd")
    with systemd(tmp_path, {"shop.service": "[Service]\nExecStart=/bin/sleep 600\n"}) as manager:
        manager.systemctl("start", "shop")
        ((_, mark),) = manager.asks(("mark", None, check.parameters))
        assert manager.asks(("probe", mark, check.parameters))[0][0] is None
        manager.systemctl("stop", "shop")
        code = manager.asks(("probe", mark, check.parameters))[0][0]
    assert code == "HEALTH_SYSTEMD_STATE" and code in codes("systemd")


def test_supervisor(ask: Asking, workspace: Path, supervisor_server: Supervisord) -> None:
    (workspace / "run").mkdir()
    (workspace / "run" / "supervisor.sock").symlink_to(supervisor_server.socket)
    broken = once(lambda: supervisor_server.restart("web"))
    run_both(ask, example("supervisor"), broken, "HEALTH_SUPERVISOR_RESTARTED")


def test_prometheus(ask: Asking, prometheus_url: str, closed_port: int) -> None:
    check = example("prometheus", ("http://127.0.0.1:9090", prometheus_url))
    nobody = f"http://127.0.0.1:{closed_port}"
    run_both(ask, check, once(lambda: check.parameters.update(url=nobody)), "HEALTH_PROMETHEUS_CONNECT")
    over = example("prometheus", ("http://127.0.0.1:9090", prometheus_url), ("max: 5", "max: 2"))
    assert ask.checker.run("it", over, PATIENCE_SECONDS).code == "HEALTH_PROMETHEUS_THRESHOLD"


def test_log(ask: Asking, workspace: Path) -> None:
    path = workspace / "log" / "shop.log"
    path.parent.mkdir()
    path.write_text("ERROR before\n")

    def write() -> None:
        with path.open("a") as file:
            file.write("ERROR retrying\nTraceback (most recent call last):\n")

    run_both(ask, example("log"), once(write), "HEALTH_LOG_MATCH")
