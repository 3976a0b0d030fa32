"""A workspace and a verifier whose commands run in a sandbox: each test with bubblewrap, and again without."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.debian import program
from tests.patience import PATIENCE_SECONDS

from lonelycat.checks.result import CheckResult
from lonelycat.checks.sandbox import launch
from lonelycat.checks.sandbox.level import Level
from lonelycat.checks.verifier import Verifier
from lonelycat.clock import SystemClock
from lonelycat.governance.policy_profiles import VerificationProfile
from lonelycat.settings import Limits

Verify = Callable[..., CheckResult]


@pytest.fixture(scope="session", autouse=True)
def bubblewrap() -> str:
    """Where bubblewrap is; installed from Debian where it is missing."""
    return program("bwrap", "bubblewrap")


@pytest.fixture(params=[Level.BUBBLEWRAP, Level.NAMESPACES])
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Level:
    """The only level that is tried."""
    wanted: Level = request.param
    monkeypatch.setattr(launch, "LEVELS", (wanted,))
    return wanted


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a file, keys and a git hook."""
    root = tmp_path / "workspace"
    (root / ".lonelycat" / "keys").mkdir(parents=True)
    (root / ".lonelycat" / "keys" / "gate.pem").write_text("PRIVATE KEY")
    (root / ".git" / "hooks").mkdir(parents=True)
    (root / "kept.txt").write_text("kept\n")
    return root


@pytest.fixture
def verify(workspace: Path) -> Verify:
    """Run Python ``code`` (or an ``argv``) as a verification command and return what was found."""

    def run(
        code: str = "",
        *arguments: str,
        argv: Sequence[str] = (),
        secrets: Sequence[Path] = (),
        within: float = 10 * PATIENCE_SECONDS,
        stop: Any = None,
        unsandboxed: bool = False,
        **fields: Any,
    ) -> CheckResult:
        command = [*argv] or [sys.executable, "-I", "-S", "-c", code, *arguments]
        profile = VerificationProfile.model_validate({"argv": command, "timeout": PATIENCE_SECONDS, **fields})
        limits = Limits(max_output_bytes=200_000)
        checker = Verifier(workspace, SystemClock(), limits, (), stop, secrets=secrets, unsandboxed=unsandboxed)
        return checker.run("tests", profile, ("kept.txt",), within)

    return run


def everything(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return each path below ``root`` with what shows that it was touched: mode, inode, bytes or target."""
    found: dict[str, tuple[int, int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        data = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_ino, data)
    return found


@pytest.fixture
def untouched(tmp_path: Path, workspace: Path) -> Iterator[None]:
    """Whatever the test runs, nothing below its temporary directory is changed by it."""
    before = everything(tmp_path)
    yield
    assert everything(tmp_path) == before
