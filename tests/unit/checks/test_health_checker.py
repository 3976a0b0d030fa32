"""How often a health check must succeed or may fail, with a scripted probe and with real flaky services."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lonelycat.changes.model import Strict
from lonelycat.checks.health import checker as checker_module
from lonelycat.checks.health import registry as registry_module
from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.health.kind import HealthKind, ProbeContext, ProbeResult, failed, passed
from lonelycat.checks.result import CheckResult
from lonelycat.clock import SystemClock
from lonelycat.governance.policy import HealthCheck
from lonelycat.settings import Limits


class ManualClock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.slept = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.slept += seconds


class AnyParameters(Strict):
    port: int = 1


class Script:
    """Probes that answer as written: ``+`` passes, ``-`` fails, ``!`` raises, a digit takes so many seconds."""

    def __init__(self, clock: ManualClock, answers: str) -> None:
        self.clock, self.answers, self.timeouts = clock, list(answers), list[float]()

    def __call__(self, context: ProbeContext, parameters: AnyParameters, timeout: float) -> ProbeResult:
        self.timeouts.append(timeout)
        answer = self.answers.pop(0)
        while answer.isdigit():
            self.clock.at += int(answer)
            answer = self.answers.pop(0)
        if answer == "!":
            raise ZeroDivisionError("boom")
        return passed("fine") if answer == "+" else failed("HEALTH_TCP_REFUSED", "refused")


@pytest.fixture
def scripted(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[CheckResult, Script]]:
    def run(answers: str, within: float = 1000.0, stop: Any = None, **fields: Any) -> tuple[CheckResult, Script]:
        clock = ManualClock()
        script = Script(clock, answers)
        for module in (checker_module, registry_module):
            kind = HealthKind(AnyParameters, script, isolated=False)
            monkeypatch.setattr(module, "health_kind", lambda name, kind=kind: kind)
        check = HealthCheck.model_validate(
            {"kind": "tcp", "with": {}, "attempts": 5, "failure_threshold": 3, "interval": 1.0, **fields}
        )
        return HealthChecker(workspace, clock, Limits(), stop=stop).run("web", check, within), script

    return run


@pytest.mark.parametrize(
    ("answers", "fields", "code", "used"),
    [
        ("+", {}, None, 1),
        ("-+", {}, None, 2),
        ("--+", {}, None, 3),
        ("---+", {}, "HEALTH_TCP_REFUSED", 3),
        ("----+", {"failure_threshold": 9}, None, 5),
        ("-----+", {"failure_threshold": 9}, "HEALTH_TCP_REFUSED", 5),
        ("++", {"success_threshold": 2}, None, 2),
        ("+-++", {"success_threshold": 2}, None, 4),
        ("+-+-+", {"success_threshold": 2}, "HEALTH_INCONCLUSIVE", 5),
        ("-+-+-", {"success_threshold": 2}, "HEALTH_TCP_REFUSED", 5),
        ("+++++", {"success_threshold": 5}, None, 5),
        ("!!!", {}, "HEALTH_CRASHED", 3),
        ("!+", {}, None, 2),
        ("-", {"failure_threshold": 1}, "HEALTH_TCP_REFUSED", 1),
        ("-", {"attempts": 1}, "HEALTH_TCP_REFUSED", 1),
    ],
)
def test_thresholds(scripted: Any, answers: str, fields: dict[str, Any], code: str | None, used: int) -> None:
    result, _ = scripted(answers, **fields)
    assert (result.ok, result.code) == (code is None, code)
    assert result.details["attempts"] == used
    assert (result.kind, result.name) == ("health:tcp", "web")


def test_the_interval_lies_between_probes_only(scripted: Any) -> None:
    _, script = scripted("--+")
    assert script.clock.slept == pytest.approx(2.0)


def test_each_probe_gets_its_own_limit_or_what_is_left(scripted: Any) -> None:
    _, script = scripted("3-4-+", within=10.0, timeout=5.0)
    assert script.timeouts == pytest.approx([5.0, 5.0, 1.0])


@pytest.mark.parametrize(
    ("answers", "within", "fields", "code"),
    [
        ("9-", 8.0, {}, "HEALTH_TCP_REFUSED"),
        ("-", 1.0, {}, "HEALTH_TCP_REFUSED"),
        ("+", 1.0, {"success_threshold": 2}, "HEALTH_TIMEOUT"),
        ("9+", 8.0, {"success_threshold": 2}, "HEALTH_TIMEOUT"),
        ("9+", 8.0, {}, "HEALTH_TIMEOUT"),
        ("", 0.0, {}, "HEALTH_TIMEOUT"),
        ("", -3.0, {}, "HEALTH_TIMEOUT"),
    ],
)
def test_time_up_is_never_a_pass(scripted: Any, answers: str, within: float, fields: dict[str, Any], code: str) -> None:
    result, _ = scripted(answers, within, **fields)
    assert (result.ok, result.code) == (False, code)


def test_stop_ends_it(scripted: Any) -> None:
    stop = threading.Event()
    stop.set()
    result, _ = scripted("", stop=stop)
    assert (result.ok, result.code) == (False, "HEALTH_STOPPED")


def test_wrong_parameters_are_a_failure_when_run(workspace: Path) -> None:
    check = HealthCheck.model_validate({"kind": "tcp", "with": {"port": "x"}})
    result = HealthChecker(workspace, SystemClock(), Limits()).run("web", check, 5)
    assert (result.ok, result.code) == (False, "HEALTH_PARAMETERS")


def test_a_path_out_of_the_workspace_is_a_failure_when_run(workspace: Path) -> None:
    (workspace / "link").symlink_to("/etc/passwd")
    check = HealthCheck.model_validate({"kind": "file", "with": {"path": "link"}, "interval": 0})
    result = HealthChecker(workspace, SystemClock(), Limits()).run("web", check, 5)
    assert (result.ok, result.code) == (False, "CHECK_PATH_OUTSIDE")


def test_a_flaky_command_becomes_healthy_after_three_tries(workspace: Path) -> None:
    script = 'echo x >> tries; test "$(wc -l < tries)" -ge 3'
    fields = {"kind": "command", "with": {"argv": ["sh", "-c", script]}, "interval": 0.01}
    checker = HealthChecker(workspace, SystemClock(), Limits())
    result = checker.run("web", HealthCheck.model_validate({**fields, "failure_threshold": 3}), 30)
    assert result.ok and result.details["attempts"] == 3
    (workspace / "tries").unlink()
    result = checker.run("web", HealthCheck.model_validate({**fields, "failure_threshold": 2}), 30)
    assert (result.ok, result.code) == (False, "HEALTH_COMMAND_FAILED")


def test_a_flaky_http_service_and_a_hanging_one(workspace: Path, raw_server: Any) -> None:
    seen: list[int] = []

    def flaky(connection: Any) -> None:
        connection.recv(65536)
        seen.append(1)
        status = b"200 OK" if len(seen) > 2 else b"500 No"
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    checker = HealthChecker(workspace, SystemClock(), Limits())
    check = {"kind": "http", "with": {"url": f"http://127.0.0.1:{raw_server(flaky)}/"}, "interval": 0.01}
    result = checker.run("web", HealthCheck.model_validate({**check, "failure_threshold": 2}), 30)
    assert (result.ok, result.code) == (False, "HEALTH_HTTP_500")
    seen.clear()
    assert checker.run("web", HealthCheck.model_validate(check), 30).ok

    def hang(connection: Any) -> None:
        while connection.recv(65536):
            pass

    hanging = f"http://127.0.0.1:{raw_server(hang)}/"
    check = {"kind": "http", "with": {"url": hanging}, "interval": 0.01, "timeout": 0.2, "attempts": 2}
    result = checker.run("web", HealthCheck.model_validate(check), 30)
    assert (result.ok, result.code) == (False, "HEALTH_HTTP_TIMEOUT")
