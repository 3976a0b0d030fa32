"""The seeds of the harness: a short slice by default, ``--seeds N`` or ``--seeds FROM:TO`` for more, or one again.

``--platform walking`` or ``macos`` runs all of it with the calls of another system (``tests/platforms.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.backups import either_backup as either_backup
from tests.crash.memory import MemoryFileSystem
from tests.crash.trees import UMASK
from tests.platforms import PLATFORMS

from lonelycat.executor.filesystem import FileSystem

DEFAULTS = {
    "seed": 3,
    "fault_seed": 12,
    "outsider_seed": 5,
    "kill_seed": 10,
    "states_seed": 64,
    "power_seed": 9,
    "service_seed": 3,
    "full_seed": 3,
    "strace_seed": 3,
}
"""By fixture: how many seeds run when none are asked for. A seed of the crash states stands for thousands of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", default=None, help="how many seeds (N), or which (FROM:TO), the crash harness runs")
    parser.addoption("--platform", choices=PLATFORMS, default="linux", help="whose calls the crash harness uses")


def _seeds(config: pytest.Config, default: int) -> range:
    text = config.getoption("--seeds", default=None)
    if text is None:
        return range(default)
    first, _, last = str(text).rpartition(":")
    return range(int(first or 0), int(last))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, default in DEFAULTS.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, _seeds(metafunc.config, default))


@pytest.fixture(autouse=True)
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the system whose calls are used: that of the option, or of the test's own parameter."""
    name = str(getattr(request, "param", request.config.getoption("--platform", default="linux")))
    monkeypatch.setattr(FileSystem, "platform", PLATFORMS[name]())
    monkeypatch.setattr(MemoryFileSystem, "syncs_whole", FileSystem.platform.syncs_whole)
    return name


@pytest.fixture(autouse=True)
def known_umask() -> Iterator[None]:
    """What a created file's permission bits depend on."""
    before = os.umask(UMASK)
    yield
    os.umask(before)
