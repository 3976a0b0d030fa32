"""One HTTP exchange, over TCP, TLS or a Unix socket, that ends in time whatever the other side does.

Invariants:
- Name lookup to last byte end before the deadline: at it the connection is cut, however slowly the other side drips.
- At most ``max_body_bytes`` are read. No proxy, no cookies, no credentials but those in the request.
- Whatever does not end in a complete answer is an :class:`ExchangeError` that says which way it failed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from lonelycat.checks.deadline import when_over
from lonelycat.checks.health.network import connect
from lonelycat.clock import Clock

if TYPE_CHECKING:  # imported late: loading a policy validates parameters and must stay fast
    import http.client
    import ssl
    from datetime import datetime


class ExchangeError(Exception):
    """There is no complete answer; ``way`` ends the code of the failure, the text says why."""

    def __init__(self, way: Literal["TIMEOUT", "TLS", "PROTOCOL", "CONNECT"], why: str) -> None:
        super().__init__(why)
        self.way = way
        self.why = why


class Target(NamedTuple):
    """Where to connect to: a host and port, or the path of a Unix socket.

    Attributes:
        secure: whether TLS is spoken.
    """

    host: str
    port: int
    secure: bool = False
    socket_path: Path | None = None


class Trust(NamedTuple):
    """Whom to believe: ``verify`` the certificate or not, by the system's authorities or those in ``ca_file``."""

    verify: bool = True
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What to send; ``path`` includes the query."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    max_body_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Attributes:
        complete: whether ``body`` is all of it, not just what ``max_body_bytes`` allows.
        certificate_ends: when the certificate that the server showed expires; None without TLS.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    complete: bool
    certificate_ends: datetime | None


def exchange(target: Target, call: Call, deadline: float, clock: Clock, trust: Trust | None = None) -> Answer:
    """Send ``call`` and return the answer.

    Args:
        deadline: monotonic seconds of ``clock``.

    Raises:
        ExchangeError: there is no complete answer in time.
    """
    import http.client
    import ssl

    cut = threading.Event()
    try:
        return _exchange(target, call, deadline, clock, trust or Trust(), cut)
    except TimeoutError:
        raise ExchangeError("TIMEOUT", "no complete answer in time") from None
    except ssl.SSLError as error:
        raise _failure(cut, "TLS", str(error)) from None
    except (http.client.HTTPException, ValueError) as error:
        raise _failure(cut, "PROTOCOL", f"not a valid answer ({type(error).__name__})") from None
    except OSError as error:
        raise _failure(cut, "CONNECT", str(error.strerror or error)) from None


def _failure(cut: threading.Event, way: Literal["TLS", "PROTOCOL", "CONNECT"], why: str) -> ExchangeError:
    return ExchangeError("TIMEOUT", "no complete answer in time") if cut.is_set() else ExchangeError(way, why)


def _exchange(target: Target, call: Call, deadline: float, clock: Clock, trust: Trust, cut: threading.Event) -> Answer:
    import http.client

    left = deadline - clock.monotonic()
    if left <= 0:
        raise TimeoutError
    connection = http.client.HTTPConnection(target.host, target.port)
    raw = _connected(target, left, clock)
    connection.sock = raw
    sockets = [raw]
    ends = None
    with contextlib.closing(connection), raw, cut_at(sockets, deadline - clock.monotonic(), cut):
        if target.secure:
            context = tls_context(trust)
            secured = context.wrap_socket(raw, server_hostname=target.host, do_handshake_on_connect=False)
            connection.sock = secured
            sockets.append(secured)
            secured.do_handshake()
            ends = _expiry(secured)
        with _answered(connection, target, call) as response:
            body = response.read(call.max_body_bytes)
            complete = response.read(1) == b""
        if cut.is_set():
            raise TimeoutError
        missing = response.length
        if complete and missing:
            raise http.client.IncompleteRead(body, missing)
        return Answer(response.status, response.headers, body, complete, ends)


def _answered(connection: http.client.HTTPConnection, target: Target, call: Call) -> http.client.HTTPResponse:
    """Send ``call`` and return the answer's head; one that refuses may come before all is sent, and shut the way."""
    import http.client

    shut: OSError | None = None
    try:
        connection.request(call.method, call.path, body=call.body, headers={**_headers(target), **call.headers})
    except (BrokenPipeError, ConnectionResetError) as error:
        shut = error
    try:
        return connection.getresponse()
    except (http.client.HTTPException, OSError):
        if shut is not None:
            raise shut from None
        raise


def _connected(target: Target, left: float, clock: Clock) -> socket.socket:
    if target.socket_path is None:
        return connect(target.host, target.port, left, clock)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(left)
        connection.connect(os.fspath(target.socket_path))
    except OSError:
        connection.close()
        raise
    return connection


def _headers(target: Target) -> dict[str, str]:
    shown = f"[{target.host}]" if ":" in target.host else target.host
    return {
        "Host": shown if target.port == (443 if target.secure else 80) else f"{shown}:{target.port}",
        "User-Agent": "lonelycat-health",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


@contextlib.contextmanager
def cut_at(sockets: list[socket.socket], seconds: float, cut: threading.Event) -> Iterator[None]:
    """Shut ``sockets`` down after ``seconds``, however slowly the other side drips; sets ``cut`` then.

    The list may grow: a TLS socket takes the plain one's place, and ``http.client`` forgets its own early.
    """

    def shut() -> None:
        cut.set()
        for one in tuple(sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    with when_over(seconds, shut):
        yield


def tls_context(trust: Trust) -> ssl.SSLContext:
    """Return the TLS settings of a client that believes as ``trust`` says.

    Raises:
        OSError: the file of authorities cannot be read.
    """
    import ssl

    context = ssl.create_default_context(cafile=None if trust.ca_file is None else os.fspath(trust.ca_file))
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _expiry(secured: ssl.SSLSocket) -> datetime | None:
    shown = secured.getpeercert(binary_form=True)
    if not shown:
        return None
    from cryptography import x509

    return x509.load_der_x509_certificate(shown).not_valid_after_utc


def check_url(value: str) -> str:
    """Return ``value``, a URL that can be asked as it is; raises ValueError for any other."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be ASCII without spaces or control characters")
    if parts.port == 0:
        raise ValueError("has port 0")
    return value


HttpUrl = Annotated[str, Field(max_length=2_000), AfterValidator(check_url)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e\t]*$")]


def target_of(url: str) -> tuple[Target, str]:
    """Return where ``url`` points to, and its path with the query."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.hostname or "", parts.port or (443 if secure else 80), secure), path
