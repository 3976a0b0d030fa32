"""Restarts in dependency order, each when the one before is ready; a policy whose order means nothing does not load."""

from __future__ import annotations

import itertools
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS
from tests.unit.checks.documented import documented, examples

from lonelycat.checks.pidfile import read_pid_file
from lonelycat.checks.result import CheckResult
from lonelycat.checks.services.order import restart_order
from lonelycat.checks.services.registry import validate_service
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.checks.services.stopping import stop_service
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import HealthCheck, Service
from lonelycat.governance.policy_file import load_policy
from lonelycat.settings import Limits


def services(**after: list[str]) -> dict[str, Service]:
    return {
        name: Service.model_validate({"kind": "command", "with": {"argv": ["true"]}, "after": others})
        for name, others in after.items()
    }


def test_what_a_service_depends_on_comes_first_and_the_rest_stays() -> None:
    defined = services(web=["db", "cache"], db=[], cache=[], other=[])
    for names in itertools.permutations(defined):
        ordered = restart_order(names, defined)
        assert sorted(ordered) == sorted(names)
        assert ordered.index("web") > max(ordered.index("db"), ordered.index("cache"))
    assert restart_order(("other", "web", "cache", "db"), defined) == ("other", "db", "cache", "web")
    assert restart_order(("cache", "db"), defined) == ("cache", "db")


def test_a_service_that_is_not_restarted_still_passes_the_order_on() -> None:
    defined = services(web=["api"], api=["db"], db=[])
    assert restart_order(("web", "db"), defined) == ("db", "web")


def test_twice_is_once_and_an_unknown_name_has_no_dependencies() -> None:
    assert restart_order(("x", "web", "x"), services(web=[])) == ("x", "web")


def policy(text: str) -> bytes:
    return f'version: 1\nname: p\nexecutor: {{allowed_paths: ["**"]}}\nservices:\n{text}'.encode()


@pytest.mark.parametrize(
    ("text", "code", "line", "said"),
    [
        ("  web: {kind: command, after: [bd], with: {argv: [a]}}\n  db: {kind: command, with: {argv: [a]}}\n",
         "POLICY_UNKNOWN_NAME", 5, "bd is not a service"),
        ("  db: {kind: command, with: {argv: [a]}}\n  web: {kind: command, after: [web], with: {argv: [a]}}\n",
         "POLICY_CIRCLE", 6, "web after web"),
        ("  a: {kind: command, after: [b], with: {argv: [x]}}\n  b: {kind: command, after: [c], with: {argv: [x]}}\n"
         "  c: {kind: command, after: [a], with: {argv: [x]}}\n",
         "POLICY_CIRCLE", 5, "a after b after c after a"),
        ("  web: {kind: command, ready_timeout: 3, with: {argv: [a]}}\n",
         "POLICY_UNREACHABLE", 5, "health_checks, and there are none"),
    ],
    ids=["unknown", "itself", "circle", "readiness of nothing"],
)  # fmt: skip
def test_an_order_that_means_nothing_fails_the_load_with_its_place(text: str, code: str, line: int, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(policy(text), source="p.yaml")
    assert caught.value.code == code
    assert caught.value.message.startswith(f"p.yaml:{line}:")
    assert said in caught.value.message


def restarted(
    workspace: Path, check: dict[str, Any], *, within: float = PATIENCE_SECONDS, ready: float = PATIENCE_SECONDS
) -> CheckResult:
    """Restart a service whose start takes effect after 0.8 seconds."""
    touch = "import time; time.sleep(0.8); open('up', 'w')"
    later = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {touch!r}])"
    argv = [sys.executable, "-c", later]
    service = Service.model_validate(
        {
            "kind": "command",
            "with": {"argv": argv, "starts_daemon": True},
            "health_checks": ["up"],
            "ready_timeout": ready,
        }
    )
    checks = {"up": HealthCheck.model_validate({"kind": "file", "with": {"path": "up"}, **check})}
    restarter = ServiceRestarter(workspace, SystemClock(), Limits(), health_checks=checks)
    return restarter.restart("web", service, within)


def test_readiness_asks_again_until_the_checks_hold(workspace: Path) -> None:
    found = restarted(workspace, {"attempts": 1})
    assert found.ok and "ready after" in found.message, found
    assert found.duration_seconds > 0.8


def test_a_service_that_never_gets_ready_fails_in_time_and_says_what_it_lacks(workspace: Path) -> None:
    found = restarted(workspace, {"with": {"path": "never"}}, within=600.0, ready=1.0)
    assert (found.ok, found.code) == (False, "SERVICE_NOT_READY")
    assert "up: " in found.message and "HEALTH_FILE" in found.message
    assert found.duration_seconds < PATIENCE_SECONDS


def test_the_time_for_the_whole_bounds_readiness(workspace: Path) -> None:
    for within in (1.0, 6.0, 36.0):  # the restart itself has to be over when its time is
        found = restarted(workspace, {"with": {"path": "never"}}, within=within, ready=600.0)
        if found.code != "SERVICE_RESTART_TIMEOUT":
            break
    assert found.code == "SERVICE_NOT_READY" and found.duration_seconds < PATIENCE_SECONDS


def test_without_a_time_for_it_readiness_is_not_waited_for(workspace: Path) -> None:
    service = Service.model_validate({"kind": "command", "with": {"argv": ["true"]}, "health_checks": ["up"]})
    checks = {"up": HealthCheck.model_validate({"kind": "file", "with": {"path": "never"}})}
    restarter = ServiceRestarter(workspace, SystemClock(), Limits(), health_checks=checks)
    assert restarter.restart("web", service, PATIENCE_SECONDS).ok


@pytest.mark.parametrize("kind", ["process", "command"])
def test_the_documented_example(kind: str, workspace: Path) -> None:
    name, service = documented(kind)
    found = ServiceRestarter(workspace, SystemClock(), Limits()).restart(name, service, PATIENCE_SECONDS)
    noted = read_pid_file(workspace / ".lonelycat/run" / f"{name}.pid")
    if noted is not None and noted.identity is not None:
        stop_service(noted.identity, signal.SIGKILL, 0, SystemClock())
    assert found.ok, found
    assert (noted is None) == (kind == "command")


@pytest.mark.parametrize("example", examples(), ids=lambda example: ",".join(example["services"]))
def test_every_example_is_a_policy_that_loads(example: dict[str, Any]) -> None:
    whole = {"version": 1, "name": "p", "executor": {"allowed_paths": ["**"]}, **example}
    loaded = load_policy(json.dumps(whole).encode(), source="docs/services.md")
    for name, service in loaded.policy.services.items():
        validate_service(name, service)
