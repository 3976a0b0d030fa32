"""1000 small updates in one change set: LonelyCat against the naive durable loop and against ``git apply``.

Run alone: ``python -m benchmarks.apply_many [FILES]``. The three take turns in one run, so that a machine that speeds
up or slows down does it to all of them; what is quoted is the median of the ratios, round by round.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workspace import BASE, fill, govern, text, throwaway

from lonelycat import ChangePlan, ChangeSet, Executor, FileChange, WriteGate
from lonelycat.governance.decision import GovernanceDecision

ROUNDS = 7


@dataclass(frozen=True)
class Ratios:
    """Medians: seconds of each, and LonelyCat's time in units of the two others."""

    files: int
    lonelycat: float
    naive: float
    git: float
    to_naive: float
    to_git: float


def naive_loop(root: Path, paths: list[str], revision: int) -> float:
    """Write, fsync and rename each file, as careful programs do; return seconds."""
    contents = [text(number, revision) for number in range(len(paths))]
    begun = time.perf_counter()
    for path, data in zip(paths, contents, strict=True):
        draft = root / (path + ".tmp")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(root / path)
    return time.perf_counter() - begun


def git_apply(root: Path, paths: list[str], before: int, after: int) -> float:
    """Apply the same edits with git, which is neither durable nor atomic; return seconds."""
    patch = "".join(
        f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
        f"@@ -31 +31 @@\n-revision = {before}\n+revision = {after}\n"
        for path in paths
    )
    begun = time.perf_counter()
    subprocess.run(["git", "apply", "--unidiff-zero", "-"], cwd=root, input=patch.encode(), check=True)
    return time.perf_counter() - begun


def prepared(root: Path, paths: list[str], before: int, after: int) -> tuple[ChangePlan, ChangeSet, GovernanceDecision]:
    """Return the same edits as plan, change set and decision."""
    changes = [FileChange.update(path, text(number, before), text(number, after)) for number, path in enumerate(paths)]
    plan = ChangePlan.new(intent="benchmark", created_by="agent:benchmark", affected_paths=paths)
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    return plan, changeset, WriteGate.from_workspace(root).evaluate(plan, changeset)


def lonelycat(root: Path, paths: list[str], before: int, after: int) -> float:
    """Execute the same edits through the library, without checks; return the seconds of ``execute``."""
    plan, changeset, decision = prepared(root, paths, before, after)
    executor = Executor(root)
    begun = time.perf_counter()
    result = executor.execute(plan, changeset, decision)
    seconds = time.perf_counter() - begun
    assert result.success, (decision.verdict, decision.reasons, result)
    return seconds


def take_turns(files: int, rounds: int, below: Path = BASE) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of LonelyCat, the naive loop and git in ``rounds`` rounds, after one that does not count."""
    ours, loops, gits = [], [], []
    with throwaway(below) as root:
        paths = fill(root, files)
        subprocess.run(["git", "init", "--quiet", "."], cwd=root, check=True)
        govern(root)
        for number in range(rounds + 1):
            first, second, third = 3 * number + 1, 3 * number + 2, 3 * number + 3
            loops.append(naive_loop(root, paths, first))
            ours.append(lonelycat(root, paths, first, second))
            gits.append(git_apply(root, paths, second, third))
    return ours[1:], loops[1:], gits[1:]


def measure(files: int = 1000, rounds: int = ROUNDS) -> Ratios:
    """Take turns ``rounds`` times on the disk at hand."""
    return measure_in(BASE, files, rounds)


def measure_in(below: Path, files: int, rounds: int) -> Ratios:
    """Take turns ``rounds`` times in a throwaway directory below ``below``."""
    ours, loops, gits = take_turns(files, rounds, below)
    return Ratios(
        files,
        statistics.median(ours),
        statistics.median(loops),
        statistics.median(gits),
        statistics.median(mine / other for mine, other in zip(ours, loops, strict=True)),
        statistics.median(mine / other for mine, other in zip(ours, gits, strict=True)),
    )


if __name__ == "__main__":
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print(found)
