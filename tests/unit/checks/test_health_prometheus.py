"""Kind prometheus against a real Prometheus that scrapes a real service, and against impostors."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from tests.unit.checks.probing import Asking, Raw, silent


@pytest.fixture
def url(prometheus_url: str) -> str:
    return prometheus_url


@pytest.mark.parametrize(
    ("query", "bounds", "code"),
    [
        ("shop_errors", {"max": 5}, None),
        ("shop_errors", {"min": 3, "max": 3}, None),
        ("shop_errors", {"max": 2}, "HEALTH_PROMETHEUS_THRESHOLD"),
        ("shop_errors", {"min": 4}, "HEALTH_PROMETHEUS_THRESHOLD"),
        ("sum(shop_parts)", {"max": 3}, None),
        ("scalar(shop_errors)", {"max": 5}, None),
        ("7", {"max": 5}, "HEALTH_PROMETHEUS_THRESHOLD"),
        ('up{job="service"}', {"min": 1}, None),
        ("shop_gone", {"max": 5}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ("shop_parts", {"max": 5}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ("shop_ratio", {"max": 5}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ("shop_errors / 0 * 0", {"min": 0}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ("shop_big", {"min": 0}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ("shop_errors[5m]", {"max": 5}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ('"text"', {"max": 5}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ("shop_errors > 5", {"max": 5}, "HEALTH_PROMETHEUS_INCONCLUSIVE"),
        ("sum(", {"max": 5}, "HEALTH_PROMETHEUS_QUERY"),
    ],
)
def test_one_finite_number_within_its_bounds(
    url: str, ask: Asking, query: str, bounds: dict[str, float], code: str | None
) -> None:
    assert ask("prometheus", url=url, query=query, **bounds).code == code


def test_nobody_listens(ask: Asking, closed_port: int) -> None:
    seen = ask("prometheus", url=f"http://127.0.0.1:{closed_port}", query="up", min=1)
    assert seen.code == "HEALTH_PROMETHEUS_CONNECT"


def _success(result: object, kind: str = "vector", **more: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more}).encode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (_success([{"metric": {}, "value": [1, "1"]}]), None),
        (_success([{"metric": {}, "value": [1, "1"]}], warnings=["a store did not answer"]), "INCONCLUSIVE"),
        (_success([{"metric": {}, "value": [1, "one"]}]), "INCONCLUSIVE"),
        (_success([{"metric": {}, "value": [1, 1]}]), "INCONCLUSIVE"),
        (_success([{"metric": {}, "value": []}]), "INCONCLUSIVE"),
        (_success([7]), "INCONCLUSIVE"),
        (_success(None), "INCONCLUSIVE"),
        (b'{"status": "success"}', "INCONCLUSIVE"),
        (b'{"status": "success", "data": []}', "INCONCLUSIVE"),
        (b"[]", "PROTOCOL"),
        (b"fine", "PROTOCOL"),
        (b"", "PROTOCOL"),
        (b"[" * 100_000, "PROTOCOL"),
        (b'{"status": "success", "x": "' + b"x" * 2_000_000 + b'"}', "PROTOCOL"),
    ],
)
def test_what_is_no_clear_answer_fails(raw_server: Raw, ask: Asking, body: bytes, code: str | None) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    seen = ask("prometheus", url=f"http://127.0.0.1:{raw_server(answer)}", query="up", min=1)
    assert seen.code == (None if code is None else f"HEALTH_PROMETHEUS_{code}")


def test_silence_ends_in_time_and_a_secret_header_is_sent(
    raw_server: Raw, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"http://127.0.0.1:{raw_server(silent)}"
    assert ask("prometheus", within=0.4, url=nowhere, query="up", min=1).code == "HEALTH_PROMETHEUS_TIMEOUT"
    asked: list[bytes] = []

    def repeat(connection: socket.socket) -> None:
        asked.append(connection.recv(10_000))
        body = b'{"status": "error", "errorType": "x", "error": "your token was Bearer t0p-secret"}'
        connection.sendall(b"HTTP/1.0 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    monkeypatch.setenv("TOKEN", "Bearer t0p-secret")
    parameters: dict[str, Any] = {"query": "up", "min": 1, "request_headers_env": {"Authorization": "TOKEN"}}
    seen = ask("prometheus", url=f"http://127.0.0.1:{raw_server(repeat)}", **parameters)
    assert b"Authorization: Bearer t0p-secret" in asked[0]
    assert seen.code == "HEALTH_PROMETHEUS_QUERY" and "t0p-secret" not in repr(seen)


@pytest.mark.parametrize(
    "parameters", [{}, {"min": 2, "max": 1}, {"min": float("nan")}, {"url": "http://h/?a=b", "min": 1}]
)
def test_what_can_never_pass_is_refused(ask: Asking, parameters: dict[str, Any]) -> None:
    assert ask("prometheus", **{"url": "http://h", "query": "up", **parameters}).code == "HEALTH_PARAMETERS"
