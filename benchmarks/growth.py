"""How time and memory grow with the number of files in one change set: LonelyCat, ``git apply``, the naive loop.

Run alone: ``python -m benchmarks.growth``. The three take turns; memory is that of a process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.apply_many import naive_loop, take_turns
from benchmarks.large_file import PEAK, peak
from benchmarks.workspace import BASE, fill, govern, throwaway

SIZES = (1, 10, 100, 1000, 10_000)

_EXECUTE = (
    """
import sys
from lonelycat.runtime.requests import ChangeRequest
from lonelycat.runtime.service import LonelyCat

service = LonelyCat.open(sys.argv[1])
judged = service.propose(ChangeRequest(git_range=sys.argv[2], intent="benchmark", by="agent:benchmark"))
result = service.execute(judged.plan.id)
assert result.success, result
"""
    + PEAK
)


@dataclass(frozen=True)
class Growth:
    """Medians for one size: seconds of each, and LonelyCat's peak memory above the interpreter's in MiB."""

    files: int
    lonelycat: float
    naive: float
    git: float
    memory_mib: float


def measure(below: Path = BASE, sizes: tuple[int, ...] = SIZES) -> list[Growth]:
    """Measure every size below ``below``; the largest once, the others three times."""
    return [_measure(below, files, rounds=1 if files >= 10_000 else 3) for files in sizes]


def _measure(below: Path, files: int, rounds: int) -> Growth:
    turns = take_turns(files, rounds, below, all_of_them=False)
    return Growth(
        files,
        statistics.median(turns.lonelycat),
        statistics.median(turns.naive),
        statistics.median(turns.git),
        memory(files, below),
    )


def memory(files: int, below: Path = BASE) -> float:
    """Return the peak memory in MiB, above the interpreter's, of proposing and executing a git range of ``files``."""
    with throwaway(below) as root:
        paths = fill(root, files)
        govern(root)
        _git(root, "init", "--quiet", "--initial-branch=main", ".")
        _commit(root, "old")
        naive_loop(root, paths, 1)
        _commit(root, "new")
        _git(root, "checkout", "--quiet", "--detach", "main~1")
        return peak(_EXECUTE, str(root), "main~1..main") - peak(PEAK)


def _commit(root: Path, message: str) -> None:
    _git(root, "add", ".")
    _git(root, "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "--quiet", "-m", message)


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True)


if __name__ == "__main__":
    for row in measure(sizes=tuple(map(int, sys.argv[1:])) or SIZES):
        print(row)
