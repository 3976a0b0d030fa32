"""Runs the real command line as a process of its own, and plain data to render."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Done:
    """What one call of the command line came to."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode("utf-8", "surrogateescape")

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; fails if there is anything else."""
        lines = self.out.decode("ascii").splitlines()
        assert len(lines) == 1, self.out + self.err.encode()
        value = json.loads(lines[0])
        assert isinstance(value, dict)
        assert set(value) >= {"ok", "code", "message", "hint"}, value
        assert value["ok"] is (self.code == 0)
        assert (value["code"] is None) is (self.code == 0), value
        assert value["exit_code"] == self.code
        return value


def quiet_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nothing of the user's configuration counts."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    git = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**kept, **git, **coverage, "HOME": str(home), "TERM": "xterm-256color", **(extra or {})}


Cli = Callable[..., Done]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Return a function that runs ``lonelycat`` with arguments, in a session without a terminal."""

    def run(
        *arguments: str | Path,
        cwd: Path | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "lonelycat", *map(str, arguments)],
            cwd=cwd or tmp_path,
            input=stdin,
            env=quiet_environment(tmp_path, env),
            capture_output=True,
            timeout=100,
            start_new_session=True,
        )
        err = done.stderr.decode("utf-8", "backslashreplace")
        assert "Traceback" not in err and b"Traceback" not in done.stdout, err
        return Done(done.returncode, done.stdout, err)

    return run
