"""Restarts by the Docker Engine API, against a stub of its socket: no engine runs where the tests run.

The stub answers with the shapes of the Engine API's reference and keeps a state of its own, so that what the kind asks
for has to change it.
"""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS
from tests.unit.checks.documented import documented
from tests.unit.checks.probing import decided

from lonelycat.checks.result import CheckResult
from lonelycat.checks.services.registry import validate_service
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import Service
from lonelycat.settings import Limits


class Engine:
    """One container ``shop`` and what is to happen to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status, self.starts, self.exit_code = "running", 1, 0
        self.health: list[str] = []
        self.after_restart = "running"
        self.works, self.hangs = True, False
        self.requests: list[str] = []
        self.release = threading.Event()

    def state(self) -> dict[str, Any]:
        """Return ``State`` of a container; each look uses up one word of ``health``."""
        found: dict[str, Any] = {
            "Status": self.status, "Running": self.status in ("running", "restarting", "paused"),
            "Restarting": self.status == "restarting", "Paused": self.status == "paused",
            "StartedAt": f"2024-05-01T10:00:{self.starts:02d}.5Z", "ExitCode": self.exit_code, "Error": "",
        }  # fmt: skip
        if self.health:
            found["Health"] = {"Status": self.health.pop(0) if len(self.health) > 1 else self.health[0]}
        return found


class Handler(BaseHTTPRequestHandler):
    """Speaks the part of the API that the kind uses."""

    engine: Engine

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"") -> None:
        """Answer and be done."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Inspect and logs."""
        engine = self.engine
        engine.requests.append(f"GET {self.path}")
        if engine.hangs:
            engine.release.wait()
        if self.path == "/containers/shop/json":
            self.answer(200, json.dumps({"Id": "0" * 64, "State": engine.state()}).encode())
        elif self.path.startswith("/containers/shop/logs?"):
            line = b"cannot open the database\n"
            self.answer(200, b"\2\0\0\0" + len(line).to_bytes(4, "big") + line)
        else:
            self.answer(404, b'{"message": "No such container"}')

    def do_POST(self) -> None:
        """Restart and kill."""
        engine = self.engine
        engine.requests.append(f"POST {self.path}")
        if not engine.works:
            self.answer(500, b'{"message": "cannot restart container: no space left on device"}')
            return
        if "/restart?" in self.path:
            engine.status, engine.starts = engine.after_restart, engine.starts + 1
        self.answer(204)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="lc-") as name:
        one = Engine(Path(name) / "docker.sock")
        handler = type("Bound", (Handler,), {"engine": one, "address_string": lambda _: "stub"})
        with socketserver.ThreadingUnixStreamServer(str(one.path), handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            yield one
            one.release.set()
            server.shutdown()
            thread.join()


def act(
    workspace: Path, engine: Engine, action: str = "restart", within: float = PATIENCE_SECONDS, **given: Any
) -> CheckResult:
    parameters = {"container": "shop", "socket": str(engine.path), "settle_seconds": 0.3, **given}
    service = Service.model_validate({"kind": "docker", "action": action, "with": parameters})
    return ServiceRestarter(workspace, SystemClock(), Limits()).restart("shop", service, within)


def test_a_restart_waits_until_it_is_running_and_healthy(engine: Engine, workspace: Path) -> None:
    engine.health = ["healthy", "starting", "starting", "healthy"]
    found = act(workspace, engine, stop_seconds=3)
    assert (found.ok, found.kind) == (True, "service:docker"), found
    assert "POST /containers/shop/restart?t=3" in engine.requests
    assert found.message == "shop: shop is running, healthy"
    assert found.duration_seconds > 0.4


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"after_restart": "exited", "exit_code": 3}, "SERVICE_RESTART_FAILED", "exited, exit code 3"),
        ({"after_restart": "paused"}, "SERVICE_RESTART_FAILED", "paused"),
        ({"after_restart": "restarting"}, "SERVICE_RESTART_TIMEOUT", "restarting"),
        ({"health": ["healthy", "starting"]}, "SERVICE_RESTART_TIMEOUT", "starting"),
        ({"health": ["healthy", "starting", "unhealthy"]}, "SERVICE_RESTART_FAILED", "unhealthy"),
        ({"works": False}, "SERVICE_RESTART_FAILED", "no space left"),
    ],
    ids=["exited", "paused", "loop", "never healthy", "unhealthy", "refused"],
)
def test_what_does_not_come_up_fails(
    engine: Engine, workspace: Path, change: dict[str, Any], code: str, said: str
) -> None:
    for name, value in change.items():
        setattr(engine, name, value)
    within = 2.0 if code == "SERVICE_RESTART_TIMEOUT" else PATIENCE_SECONDS
    found = decided(lambda: act(workspace, engine, within=within))
    assert (found.ok, found.code) == (False, code), found
    assert said in found.message
    if "works" not in change:
        assert found.output == b"cannot open the database\n"


def test_a_restart_that_the_engine_only_claims_is_not_believed(engine: Engine, workspace: Path) -> None:
    engine.starts = -1 + engine.starts  # so that the restart gives the start that was seen before
    real, looks = engine.state, iter([0])

    def state() -> dict[str, Any]:
        if next(looks, None) == 0:
            return {**real(), "StartedAt": "2024-05-01T10:00:01.5Z"}
        return real()

    engine.state = state  # type: ignore[method-assign]  # the stub lies
    found = act(workspace, engine)
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED")
    assert "was not restarted" in found.message


def test_reload_and_signal(engine: Engine, workspace: Path) -> None:
    assert act(workspace, engine, "reload").ok
    assert act(workspace, engine, "signal", signal="USR1").ok
    assert [one for one in engine.requests if one.startswith("POST")] == [
        "POST /containers/shop/kill?signal=SIGHUP", "POST /containers/shop/kill?signal=SIGUSR1",
    ]  # fmt: skip
    engine.status = "exited"
    assert act(workspace, engine, "reload").code == "SERVICE_NOT_RUNNING"


def test_unknown_unreachable_silent_and_senseless(engine: Engine, workspace: Path) -> None:
    assert act(workspace, engine, container="nobody").code == "SERVICE_NOT_KNOWN"
    assert act(workspace, engine, socket="none.sock").code == "SERVICE_MANAGER_UNREACHABLE"
    engine.state = lambda: {"Status": "running"}  # type: ignore[method-assign]  # not the documented shape
    assert act(workspace, engine).code == "SERVICE_MANAGER_ANSWER"
    engine.hangs = True
    assert act(workspace, engine, within=0.5).code == "SERVICE_MANAGER_TIMEOUT"


@pytest.mark.parametrize("container", ["", "../x", "a/b", "a?b", "a b", "-x"])
def test_a_name_that_is_none_is_refused(container: str) -> None:
    with pytest.raises(PolicyError, match="container"):
        validate_service("shop", Service.model_validate({"kind": "docker", "with": {"container": container}}))


def test_the_documented_example(engine: Engine, workspace: Path) -> None:
    name, service = documented("docker", socket=str(engine.path))
    found = ServiceRestarter(workspace, SystemClock(), Limits()).restart(name, service, PATIENCE_SECONDS)
    assert found.ok, found
    assert "POST /containers/shop/restart?t=5" in engine.requests
