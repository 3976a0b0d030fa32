"""How long recovery takes after a crash: it follows the interrupted transaction, not the history.

Run alone: ``python -m benchmarks.recovery``. An executor is killed once everything is applied and nothing committed;
what is timed is ``LonelyCat.recover`` in a workspace with few or with 100,000 earlier executions.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.apply_many import lonelycat, prepared
from benchmarks.history import multiply
from benchmarks.workspace import fill, govern, throwaway

from lonelycat import Executor
from lonelycat.executor.transaction import Transaction
from lonelycat.runtime.service import LonelyCat

FILES = (1, 10, 100, 1000)
ROWS = (0, 100_000)
ROUNDS = 3


@dataclass(frozen=True)
class Recovery:
    """Median seconds of recovering a transaction of ``files`` files with ``rows`` earlier executions."""

    files: int
    rows: int
    seconds: float


def measure(files: tuple[int, ...] = FILES, rows: tuple[int, ...] = ROWS) -> list[Recovery]:
    """Measure every pair."""
    return [each for earlier in rows for each in _measure(files, earlier)]


def _measure(sizes: tuple[int, ...], rows: int) -> list[Recovery]:
    found = []
    with throwaway() as root:
        paths = fill(root, max(sizes))
        subprocess.run(["git", "init", "--quiet", "."], cwd=root, check=True)
        govern(root)
        lonelycat(root, paths[:1], 0, 1)
        lonelycat(root, paths[:1], 1, 0)
        multiply(root / ".lonelycat/lonelycat.db", rows)
        for files in sizes:
            found.append(Recovery(files, rows, statistics.median(_once(root, paths[:files]) for _ in range(ROUNDS))))
    return found


def _once(root: Path, paths: list[str]) -> float:
    child = os.fork()
    if child == 0:
        _die_before_the_commit(root, paths)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), status
    begun = time.perf_counter()
    report = LonelyCat.open(root).recover()
    seconds = time.perf_counter() - begun
    assert [str(item.outcome) for item in report.recovered] == ["undone"], report
    return seconds


def _die_before_the_commit(root: Path, paths: list[str]) -> None:
    try:
        arguments = prepared(root, paths, 0, 1)
        Transaction.commit = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[method-assign,assignment]
        Executor(root).execute(*arguments)
    finally:
        os._exit(1)


if __name__ == "__main__":
    for row in measure():
        print(row)
