"""One HTTP exchange over a socket whose other side does not wait for the end of the question."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE_SECONDS

from lonelycat.checks.health.exchange import Call, ExchangeError, Target, exchange
from lonelycat.clock import SystemClock

LONG = Call("POST", "/RPC2", body=b"x" * 4_000_000)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="lc-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def hasty(place: Path, answer: bytes) -> Iterator[Target]:
    """Serve one connection on a Unix socket: ``answer`` it after the head of the question, and hang up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(place))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Target("localhost", 80, socket_path=place)
        thread.join()


def test_a_refusal_that_comes_before_all_is_sent_is_read(short: Path) -> None:
    clock = SystemClock()
    with hasty(short / "s", b"HTTP/1.0 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno") as target:
        answer = exchange(target, LONG, clock.monotonic() + PATIENCE_SECONDS, clock)
    assert (answer.status, answer.body, answer.complete) == (401, b"no", True)


def test_no_answer_at_all_is_told_as_what_happened(short: Path) -> None:
    clock = SystemClock()
    with hasty(short / "s", b"") as target, pytest.raises(ExchangeError) as caught:
        exchange(target, LONG, clock.monotonic() + PATIENCE_SECONDS, clock)
    assert caught.value.way == "CONNECT"
