"""Kind ``http``: one request, judged by status, headers, body and JSON values.

Invariants:
- The whole exchange, name lookup to last byte, ends within the time limit: at its end the connection is cut.
- At most ``max_body_bytes`` are read. No proxy, no cookies, no credentials; redirects only when told.
- Only a complete answer passes: garbage, a cut body or an answer over the limit that had to be judged is a failure.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urljoin, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.json_pointer import MISSING, look_up, same_json
from lonelycat.checks.health.kind import (
    MATCH_BYTES,
    HealthKind,
    Pattern,
    ProbeContext,
    ProbeResult,
    failed,
    passed,
)
from lonelycat.checks.health.network import connect

if TYPE_CHECKING:  # imported late: loading a policy validates parameters and must stay fast
    import http.client
    import ssl

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_SHOWN_BYTES = 4096


def _url(value: str) -> str:
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


def _statuses(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, int | str) else value


Status = Annotated[int, Field(ge=100, le=599)] | Annotated[str, Field(pattern=r"^[1-5][0-9][0-9]-[1-5][0-9][0-9]$")]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e\t]*$")]


class HttpParameters(Strict):
    """What to ask and what to expect.

    Attributes:
        status: one status, a list, or ranges such as ``200-299``.
        headers: response headers and the pattern that each must match.
        body_contains, body_matches: text or a pattern (on the first 64 KiB) that the body must hold.
        json_equals: JSON pointers (RFC 6901) into the body and the value that each must have.
        verify_tls: whether the certificate must be valid; off is for a self-signed service on this host.
    """

    url: Annotated[str, Field(max_length=2_000), AfterValidator(_url)]
    method: Literal["GET", "HEAD"] = "GET"
    request_headers: dict[HeaderName, HeaderValue] = Field(default={})
    status: Annotated[tuple[Status, ...], BeforeValidator(_statuses), Field(min_length=1)] = ("200-299",)
    headers: dict[HeaderName, Pattern] = Field(default={})
    body_contains: Annotated[str, Field(min_length=1)] | None = None
    body_matches: Pattern | None = None
    json_equals: dict[Annotated[str, Field(pattern=r"^(/.*)?$")], Any] = Field(default={})
    follow_redirects: bool = False
    verify_tls: bool = True
    max_body_bytes: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = 1024 * 1024

    @model_validator(mode="after")
    def _body_is_read(self) -> Self:
        if self.method == "HEAD" and (self.body_contains or self.body_matches or self.json_equals):
            raise ValueError("method HEAD has no body to check")
        return self

    def expects(self, status: int) -> bool:
        """Whether ``status`` is among the expected ones."""
        for item in self.status:
            low, _, high = item.partition("-") if isinstance(item, str) else (item, "", item)
            if int(low) <= status <= int(high):
                return True
        return False


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    complete: bool


def probe(context: ProbeContext, parameters: HttpParameters, timeout: float) -> ProbeResult:
    """Ask once, following at most five redirects when told to."""
    import http.client
    import ssl

    url = parameters.url
    deadline = context.clock.monotonic() + timeout
    cut = threading.Event()
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = _ask(context, parameters, url, deadline, cut)
            target = answer.headers.get("Location")
            if not (parameters.follow_redirects and answer.status in _REDIRECTS and target):
                return _judge(parameters, url, answer)
            url = _url(urljoin(url, target))
        return failed("HEALTH_HTTP_REDIRECTS", f"{parameters.url}: over {_MAX_REDIRECTS} redirects")
    except TimeoutError:
        return _too_late(url, timeout)
    except ssl.SSLError as error:
        return _too_late(url, timeout) if cut.is_set() else failed("HEALTH_HTTP_TLS", f"{url}: {error}")
    except (http.client.HTTPException, ValueError) as error:
        if cut.is_set():
            return _too_late(url, timeout)
        return failed("HEALTH_HTTP_PROTOCOL", f"{url}: not a valid answer ({type(error).__name__})")
    except OSError as error:
        if cut.is_set():
            return _too_late(url, timeout)
        return failed("HEALTH_HTTP_CONNECT", f"{url}: {error.strerror or error}")


def _too_late(url: str, timeout: float) -> ProbeResult:
    return failed("HEALTH_HTTP_TIMEOUT", f"{url}: no complete answer within {timeout:g} s")


def _ask(context: ProbeContext, parameters: HttpParameters, url: str, deadline: float, cut: threading.Event) -> _Answer:
    import http.client

    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    left = deadline - context.clock.monotonic()
    if left <= 0:
        raise TimeoutError
    connection = http.client.HTTPConnection(host, port)
    raw = connect(host, port, left, context.clock)
    connection.sock = raw
    sockets = [raw]
    with contextlib.closing(connection), raw, _cut_at(sockets, deadline - context.clock.monotonic(), cut):
        if secure:
            tls = _tls(parameters.verify_tls)
            secured = tls.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
            connection.sock = secured
            sockets.append(secured)
            secured.do_handshake()
        default_port = port == (443 if secure else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        shown_host = f"[{host}]" if ":" in host else host
        headers = {
            "Host": shown_host if default_port else f"{shown_host}:{port}",
            "User-Agent": "lonelycat-health",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **parameters.request_headers,
        }
        connection.request(parameters.method, path, headers=headers)
        with connection.getresponse() as response:
            body = response.read(parameters.max_body_bytes)
            complete = response.read(1) == b""
        if cut.is_set():
            raise TimeoutError
        missing = response.length
        if complete and missing:
            raise http.client.IncompleteRead(body, missing)
        return _Answer(response.status, response.headers, body, complete)


@contextlib.contextmanager
def _cut_at(sockets: list[socket.socket], seconds: float, cut: threading.Event) -> Iterator[None]:
    """Shut ``sockets`` down after ``seconds``, however slowly the other side drips; sets ``cut`` then.

    The list may grow: a TLS socket takes the plain one's place, and ``http.client`` forgets its own early.
    """

    def shut() -> None:
        cut.set()
        for one in tuple(sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, seconds), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _tls(verify: bool) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _judge(parameters: HttpParameters, url: str, answer: _Answer) -> ProbeResult:
    shown = answer.body[:_SHOWN_BYTES]
    if not parameters.expects(answer.status):
        return failed(f"HEALTH_HTTP_{answer.status}", f"{url} answers {answer.status}", shown, status=answer.status)
    for name, pattern in parameters.headers.items():
        value = answer.headers.get(name)
        if value is None or not re.search(pattern, value[:MATCH_BYTES]):
            return failed("HEALTH_HTTP_HEADER", f"{url}: header {name} does not match {pattern!r}", shown)
    text = answer.body.decode("utf-8", "replace")
    if parameters.body_contains is not None and parameters.body_contains not in text:
        return failed("HEALTH_HTTP_BODY", f"{url}: the body does not contain {parameters.body_contains!r}", shown)
    if parameters.body_matches is not None and not re.search(parameters.body_matches, text[:MATCH_BYTES]):
        return failed("HEALTH_HTTP_BODY", f"{url}: the body does not match {parameters.body_matches!r}", shown)
    if parameters.json_equals:
        wrong = _json_problem(parameters, answer)
        if wrong is not None:
            return failed("HEALTH_HTTP_JSON", f"{url}: {wrong}", shown)
    return passed(f"{url} answers {answer.status}", shown, status=answer.status)


def _json_problem(parameters: HttpParameters, answer: _Answer) -> str | None:
    import json

    if not answer.complete:
        return f"the body is over {parameters.max_body_bytes} bytes"
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    for pointer, expected in parameters.json_equals.items():
        found = look_up(document, pointer)
        if found is MISSING:
            return f"the body has no {pointer or 'value'}"
        if not same_json(found, expected):
            return f"{pointer or 'the body'} is not {expected!r}"
    return None


KIND = HealthKind(HttpParameters, probe)
