"""The faults: each breaks one service for the length of a block, and mends it again.

Invariants:
- It runs in the sandbox only (``sandbox.py``): process numbers, ports and directories are those of the copy.
- What a fault did is undone when its block ends, whatever ended it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from lonelycat.checks.breaking import database
from lonelycat.checks.health.kind import ProbeContext
from lonelycat.checks.services.registry import SERVICE_KINDS, validate_service
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.errors import StateError
from lonelycat.governance.policy_profiles import HealthTest, Service

_SECONDS = 30.0


@dataclass(frozen=True)
class Fault:
    """One way to break one service."""

    name: str
    service: str
    broken: Callable[[], AbstractContextManager[None]]


class Patient:
    """One service of the copy that can be broken."""

    def __init__(self, context: ProbeContext, name: str, service: Service) -> None:
        self._context = context
        self._name = name
        self._service = service
        self._kind = SERVICE_KINDS[service.kind]
        self._parameters: Any = validate_service(name, service)

    @property
    def why_not(self) -> str | None:
        """Why it cannot be broken, or None."""
        if self._kind.stop is None or self._kind.processes is None:
            return f"the kind {self._service.kind} does not tell which processes are the service"
        return None

    def family(self) -> list[int]:
        """Return the pids of the service and all that it started."""
        import psutil

        if self._kind.processes is None:
            return []
        found = self._kind.processes(self._context, self._name, self._parameters, _SECONDS)
        for pid in tuple(found):
            with contextlib.suppress(psutil.Error):
                found += [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return found

    def ports(self) -> list[int]:
        """Return the TCP ports that the service listens on."""
        import psutil

        found: set[int] = set()
        for pid in self.family():
            with contextlib.suppress(psutil.Error):
                connections = psutil.Process(pid).net_connections("tcp")
                found |= {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
        return sorted(found)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it."""
        stop = self._kind.stop
        if stop is None:
            raise StateError("HEALTH_TEST_FAILED", f"{self._name} cannot be stopped")
        ended = stop(self._context, self._name, self._parameters, _SECONDS)
        if not ended.ok:
            raise StateError("HEALTH_TEST_FAILED", f"{self._name} could not be stopped: {ended.message}")
        try:
            yield
        finally:
            restart = self._service.model_copy(update={"action": "restart", "ready_timeout": None})
            restarter = ServiceRestarter(self._context.workspace, self._context.clock, self._context.limits)
            begun = restarter.restart(self._name, restart, _SECONDS)
            if not begun.ok:
                raise StateError("HEALTH_TEST_NOT_MENDED", f"the copy does not start again: {begun.message}")

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Stop its processes where they are."""
        family = self.family()
        if not family:
            raise StateError("HEALTH_TEST_FAILED", f"{self._name} does not run, so it cannot hang")
        for pid in family:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(family):
                _signal(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def answering_500(self) -> Iterator[None]:
        """Stand a server in its place that answers every request with status 500."""
        ports = self.ports()
        with self.stopped(), contextlib.ExitStack() as stack:
            for port in ports:
                stack.enter_context(_only_500(port))
            yield


def faults_of(
    patients: Mapping[str, Patient], services: Mapping[str, Service], http: frozenset[str], test: HealthTest
) -> list[Fault]:
    """Return every fault that can be tried.

    Args:
        http: the names of the health checks of kind ``http``.
    """
    found: list[Fault] = []
    for name, patient in patients.items():
        found += [Fault("stop", name, patient.stopped), Fault("hang", name, patient.hanging)]
        if http & set(services[name].health_checks) and patient.ports():
            found.append(Fault("answer 500", name, patient.answering_500))
    for name, place in test.databases.items():
        suffix = "" if len(test.databases) == 1 else f" {name}"
        found += [
            Fault(f"refuse database{suffix}", place.service, database.Refusing(place)),
            Fault(f"lock tables{suffix}", place.service, database.Locking(place)),
        ]
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class _Answers500(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_HEAD = do_PUT = do_OPTIONS = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _only_500(port: int) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), _Answers500) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
