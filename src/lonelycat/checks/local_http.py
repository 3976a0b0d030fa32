"""One HTTP exchange with a service manager, over its unix socket or a loopback port.

Invariants:
- It ends within its time limit, however slowly the other side drips, and reads at most ``max_bytes``.
- No proxy, no redirects; only a complete answer is an answer.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lonelycat.checks.health.network import connect
from lonelycat.clock import Clock

_CHUNK_BYTES = 64 * 1024


class UnixAddress(NamedTuple):
    """A listening unix socket."""

    path: str

    def __str__(self) -> str:
        return self.path


class TcpAddress(NamedTuple):
    """A host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Answer(NamedTuple):
    """A complete answer: its status and its body."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """What to ask.

    Attributes:
        target: path and query.
        headers: beyond Host, Connection and Content-Length.
        max_bytes: the longest answer that is read, headers included.
    """

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 1024 * 1024

    def with_(self, address: UnixAddress | TcpAddress, timeout: float, clock: Clock) -> Answer:
        """Ask ``address`` and return its answer.

        Raises:
            TimeoutError: no complete answer within ``timeout`` seconds.
            OSError: it cannot be reached.
            ValueError: what came is not an HTTP answer, is cut short or too long.
        """
        deadline = clock.monotonic() + timeout
        with _connected(address, timeout, clock) as connection:
            connection.settimeout(_left(deadline, clock))
            connection.sendall(self._request(address))
            received = bytearray()
            while len(received) <= self.max_bytes:
                connection.settimeout(_left(deadline, clock))
                chunk = connection.recv(_CHUNK_BYTES)
                if not chunk:
                    return _parsed(bytes(received), self.method)
                received += chunk
        raise ValueError(f"the answer is over {self.max_bytes} bytes")

    def _request(self, address: UnixAddress | TcpAddress) -> bytes:
        host = "localhost" if isinstance(address, UnixAddress) else str(address)
        headers = {"Host": host, "Connection": "close", "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.body


def _connected(address: UnixAddress | TcpAddress, timeout: float, clock: Clock) -> socket.socket:
    if isinstance(address, TcpAddress):
        return connect(address.host, address.port, timeout, clock)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(address.path)
    except BaseException:
        connection.close()
        raise
    return connection


def _left(deadline: float, clock: Clock) -> float:
    left = deadline - clock.monotonic()
    if left <= 0:
        raise TimeoutError("no complete answer in time")
    return left


def _parsed(received: bytes, method: str) -> Answer:
    import http.client
    import io

    class Held:
        def makefile(self, mode: str) -> io.BytesIO:
            return io.BytesIO(received)

    response = http.client.HTTPResponse(Held(), method=method)  # type: ignore[arg-type]  # it only reads the file
    try:
        response.begin()
        body = response.read()
    except http.client.HTTPException as error:
        raise ValueError(f"not a complete HTTP answer ({type(error).__name__})") from error
    return Answer(response.status, body)
