"""(a) The process dies before any mutating call, or in the middle of a write: recovery leaves the old or the new tree.

The state of the file system before call n+1 is the state after call n, so that dying before every call (and once the
last was made) is dying before *and* after every call.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.crash.driver import clone, execute, in_dying_process, leftovers, recover
from tests.crash.layers import Hooked, Killed
from tests.crash.trees import Tree, case, materialise, snapshot
from tests.tally import counting

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import RecordType, read_journal


def _again(test: str, seed: int) -> str:
    return f"again with: python -m pytest tests/crash/test_kill.py -k {test} --seeds {seed}:{seed + 1}"


def _committed(root: Path) -> bool | None:
    """Whether the one transaction that is left has COMMITTED; None when none is left."""
    if not leftovers(root):
        return None
    fd = os.open(root / ".lonelycat" / "tx" / "exec_test", os.O_RDONLY)
    try:
        contents = read_journal(FileSystem(), fd)
    finally:
        os.close(fd)
    return contents is not None and contents.last(RecordType.COMMITTED) is not None


class _Bench:
    """One case, set up anew for each death."""

    def __init__(self, seed: int, base: Path, *, keep: bool, test: str) -> None:
        self.old, self.changes, self.new = case(seed)
        self.base = base
        self.keep = keep
        self.say = f"seed {seed}, keep={keep}; {_again(test, seed)}"
        self.root = base / "root"
        self.counts: Counter[str] = Counter()

    def fresh(self) -> Path:
        shutil.rmtree(self.root, ignore_errors=True)
        materialise(self.root, self.old)
        return self.root

    def calls(self) -> list[str]:
        layer = Hooked()
        told = execute(layer, self.fresh(), self.changes, keep=self.keep)
        assert told == ("completed" if self.keep else "rolled_back"), self.say
        assert snapshot(self.root) == (self.new if self.keep else self.old), self.say
        assert leftovers(self.root) == []
        return layer.trace

    def die(self, at: int, *, torn: bool = False) -> tuple[Path, Tree]:
        """Die before call ``at``; return the workspace and the one tree that recovery must come to."""
        root = self.fresh()
        layer = Killed(at, torn=torn)
        killed = in_dying_process(lambda: execute(layer, root, self.changes, keep=self.keep))
        assert killed, self.say
        self.counts["deaths"] += 1
        committed = _committed(root)
        if committed is None:  # nothing is left to recover: the tree is what it is to be
            # (an INTENT that is not there yet, or a transaction that was cleaned up already)
            now = snapshot(root)
            assert now in (self.old, self.new), self.say
            return root, now
        # A journal that is gone already, in the middle of cleaning up, tells nothing; the tree does.
        cleaning = not (root / ".lonelycat/tx/exec_test/journal").exists()
        if cleaning:
            now = snapshot(root)
            assert now in (self.old, self.new), self.say
            return root, now
        return root, self.new if committed else self.old

    def recover(self, root: Path) -> None:
        recover(FileSystem(), root)
        self.counts["recoveries"] += 1

    def check(self, root: Path, wanted: Tree, where: str) -> None:
        found = snapshot(root)
        assert found == wanted, f"{where}: {_difference(found, wanted)}; {self.say}"
        assert leftovers(root) == [], f"{where}; {self.say}"
        assert not (root / ".lonelycat" / "quarantine").exists(), f"{where}: quarantine; {self.say}"


def _difference(found: Tree, wanted: Tree) -> str:
    return "; ".join(
        f"{path!r}: {found.get(path)} instead of {wanted.get(path)}"
        for path in sorted({*found, *wanted})
        if found.get(path) != wanted.get(path)
    )


def _every_death(seed: int, tmp_path: Path, *, keep: bool, test: str) -> None:
    bench = _Bench(seed, tmp_path, keep=keep, test=test)
    trace = bench.calls()
    with counting("kills") as bench.counts:
        for at, name in enumerate(trace):
            for torn in (False, True) if name == "write" else (False,):
                root, wanted = bench.die(at, torn=torn)
                bench.recover(root)
                bench.check(root, wanted, f"died before call {at} ({name}), torn={torn}")


def _two_deep(seed: int, tmp_path: Path, *, keep: bool, test: str, deaths: int | None) -> None:
    bench = _Bench(seed, tmp_path, keep=keep, test=test)
    points = list(range(len(bench.calls())))
    rng = random.Random(seed)
    with counting("kills") as bench.counts:
        for at in points if deaths is None else sorted(rng.sample(points, min(deaths, len(points)))):
            root, wanted = bench.die(at)
            _die_recovering(bench, root, wanted, rng, f"died before call {at}")


def _die_recovering(bench: _Bench, root: Path, wanted: Tree, rng: random.Random, where: str) -> None:
    """Recover from ``root``, dying before each call of the recovery, and in one of each deaths again, deeper."""
    copy = bench.base / "copy"
    at = 0
    while True:
        shutil.rmtree(copy, ignore_errors=True)
        clone(root, copy)
        layer = Killed(at, torn=rng.random() < 0.5)
        if not in_dying_process(lambda layer=layer: recover(layer, copy)):  # type: ignore[misc]
            return
        bench.counts["deaths"] += 1
        for depth in range(rng.choice((0, 0, 1, 8))):
            bench.counts["deaths"] += in_dying_process(lambda: recover(Killed(rng.randrange(12)), copy))
            where += f", again ({depth})"
        bench.recover(copy)
        bench.check(copy, wanted, f"{where}, then before call {at} of the recovery")
        at += 1


@pytest.mark.parametrize("keep", [True, False])
def test_dying_at_every_call(seed: int, keep: bool, tmp_path: Path) -> None:
    _every_death(seed, tmp_path, keep=keep, test="test_dying_at_every_call")


@pytest.mark.parametrize("keep", [True, False])
def test_dying_again_in_the_recovery(seed: int, keep: bool, tmp_path: Path) -> None:
    _two_deep(seed, tmp_path, keep=keep, test="test_dying_again_in_the_recovery", deaths=2)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("keep", [True, False])
def test_long_dying_at_every_call_and_in_the_recovery(long_seed: int, keep: bool, tmp_path: Path) -> None:
    name = "test_long_dying_at_every_call_and_in_the_recovery"
    _every_death(long_seed, tmp_path, keep=keep, test=name)
    _two_deep(long_seed, tmp_path, keep=keep, test=name, deaths=12)


def test_a_committed_frame_that_rotted_is_still_kept_when_history_has_it(tmp_path: Path) -> None:
    materialise(tmp_path, {})
    changes = (FileChange.create("a", b"new"),)
    layer = Hooked()
    execute(layer, tmp_path, changes, keep=True)
    last_write = max(n for n, name in enumerate(layer.trace) if name == "write")
    for recorded, kept in ((set[str](), False), ({"exec_test"}, True)):
        root = tmp_path / str(kept)
        materialise(root, {})
        in_dying_process(lambda root=root: execute(Killed(last_write + 2), root, changes, keep=True))
        journal = root / ".lonelycat/tx/exec_test/journal"
        data = bytearray(journal.read_bytes())
        data[-40] ^= 1
        journal.write_bytes(data)
        recover(FileSystem(), root, recorded)
        assert ("a" in snapshot(root)) is kept
