"""1000 small updates in one change set: LonelyCat against loops over the files and against ``git apply``.

Of the loops one is as careful as most programs are, and loses names in a power cut; the other is durable, as
LonelyCat is, file by file. Run alone: ``python -m benchmarks.apply_many [FILES]``. All of them, and the protocol's
system calls alone, take turns in one run, so that a machine that speeds up or slows down does it to all of them, and
each round in another order: who comes after a loop that waited for the disk a thousand times finds a processor that
has slept, and is a tenth slower. What is quoted is the median of the ratios, round by round.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.bare_calls import bare_calls
from benchmarks.workspace import BASE, fill, govern, text, throwaway

from lonelycat import ChangePlan, ChangeSet, Executor, FileChange, WriteGate
from lonelycat.executor.filesystem import FileSystem
from lonelycat.governance.decision import GovernanceDecision

ROUNDS = 15


@dataclass(frozen=True)
class Ratios:
    """Medians: seconds of each, and LonelyCat's time in units of the three others.

    Attributes:
        durable: of the loop that makes every name durable too.
        bare: of the protocol's system calls alone.
    """

    files: int
    lonelycat: float
    naive: float
    durable: float
    git: float
    bare: float
    to_naive: float
    to_durable: float
    to_git: float


def naive_loop(root: Path, paths: list[str], revision: int, *, durable: bool = False) -> float:
    """Write, fsync and rename each file, as careful programs do; return seconds.

    Args:
        durable: fsync its directory too, without which a power cut may take the new name back.
    """
    contents = [text(number, revision) for number in range(len(paths))]
    begun = time.perf_counter()
    for path, data in zip(paths, contents, strict=True):
        draft = root / (path + ".tmp")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(root / path)
        if durable:
            directory = os.open(draft.parent, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(directory)
            os.close(directory)
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


@dataclass(frozen=True)
class Turns:
    """Seconds of each, round by round."""

    lonelycat: list[float] = field(default_factory=list)
    naive: list[float] = field(default_factory=list)
    durable: list[float] = field(default_factory=list)
    git: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


def take_turns(files: int, rounds: int, below: Path = BASE, *, all_of_them: bool = True) -> Turns:
    """Return the seconds that each took in ``rounds`` rounds, after one that does not count.

    Args:
        all_of_them: with the durable loop, which takes long, and the protocol's system calls alone, which keep every
            directory open.
    """
    turns, order = Turns(), random.Random(rounds)
    with throwaway(below) as root:
        paths = fill(root, files)
        subprocess.run(["git", "init", "--quiet", "."], cwd=root, check=True)
        govern(root)
        every: dict[str, Callable[[int, int], float]] = {
            "naive": lambda _, after: naive_loop(root, paths, after),
            "lonelycat": partial(lonelycat, root, paths),
            "git": partial(git_apply, root, paths),
        }
        if all_of_them:
            every["bare"] = partial(bare_calls, root, paths)
            every["durable"] = lambda _, after: naive_loop(root, paths, after, durable=True)
        revision = 0
        for number in range(rounds + 1):
            if number == 1:
                turns = Turns()
            for name in order.sample(list(every), len(every)):
                _let_the_disk_rest(root)
                getattr(turns, name).append(every[name](revision, revision + 1))
                revision += 1
    return turns


def _let_the_disk_rest(root: Path) -> None:
    """Have written what the one before left unwritten, as ``git apply`` leaves all: it is not the next one's work."""
    filesystem = FileSystem()
    with filesystem.closing(filesystem.open_root(root)) as directory:
        filesystem.syncfs(directory)


def measure(files: int = 1000, rounds: int = ROUNDS) -> Ratios:
    """Take turns ``rounds`` times on the disk at hand."""
    return measure_in(BASE, files, rounds)


def measure_in(below: Path, files: int, rounds: int) -> Ratios:
    """Take turns ``rounds`` times in a throwaway directory below ``below``."""
    turns = take_turns(files, rounds, below)
    return Ratios(
        files,
        statistics.median(turns.lonelycat),
        *map(statistics.median, (turns.naive, turns.durable, turns.git, turns.bare)),
        *(
            statistics.median(mine / its for mine, its in zip(turns.lonelycat, other, strict=True))
            for other in (turns.naive, turns.durable, turns.git)
        ),
    )


if __name__ == "__main__":
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print(found)
