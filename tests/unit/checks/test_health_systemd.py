"""Kind systemd against a real manager with real units, and against a systemctl that hangs or talks nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE_SECONDS, until
from tests.servers.systemd import Systemd, systemd
from tests.unit.checks.probing import Asking

UNITS = {
    "good.service": "[Service]\nExecStart=/bin/sleep 600\n",
    "failing.service": "[Service]\nExecStart=/bin/false\n",
    "once.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    "flapping.service": (
        "[Unit]\nStartLimitIntervalSec=0\n"
        "[Service]\nExecStart=/bin/sh -c 'sleep 0.4; exit 1'\nRestart=always\nRestartSec=100ms\n"
    ),
    "off.service": "[Service]\nExecStart=/bin/sleep 600\n",
}
RECOVERING = (
    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=100ms\n"
    "ExecStart=/bin/sh -c 'for one in {}/*; do test -e $one && rm $one && exit 1; done; exec sleep 600'\n"
)
"""It fails as often as there are files in a directory, then runs."""


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failures")


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory, failures: Path) -> Iterator[Systemd]:
    units = {**UNITS, "recovering.service": RECOVERING.format(failures)}
    with systemd(tmp_path_factory.mktemp("systemd"), units) as one:
        one.systemctl("start", "good", "once")
        one.systemctl("start", "--no-block", "failing", "flapping")
        until(lambda: one.property("failing", "ActiveState") == "failed", "a unit that fails", pause=0.05)
        yield one


def unit(name: str, **parameters: Any) -> dict[str, Any]:
    return {"unit": name, "scope": "user", **parameters}


def test_states_of_real_units(manager: Systemd) -> None:
    asked = [
        (unit("good"), None),
        (unit("good.service", sub_state="running"), None),
        (unit("once", sub_state="exited"), None),
        (unit("once", sub_state="running"), "HEALTH_SYSTEMD_STATE"),
        (unit("failing"), "HEALTH_SYSTEMD_STATE"),
        (unit("off"), "HEALTH_SYSTEMD_STATE"),
        (unit("off", active_state="inactive"), None),
        (unit("good", active_state="inactive"), "HEALTH_SYSTEMD_STATE"),
        (unit("gone"), "HEALTH_SYSTEMD_MISSING"),
        (unit("gone", active_state="inactive"), "HEALTH_SYSTEMD_MISSING"),
        (unit("good", max_restarts=0), "HEALTH_NO_BASELINE"),
    ]
    answers = manager.asks(*(("probe", None, parameters) for parameters, _ in asked))
    assert [code for code, _ in answers] == [code for _, code in asked], answers


def test_restarts_count_from_the_mark(manager: Systemd) -> None:
    (_, calm), (_, mark) = manager.asks(
        ("mark", None, unit("good", max_restarts=0)), ("mark", None, unit("flapping", max_restarts=1))
    )
    assert calm["restarts"] == 0
    enough = mark["restarts"] + 2
    until(lambda: int(manager.property("flapping", "NRestarts")) >= enough, "two restarts", pause=0.1)
    codes = set()

    def told() -> bool:
        answers = manager.asks(*[("probe", mark, unit("flapping", max_restarts=1))] * 2)
        codes.update(code for code, _ in answers)
        return "HEALTH_SYSTEMD_RESTARTED" in codes

    until(told, "a probe between two restarts")
    assert None not in codes
    assert manager.asks(("probe", calm, unit("good", max_restarts=0)))[0][0] is None
    manager.systemctl("restart", "good")  # as a change does; systemd does not count it
    assert manager.asks(("probe", calm, unit("good", max_restarts=0)))[0][0] is None
    # A unit that the change is to bring begins at none.
    never = {"restarts": 0, "invocation": ""}
    assert manager.asks(("mark", None, unit("gone", max_restarts=0)))[0] == ["mark", never]


def test_a_unit_may_not_restart_again_as_often_as_it_had_before(manager: Systemd, failures: Path) -> None:
    """A start by hand makes systemd count anew; up to the number noted that looks as if nothing had happened."""

    def fail_twice(verb: str) -> None:
        for name in ("one", "two"):
            (failures / name).touch()
        manager.systemctl(verb, "--no-block", "recovering")
        until(lambda: not any(failures.iterdir()), "a unit that failed twice", pause=0.05)
        until(lambda: manager.property("recovering", "SubState") == "running", "a unit that runs", pause=0.05)
        assert manager.property("recovering", "NRestarts") == "2"

    fail_twice("start")
    never, twice = unit("recovering", max_restarts=0), unit("recovering", max_restarts=2)
    mark = manager.asks(("mark", None, never))[0][1]
    assert manager.asks(("probe", mark, never))[0][0] is None, "what was before the change is not held against it"
    fail_twice("restart")
    answers = manager.asks(("probe", mark, never), ("probe", mark, twice))
    assert [code for code, _ in answers] == ["HEALTH_SYSTEMD_RESTARTED", None], answers


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("sleep 600", "HEALTH_SYSTEMD_TIMEOUT"),
        ("echo 'Failed to connect to bus'; exit 1", "HEALTH_SYSTEMD_ERROR"),
        ("echo nonsense", "HEALTH_SYSTEMD_MISSING"),
        ("true", "HEALTH_SYSTEMD_MISSING"),
        ("echo LoadState=loaded", "HEALTH_SYSTEMD_STATE"),
        ("echo LoadState=loaded; echo ActiveState=active", None),
        ("yes LoadState=masked", "HEALTH_SYSTEMD_TIMEOUT"),
    ],
)
def test_a_systemctl_that_does_not_answer_well(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, code: str | None
) -> None:
    stand_in = tmp_path / "bin" / "systemctl"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:/usr/bin:/bin")
    within = 1.0 if code == "HEALTH_SYSTEMD_TIMEOUT" else PATIENCE_SECONDS
    assert ask("systemd", within=within, unit="web").code == code


def test_without_systemctl(ask: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    seen = ask("systemd", unit="web")
    assert seen.code == "HEALTH_SYSTEMD_MISSING" and "systemctl" in seen.message


@pytest.mark.parametrize("parameters", [{}, {"unit": "-H"}, {"unit": "a b"}, {"unit": "a", "scope": "host"}])
def test_what_can_never_pass_is_refused(ask: Asking, parameters: dict[str, Any]) -> None:
    assert ask("systemd", **parameters).code == "HEALTH_PARAMETERS"
