"""(a) The process is killed before any mutating call, or within a write: recovery leaves the old tree or the new one.

The state of the file system before call n+1 is the state after call n, so that dying before every call (and once the
last was made) is dying before *and* after every call. Recovery is killed in the same way at each of its calls, and so
is the recovery from that: three deep. Each death is a SIGKILL of a forked process.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.crash.driver import clone, execute, in_dying_process, leftovers, recover, writers
from tests.crash.layers import Hooked, Killed
from tests.crash.real_disks import in_memory
from tests.crash.small_process import in_small_process
from tests.crash.trees import Tree, case, difference, materialise, snapshot
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

    def check(self, root: Path, wanted: Tree, where: str) -> None:
        found = snapshot(root)
        assert found == wanted, f"{where}: {difference(found, wanted)}; {self.say}"
        assert leftovers(root) == [], f"{where}; {self.say}"
        assert not (root / ".lonelycat" / "quarantine").exists(), f"{where}: quarantine; {self.say}"


@dataclass(frozen=True)
class _Reach:
    """How far a harness goes into the recoveries.

    Attributes:
        deaths: of how many deaths of the transaction the recovery is killed at every one of its calls; None for all.
        deeper: of how many of those, in 16, the recovery from *that* is killed at every call as well.
    """

    deaths: int | None
    deeper: int


_DEPTHS = ("kills_of_the_transaction", "kills_of_its_recovery", "kills_of_the_recovery_from_that")


class _Killer:
    """Kills one case's transaction, its recoveries, and theirs; counts the kills by depth."""

    def __init__(self, bench: _Bench, reach: _Reach, seed: int) -> None:
        self._bench = bench
        self._reach = reach
        self._rng = random.Random(seed)
        self.kills = [0, 0, 0]

    def run(self) -> None:
        trace = self._bench.calls()
        points = range(len(trace))
        deep = points if self._reach.deaths is None else self._rng.sample(points, min(self._reach.deaths, len(points)))
        for at in points:
            for torn in (False, True) if trace[at] == "write" else (False,):
                root, wanted = self._bench.die(at, torn=torn)
                self.kills[0] += 1
                where = f"died before call {at} ({trace[at]}), torn={torn}"
                if at in deep:
                    self._recover_dying(root, wanted, 1, where)
                recover(FileSystem(), root)
                self._bench.check(root, wanted, where)

    def _recover_dying(self, root: Path, wanted: Tree, depth: int, where: str) -> None:
        """Recover copies of ``root``, each killed before another call of the recovery; recover from that in turn."""
        copy = self._bench.base / f"copy-{depth}"
        for at in itertools.count():
            shutil.rmtree(copy, ignore_errors=True)
            clone(root, copy)
            layer = Killed(at, torn=self._rng.random() < 0.5)
            killed = in_dying_process(lambda layer=layer: recover(layer, copy))  # type: ignore[misc]
            here = f"{where}, then before call {at} of the recovery"
            if killed:
                self.kills[depth] += 1
                if depth == 1 and self._rng.randrange(16) < self._reach.deeper:
                    self._recover_dying(copy, wanted, 2, here)
                recover(FileSystem(), copy)
            self._bench.check(copy, wanted, here)
            if not killed:
                return


def _kill(seed: int, base: Path, reach: _Reach, *, keep: bool, test: str) -> list[int]:
    """Kill one case; return the kills by depth."""
    killer = _Killer(_Bench(seed, base, keep=keep, test=test), reach, seed)
    with counting("kills") as counts:
        try:
            killer.run()
        finally:
            counts.update(dict(zip(_DEPTHS, killer.kills, strict=True)))
    return killer.kills


def _kill_in_memory(seed: int, base: Path, reach: _Reach, keep: bool, test: str) -> list[int]:
    with writers(seed):
        return in_memory(base, lambda: _kill(seed, base, reach, keep=keep, test=test))


@pytest.mark.parametrize("keep", [True, False])
def test_dying_at_every_call(seed: int, keep: bool, tmp_path: Path, platform: str) -> None:
    asked = (seed, tmp_path, _Reach(deaths=1, deeper=1), keep, "test_dying_at_every_call")
    assert in_small_process(_kill_in_memory, *asked, platform=platform)[0] > 30


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("keep", [True, False])
def test_long_dying_three_deep(kill_seed: int, keep: bool, tmp_path: Path, platform: str) -> None:
    asked = (kill_seed, tmp_path, _Reach(deaths=6, deeper=2), keep, "test_long_dying_three_deep")
    assert all(in_small_process(_kill_in_memory, *asked, platform=platform))


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
