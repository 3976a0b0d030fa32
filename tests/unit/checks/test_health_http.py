"""HTTP checks against real servers, good, broken and hostile."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS
from tests.servers.certificates import certificates
from tests.unit.checks.probing import Asking, Raw, silent

from lonelycat.checks.health.kind import ProbeContext, ProbeResult
from lonelycat.checks.health.registry import health_kind
from lonelycat.clock import SystemClock
from lonelycat.settings import Limits


class Handler(BaseHTTPRequestHandler):
    requests: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.requests.append((self.path, dict(self.headers)))
        if self.path.startswith("/redirect"):
            self._answer(302, b"", {"Location": "/ok" if self.path == "/redirect" else self.path})
        elif self.path.startswith("/status/"):
            self._answer(int(self.path.rsplit("/", 1)[1]), b"")
        elif self.path == "/json":
            body = {"status": "up", "n": 1, "flag": True, "deep": [{"a/b": {"~": None}}], "ratio": 1.0}
            self._answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        elif self.path == "/big":
            self._answer(200, b"x" * 3_000_000 + b"needle")
        else:
            self._answer(200, "all gööd".encode(), {"X-State": "ready; fine"})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    handler = type("Bound", (Handler,), {"requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture
def probe(workspace: Path) -> Callable[..., ProbeResult]:
    kind = health_kind("http")

    def run(url: str, within: float = PATIENCE_SECONDS, **parameters: Any) -> ProbeResult:
        context = ProbeContext(workspace, SystemClock(), Limits())
        return kind.probe(context, kind.parameters.model_validate({"url": url, **parameters}), within)

    return run


def at(server: Any, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_a_good_answer_passes(server: Any, probe: Any) -> None:
    seen = probe(at(server, "/ok?x=1#part"))
    assert (seen.ok, seen.code, seen.details["status"]) == (True, None, 200)
    path, headers = server.RequestHandlerClass.requests[0]
    assert path == "/ok?x=1"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("status", [199 + 1, 204, 404, 500, 503])
def test_status_is_compared(server: Any, probe: Any, status: int) -> None:
    url = at(server, f"/status/{status}")
    good = status < 300
    assert probe(url).ok is good
    assert probe(url).code == (None if good else f"HEALTH_HTTP_{status}")
    assert probe(url, status=status).ok
    assert probe(url, status=[100, status]).ok
    assert probe(url, status=["500-599", "200-499"]).ok
    assert probe(url, status=[status + 1, "201-203"]).code == f"HEALTH_HTTP_{status}"


def test_headers_and_body_are_matched(server: Any, probe: Any) -> None:
    url = at(server, "/ok")
    assert probe(url, headers={"x-state": "^ready"}, body_contains="gööd", body_matches="^all .*d$").ok
    assert probe(url, headers={"X-State": "^fine"}).code == "HEALTH_HTTP_HEADER"
    assert probe(url, headers={"X-Other": ".*"}).code == "HEALTH_HTTP_HEADER"
    assert probe(url, body_contains="bad").code == "HEALTH_HTTP_BODY"
    assert probe(url, body_matches="^good").code == "HEALTH_HTTP_BODY"


@pytest.mark.parametrize(
    ("pointer", "value", "good"),
    [
        ("/status", "up", True),
        ("/status", "down", False),
        ("/n", 1, True),
        ("/n", 1.0, True),
        ("/n", True, False),
        ("/flag", True, True),
        ("/flag", 1, False),
        ("/deep/0/a~1b/~0", None, True),
        ("/deep/00/a~1b", {"~": None}, False),
        ("/deep/1", None, False),
        ("/deep/-", None, False),
        ("/deep/0", {"a/b": {"~": None}}, True),
        ("/missing", None, False),
        ("/status/0", "u", False),
        ("", {}, False),
    ],
)
def test_json_values_are_compared_as_json(server: Any, probe: Any, pointer: str, value: Any, good: bool) -> None:
    seen = probe(at(server, "/json"), json_equals={pointer: value})
    assert (seen.ok, seen.code) == ((True, None) if good else (False, "HEALTH_HTTP_JSON"))


def test_a_body_that_is_not_json_fails(server: Any, probe: Any) -> None:
    assert probe(at(server, "/ok"), json_equals={"/a": 1}).code == "HEALTH_HTTP_JSON"


def test_redirects_are_followed_only_when_told_and_not_for_ever(server: Any, probe: Any) -> None:
    assert probe(at(server, "/redirect")).code == "HEALTH_HTTP_302"
    assert probe(at(server, "/redirect"), follow_redirects=True, body_contains="all").ok
    assert probe(at(server, "/redirect/loop"), follow_redirects=True).code == "HEALTH_HTTP_REDIRECTS"


def test_a_redirect_to_another_kind_of_address_is_refused(raw_server: Raw, probe: Any) -> None:
    port = raw_server(answering(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"))
    assert probe(f"http://127.0.0.1:{port}/", follow_redirects=True).code == "HEALTH_HTTP_PROTOCOL"


def test_head_is_asked_without_a_body(server: Any, probe: Any) -> None:
    assert probe(at(server, "/big"), method="HEAD").ok


def test_a_huge_body_is_read_only_to_its_limit(server: Any, probe: Any) -> None:
    assert probe(at(server, "/big")).ok
    assert probe(at(server, "/big"), body_contains="needle").code == "HEALTH_HTTP_BODY"
    assert probe(at(server, "/big"), body_contains="needle", max_body_bytes=4_000_000).ok
    assert probe(at(server, "/json"), json_equals={"/n": 1}, max_body_bytes=10).code == "HEALTH_HTTP_JSON"
    assert len(probe(at(server, "/big")).output) <= 4096


def test_nobody_listening_is_told(probe: Any, closed_port: int) -> None:
    assert probe(f"http://127.0.0.1:{closed_port}/").code == "HEALTH_HTTP_CONNECT"


def test_an_unknown_name_is_told(probe: Any) -> None:
    assert probe("http://no-such-host.invalid/").code in ("HEALTH_HTTP_CONNECT", "HEALTH_HTTP_TIMEOUT")
    assert probe("http://" + "a" * 70 + ".invalid/").code == "HEALTH_HTTP_CONNECT"


def answering(data: bytes) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    return handle


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_garbage_is_a_failure(raw_server: Raw, probe: Any, data: bytes) -> None:
    seen = probe(f"http://127.0.0.1:{raw_server(answering(data))}/")
    assert not seen.ok
    assert seen.code in ("HEALTH_HTTP_PROTOCOL", "HEALTH_HTTP_CONNECT")


def test_hostile_json_is_a_failure(raw_server: Raw, probe: Any) -> None:
    for body in (b"[" * 100_000, b'{"n": ' + b"1" * 10_000 + b"}", b"\xff\xfe", b"", b"NaN"):
        answer = b"HTTP/1.1 200 OK\r\n\r\n" + body
        seen = probe(f"http://127.0.0.1:{raw_server(answering(answer))}/", json_equals={"/n": 1})
        assert seen.code == "HEALTH_HTTP_JSON", body[:20]


def dripping(first: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return handle


@pytest.mark.parametrize(
    "handle",
    [
        silent,
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        dripping(b"", b"H"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_an_answer_that_never_ends_is_cut_at_the_limit(raw_server: Raw, probe: Any, handle: Any) -> None:
    seen = probe(f"http://127.0.0.1:{raw_server(handle)}/", within=0.5)
    assert seen.code == "HEALTH_HTTP_TIMEOUT"


def test_a_hanging_tls_handshake_is_cut(raw_server: Raw, probe: Any) -> None:
    assert probe(f"https://127.0.0.1:{raw_server(silent)}/", within=0.5).code == "HEALTH_HTTP_TIMEOUT"


@pytest.fixture
def tls_files(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-out", str(certificate), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_tls_is_verified_unless_told_otherwise(raw_server: Raw, probe: Any, tls_files: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, tls_files))

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    url = f"https://127.0.0.1:{raw_server(handle)}/"
    assert probe(url).code == "HEALTH_HTTP_TLS"
    assert probe(url, verify_tls=False, body_contains="ok").ok


@pytest.mark.parametrize(
    ("days", "wanted", "code"),
    [
        (30, 14, None),
        (30, 31, "HEALTH_HTTP_TLS_EXPIRY"),
        (0.5, 1, "HEALTH_HTTP_TLS_EXPIRY"),
        (-1, 1, "HEALTH_HTTP_TLS"),
    ],
)
def test_a_certificate_must_be_valid_for_long_enough(
    raw_server: Raw, probe: Any, tmp_path: Path, days: float, wanted: float, code: str | None
) -> None:
    made = certificates(tmp_path / "tls", days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    url = f"https://localhost:{raw_server(handle)}/"
    assert probe(url, ca_file=str(made.authority), min_tls_days=wanted).code == code
    if days < 0:  # whoever does not verify still learns that it has ended
        assert probe(url, verify_tls=False, min_tls_days=wanted).code == "HEALTH_HTTP_TLS_EXPIRY"
    assert probe(url, min_tls_days=wanted).code == "HEALTH_HTTP_TLS"
    assert probe(url, ca_file="gone.pem").code == "HEALTH_HTTP_CONNECT"


def test_a_secret_header_is_sent_once_and_nowhere_else(raw_server: Raw, ask: Asking, monkeypatch: Any) -> None:
    asked: list[bytes] = []

    def elsewhere(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nt0p-s3cret"[:-1])

    other = raw_server(elsewhere)

    def redirect(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n" % other)

    monkeypatch.setenv("TOKEN", "t0p-s3cre")
    headers = {"request_headers_env": {"X-Token": "TOKEN"}}
    seen = ask("http", url=f"http://127.0.0.1:{raw_server(redirect)}/", follow_redirects=True, **headers)
    assert b"X-Token: t0p-s3cre" in asked[0] and b"t0p-s3cre" not in asked[1]
    assert seen.code == "HEALTH_HTTP_500" and "t0p-s3cre" not in repr(seen) and b"[REDACTED]" in seen.output
    monkeypatch.delenv("TOKEN")
    assert ask("http", url="http://127.0.0.1:1/", **headers).code == "HEALTH_SECRET_MISSING"


def test_a_body_that_drips_through_tls_is_cut(raw_server: Raw, probe: Any, tls_files: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, tls_files))

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x")(secure)

    url = f"https://127.0.0.1:{raw_server(handle)}/"
    assert probe(url, verify_tls=False, within=0.7).code == "HEALTH_HTTP_TIMEOUT"


def test_proxies_and_credentials_of_the_environment_are_not_used(
    server: Any, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert probe(at(server, "/ok")).ok
