"""The servers that the kinds of health check ask: one of each for all tests of a worker."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.servers.grpc_health import grpc_health
from tests.servers.postgres import Postgres, postgres
from tests.servers.prometheus import prometheus
from tests.servers.redis import Redis, redis
from tests.servers.supervisord import WAITING, Supervisord, python_program, supervisord

PROGRAMS = "\n".join(
    [
        python_program("web", WAITING, "startsecs=0"),
        python_program("dead", "import sys; sys.exit(3)", "startsecs=5", "startretries=1000"),
        python_program("off", WAITING, "autostart=false"),
        "[group:pair]\nprograms=one",
        python_program("one", WAITING, "startsecs=0"),
    ]
)
METRICS = b"""
# TYPE shop_errors gauge
shop_errors 3
shop_ratio NaN
shop_big +Inf
shop_parts{part="a"} 1
shop_parts{part="b"} 2
"""


class Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(METRICS)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(METRICS)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres(tmp_path_factory.mktemp("postgres") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("r") / "one") as one:
        yield one


@pytest.fixture(scope="session")
def supervisor_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    with supervisord(tmp_path_factory.mktemp("s") / "d", PROGRAMS) as one:
        yield one


@pytest.fixture(scope="session")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with prometheus(tmp_path_factory.mktemp("p") / "d", service.server_port) as one:
            yield one
        service.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def grpc_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with grpc_health(tmp_path_factory.mktemp("grpc")) as target:
        yield target
