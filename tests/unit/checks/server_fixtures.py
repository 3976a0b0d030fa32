"""The servers that the kinds of health check ask: one of each for all tests of a worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from tests.servers.grpc_health import grpc_health
from tests.servers.postgres import Postgres, postgres
from tests.servers.prometheus import prometheus
from tests.servers.redis import Redis, redis
from tests.servers.running import accepts, free_port, running
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
METRICS = """
# TYPE shop_errors gauge
shop_errors 3
shop_ratio NaN
shop_big +Inf
shop_parts{part="a"} 1
shop_parts{part="b"} 2
"""


SERVICE = f"""
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import sys

class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write({METRICS.encode()!r})

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Metrics).serve_forever()
"""


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
    """Its service is a process of its own: its connections would come and go among the descriptors of the tests."""
    directory, port = tmp_path_factory.mktemp("p"), free_port()
    argv = [sys.executable, "-c", SERVICE, str(port)]
    with running(argv, lambda: accepts(port), directory / "service"), prometheus(directory / "d", port) as one:
        yield one


@pytest.fixture(scope="session")
def grpc_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with grpc_health(tmp_path_factory.mktemp("grpc")) as target:
        yield target
