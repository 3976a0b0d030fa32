"""Kind grpc against a real gRPC server with the health service."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.servers.certificates import certificates
from tests.servers.grpc_health import grpc_health
from tests.unit.checks.probing import Asking, Raw, silent


@pytest.fixture
def target(grpc_target: str) -> str:
    return grpc_target


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("", None),
        ("shop", None),
        ("broken", "HEALTH_GRPC_NOT_SERVING"),
        ("unsure", "HEALTH_GRPC_NOT_SERVING"),
        ("gone", "HEALTH_GRPC_NOT_SERVING"),
        ("guarded", "HEALTH_GRPC_ERROR"),
    ],
)
def test_only_serving_passes(target: str, ask: Asking, service: str, code: str | None) -> None:
    assert ask("grpc", target=target, service=service).code == code


def test_metadata_of_a_variable_is_sent_and_not_shown(target: str, ask: Asking, monkeypatch: Any) -> None:
    monkeypatch.setenv("TOKEN", "t0p-secret")
    seen = ask("grpc", target=target, service="guarded", metadata_env={"token": "TOKEN"})
    assert seen.ok and "t0p-secret" not in repr(seen)


def test_over_tls(ask: Asking, tmp_path: Path) -> None:
    made = certificates(tmp_path / "tls", days=30)
    with grpc_health(tmp_path, made) as target:
        assert ask("grpc", target=target, tls=True, ca_file=str(made.authority)).ok
        stranger = certificates(tmp_path / "other", days=30)
        assert ask.to_the_limit("grpc", target=target, tls=True, ca_file=str(stranger.authority)).code in (
            "HEALTH_GRPC_CONNECT",
            "HEALTH_GRPC_TIMEOUT",
        )
        assert ask("grpc", target=target, tls=True, ca_file="gone.pem").code == "HEALTH_GRPC_TLS"
        assert ask.to_the_limit("grpc", target=target).code in ("HEALTH_GRPC_CONNECT", "HEALTH_GRPC_TIMEOUT")


def test_nobody_listens_and_silence(ask: Asking, raw_server: Raw, closed_port: int) -> None:
    assert ask("grpc", target=f"127.0.0.1:{closed_port}").code == "HEALTH_GRPC_CONNECT"
    assert ask.to_the_limit("grpc", target=f"127.0.0.1:{raw_server(silent)}").code == "HEALTH_GRPC_TIMEOUT"


def test_without_the_extra_it_is_named(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        sys.modules["grpc"] = None
        from lonelycat.checks.health.grpc import GrpcParameters, probe
        from lonelycat.errors import LonelyCatError
        try:
            probe(None, GrpcParameters(target="h:1"), 1.0)
        except LonelyCatError as error:
            print(error)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("HEALTH_EXTRA_MISSING: kind grpc needs the extra lonelycat[grpc]")


@pytest.mark.parametrize(
    "parameters", [{}, {"target": "host"}, {"target": "h:1", "ca_file": "x"}, {"target": "unix:/x", "tls": True}]
)
def test_what_can_never_pass_is_refused(ask: Asking, parameters: dict[str, Any]) -> None:
    assert ask("grpc", **parameters).code == "HEALTH_PARAMETERS"
