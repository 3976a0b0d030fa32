"""Real processes and servers for the tests of checks, all found and ended by a marker of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE_SECONDS, until
from tests.unit.checks.probing import Asking
from tests.unit.checks.server_fixtures import database, grpc_target, prometheus_url, redis_server, supervisor_server

from lonelycat.settings import child_environment

__all__ = ["database", "grpc_target", "prometheus_url", "redis_server", "supervisor_server"]


class Marker:
    """A text that only the processes of one test carry in their arguments."""

    def __init__(self) -> None:
        self.text = f"marker-{uuid.uuid4().hex}"

    def carriers(self) -> list[int]:
        """Return the pids, other than zombies, whose arguments or environment hold the marker."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    held = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                    if self.text.encode() in held:
                        found.append(int(entry.name))
        return found

    def await_carriers(self, wanted: bool) -> list[int]:
        """Wait until there are some (or none); return those there are."""
        found: list[int] = []

        def come_about() -> bool:
            found[:] = self.carriers()
            return bool(found) == wanted

        until(come_about, lambda: f"processes that carry the marker: {wanted}, and there are {found}")
        return found


@pytest.fixture
def marker() -> Iterator[Marker]:
    one = Marker()
    yield one
    for pid in one.carriers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def environment() -> dict[str, str]:
    return child_environment({})


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Return a function that serves each connection by the given handler, and returns the port."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(handle: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                with contextlib.suppress(OSError):
                    handle(connection)
                with contextlib.suppress(OSError):  # what is left unread resets the connection, and the answer with it
                    connection.settimeout(PATIENCE_SECONDS)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        threads.append(thread)
        return int(listener.getsockname()[1])

    yield serve
    for one in (*listeners, *connections):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
    for thread in threads:
        thread.join(5)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback interface that nobody listens on, and nobody can begin to: it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def ask(workspace: Path) -> Asking:
    return Asking(workspace)
