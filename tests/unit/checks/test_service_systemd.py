"""Restarts by a real systemd: a user manager of its own, in a mount namespace where the system looks booted by it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.debian import need_root, program
from tests.patience import PATIENCE_SECONDS, until
from tests.unit.checks.documented import documented

from lonelycat.checks.result import CheckResult
from lonelycat.checks.services.registry import validate_service
from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import Service
from lonelycat.settings import Limits

UNITS = {
    "shop": "ExecStart=/bin/sleep 600",
    "web": "ExecStart=/bin/sleep 600\nExecReload=/bin/kill -HUP $MAINPID",
    "reloading": "ExecStart=/bin/sh -c \"trap 'echo again >> {home}/said' HUP; echo up > {home}/said; "
    'while :; do sleep 0.05; done"\n'
    "ExecReload=/bin/kill -HUP $MAINPID",
    "dying": 'ExecStart=/bin/sh -c "echo no database here >&2; exit 7"',
    "late": 'ExecStart=/bin/sh -c "sleep 0.4; exit 7"',
    "hanging": "Type=notify\nTimeoutStartSec=600\nExecStart=/bin/sleep 600",
    "once": "Type=oneshot\nExecStart=/bin/true",
    "once-broken": "Type=oneshot\nExecStart=/bin/false",
}


@pytest.fixture(scope="module")
def manager() -> Iterator[Path]:
    """A running user manager; yields its runtime directory."""
    need_root("a systemd of one's own, in a mount namespace,")
    program("systemctl", "systemd")
    with tempfile.TemporaryDirectory(prefix="lc-") as name:
        home = Path(name)
        units = home / "systemd" / "user"
        units.mkdir(parents=True)
        for unit, text in UNITS.items():
            (units / f"{unit}.service").write_text(f"[Service]\n{text.format(home=home)}\n")
        booted = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec /lib/systemd/systemd --user"
        environment = {**os.environ, "XDG_RUNTIME_DIR": name, "XDG_CONFIG_HOME": name, "SYSTEMD_LOG_TARGET": "console"}
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", booted],
                env=environment, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            until(
                lambda: (home / "systemd" / "private").exists() or process.poll() is not None,
                lambda: (home / "log").read_text(),
                pause=0.05,
            )
            assert process.poll() is None, (home / "log").read_text()
            yield home
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_SECONDS)  # it stops its units first
            process.kill()
            process.wait()


@pytest.fixture
def ask(manager: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(manager))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)

    def act(unit: str, action: str = "restart", within: float = PATIENCE_SECONDS, **given: Any) -> CheckResult:
        parameters = {"unit": f"{unit}.service", "scope": "user", "settle_seconds": 0.3, **given}
        service = Service.model_validate({"kind": "systemd", "action": action, "with": parameters})
        return ServiceRestarter(workspace, SystemClock(), Limits()).restart(unit, service, within)

    return act


def test_a_restart_is_a_new_invocation(ask: Any) -> None:
    first, second = ask("web"), ask("web")
    assert (first.ok, first.kind) == (True, "service:systemd"), first
    assert second.ok and "web.service is active (running" in second.message
    assert first.details["pid"] != second.details["pid"]


def test_reload_and_signal_go_to_what_runs(ask: Any, manager: Path) -> None:
    assert ask("reloading", "reload").code == "SERVICE_NOT_RUNNING"
    assert ask("reloading").ok
    _await_words(manager, "up")
    assert ask("reloading", "reload").ok
    _await_words(manager, "up again")
    assert ask("reloading", "signal", signal="HUP").ok
    _await_words(manager, "up again again")
    found = ask("reloading", "signal", signal="USR1", settle_seconds=30)
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED"), "USR1 ends it"


def _await_words(manager: Path, words: str) -> None:
    said = manager / "said"
    until(lambda: said.exists() and said.read_text().split() == words.split(), f"{words!r} of the unit")


@pytest.mark.parametrize("unit", ["dying", "late", "once-broken"])
def test_what_does_not_stay_up_fails(ask: Any, unit: str) -> None:
    found = ask(unit, settle_seconds=30)
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED"), found
    assert found.output


def test_a_oneshot_unit_has_done_its_work_when_it_ended_well(ask: Any) -> None:
    found = ask("once")
    assert found.ok and "inactive" in found.message, found


def test_a_start_that_hangs_is_a_timeout_and_systemctl_is_gone(ask: Any, manager: Path) -> None:
    found = ask("hanging", within=1.0)
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_TIMEOUT"), found
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if b"hanging.service" in (entry / "cmdline").read_bytes():
                    assert os.fsencode(manager) not in (entry / "environ").read_bytes()  # it may be another run's


def test_an_unknown_unit_and_no_systemctl(ask: Any) -> None:
    assert ask("nobody").code == "SERVICE_NOT_KNOWN"
    assert ask("web", systemctl=["/nowhere/systemctl"]).code == "SERVICE_COMMAND_NOT_FOUND"


def test_a_restart_that_is_only_claimed_is_not_believed(ask: Any) -> None:
    assert ask("web").ok
    lying = "import os, sys; 'restart' in sys.argv or os.execvp('systemctl', ['systemctl', *sys.argv[1:]])"
    found = ask("web", systemctl=[sys.executable, "-c", lying])
    assert (found.ok, found.code) == (False, "SERVICE_RESTART_FAILED")
    assert "same invocation" in found.message


def test_a_systemctl_that_says_nothing_of_use_is_a_failure(ask: Any) -> None:
    found = ask("web", systemctl=[sys.executable, "-c", "print('hello')"])
    assert (found.ok, found.code) == (False, "SERVICE_MANAGER_ANSWER")


@pytest.mark.parametrize("unit", ["web", "", "a b.service", "--now.service/..", "$(x).service"])
def test_a_name_that_is_no_unit_is_refused(unit: str) -> None:
    with pytest.raises(PolicyError, match="unit"):
        validate_service("web", Service.model_validate({"kind": "systemd", "with": {"unit": unit}}))


def test_the_documented_example(ask: Any, workspace: Path) -> None:
    name, service = documented("systemd")
    found = ServiceRestarter(workspace, SystemClock(), Limits()).restart(name, service, PATIENCE_SECONDS)
    assert found.ok, found
