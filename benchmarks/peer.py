"""The same hundred small updates by a configuration-management tool: pyinfra on the local machine.

Run alone: ``python -m benchmarks.peer``. pyinfra compares and copies file by file; it neither makes the files durable
nor takes them back when one fails. LonelyCat is timed as a whole process too, command line and all.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workspace import fill, govern, text, throwaway

FILES = 100
ROUNDS = 3
_DEPLOY = """\
from pathlib import Path
from pyinfra.operations import files

for source in sorted(Path({source!r}).rglob("*.py")):
    files.put(src=str(source), dest=str(Path({target!r}) / source.relative_to({source!r})))
"""


@dataclass(frozen=True)
class Peer:
    """Median seconds of both whole processes for ``files`` updates, and the median of the ratios round by round."""

    files: int
    lonelycat: float
    pyinfra: float
    ratio: float


def measure(files: int = FILES, rounds: int = ROUNDS) -> Peer:
    """Take turns ``rounds`` times."""
    with throwaway() as base:
        root, source = base / "workspace", base / "source"
        root.mkdir()
        paths = fill(root, files)
        subprocess.run(["git", "init", "--quiet", "."], cwd=root, check=True)
        govern(root)
        deploy = base / "deploy.py"
        deploy.write_text(_DEPLOY.format(source=str(source), target=str(root)), encoding="utf-8")
        pairs = []
        for number in range(rounds):
            theirs = _pyinfra(deploy, source, paths, 2 * number + 1)
            _check(root, paths, 2 * number + 1)
            ours = _lonelycat(root, paths, 2 * number + 1, base / "change.patch")
            _check(root, paths, 2 * number + 2)
            pairs.append((ours, theirs))
    return Peer(
        files,
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[1] / pair[0] for pair in pairs),
    )


def _check(root: Path, paths: list[str], revision: int) -> None:
    assert all((root / path).read_bytes() == text(number, revision) for number, path in enumerate(paths))


def _pyinfra(deploy: Path, source: Path, paths: list[str], revision: int) -> float:
    for number, path in enumerate(paths):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(text(number, revision))
    return _timed(["pyinfra", "@local", str(deploy), "-y"], deploy.parent)


def _lonelycat(root: Path, paths: list[str], revision: int, patch: Path) -> float:
    patch.write_text(
        "".join(
            f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
            f"@@ -31 +31 @@\n-revision = {revision}\n+revision = {revision + 1}\n"
            for path in paths
        ),
        encoding="utf-8",
    )
    return _timed(["lonelycat", "run", "--patch", str(patch), "--intent", "benchmark", "--by", "agent:b"], root)


def _timed(command: list[str], cwd: Path) -> float:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    program = str(Path(sys.executable).with_name(command[0]))
    begun = time.perf_counter()
    done = subprocess.run([program, *command[1:]], cwd=cwd, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(measure())
