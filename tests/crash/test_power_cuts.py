"""(f) The power is cut under real file systems, at random points of transactions and of their recovery.

One file system lives through many cuts: each transaction begins where the recovery from the last cut ended, so that
what recovery and clean-up did without making it durable is lost as well. After each cut and recovery the tree is the
old or the new one, and the new one if the commit had returned; an executor that lived on told nothing else.

A real file system hardly ever reorders what it was given: what it *may* lose is for the enumerated crash states.
"""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.crash.driver import Dropped, execute, leftovers, quarantined, recover
from tests.crash.layers import Hooked
from tests.crash.real_disks import KINDS, CutKind, Disk, in_own_mounts
from tests.crash.trees import (
    Tree,
    applied,
    difference,
    materialise,
    random_changes,
    random_tree,
    snapshot,
    with_parents,
)
from tests.tally import counting

from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem

LONG_CUTS = 60
CUTS = 8


class PowerCut(Hooked):
    """The power is cut before call ``at``; the process ends with it, or lives on and meets a dead disk."""

    def __init__(self, disk: Disk, at: int, how: CutKind, *, lives_on: bool) -> None:
        super().__init__()
        self._disk = disk
        self._at = at
        self._how = how
        self._lives_on = lives_on
        self.is_cut = False
        self.said = f"{how} at call {at}, {'lived on' if lives_on else 'died'}"

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == self._at:
            self.cut()
            if not self._lives_on:
                raise Dropped

    def __enter__(self) -> PowerCut:
        return self

    def __exit__(self, *exc: object) -> None:
        """Wait for a cut that is still to come."""

    @property
    def is_heard(self) -> bool:
        """Whether what the process says now was said before the power went, or after it had surely gone."""
        return True

    def cut(self) -> None:
        """Cut the power now, unless it is off already."""
        if not self.is_cut:
            self.is_cut = True
            self._disk.cut(self._how)


class SuddenCut(PowerCut):
    """The power is cut after some microseconds, in the middle of whatever goes on; the process lives on.

    A call that races with the shutdown may end as if nothing were wrong: an fsync on XFS then returns without error and
    without the log on the disk. No process tells of that after a real power cut, so nothing that it says then counts.
    """

    def __init__(self, disk: Disk, microseconds: int, how: CutKind) -> None:
        super().__init__(disk, -1, how, lives_on=True)
        self._seconds = microseconds / 1_000_000
        self._thread = threading.Thread(target=self._wait)
        self.said = f"{how} after {microseconds} µs"

    @property
    def is_heard(self) -> bool:
        """Whether it was said before the power went."""
        return not self.is_cut

    def _wait(self) -> None:
        time.sleep(self._seconds)
        self.cut()

    def __enter__(self) -> PowerCut:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.join()


@dataclass
class Life:
    """One file system, and the tree that must be on it."""

    disk: Disk
    rng: random.Random
    model: Tree
    cuts: int = 0
    history: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.disk.place / "workspace"

    def begin(self) -> None:
        """Put the tree on the disk, durably."""
        materialise(self.root, self.model)
        os.sync()

    def one_transaction(self) -> None:
        """Run a random transaction into a power cut, recover, compare."""
        changes = random_changes(self.rng, self.model, self.rng.choice((1, 3, 6, 12)))
        new, keep = applied(self.model, changes), self.rng.random() < 0.7
        layer, told = self._layer(20 + 10 * len(changes)), ["nothing"]

        def tell(what: str) -> None:
            if layer.is_heard:
                told.append(what)

        with layer, suppress(Dropped):
            tell(execute(layer, self.root, changes, keep=keep, committed=lambda: tell("committed")))
        self._power_fails(layer)
        self.history.append(f"{len(changes)} changes, keep={keep}, {layer.said}, told {told[-1]}")
        self._recover()
        found = snapshot(self.root)
        if told[-1] in ("committed", "completed"):
            assert found == new, difference(found, new)
        elif told[-1] in ("refused", "rolled_back"):
            assert found == self.model, difference(found, self.model)
        else:
            assert told[-1] in ("nothing", "indeterminate", "rollback_failed")
            assert found in (self.model, new), difference(found, new)
        assert leftovers(self.root) == [] and quarantined(self.root) == []
        self.model = found

    def _layer(self, calls: int) -> PowerCut:
        rng, how = self.rng, self.rng.choice(self.disk.kind.cuts)
        if how == "image":  # the disk that was copied stays on: what a process that lived on got done would mislead
            return PowerCut(self.disk, rng.randrange(calls), how, lives_on=False)
        if rng.random() < 0.3:
            return SuddenCut(self.disk, rng.randrange(calls * 60), how)
        return PowerCut(self.disk, rng.randrange(calls), how, lives_on=rng.random() < 0.4)

    def _power_fails(self, layer: PowerCut) -> None:
        layer.cut()
        self.disk.power_on()
        self.cuts += 1

    def _recover(self) -> None:
        while self.rng.random() < 0.3:
            layer = self._layer(25)
            with layer, suppress(Dropped, LonelyCatError, OSError):
                recover(layer, self.root)
            self.history.append(f"recovery: {layer.said}")
            self._power_fails(layer)
        recover(FileSystem(), self.root)


def _live(kind: str, seed: int, base: Path, cuts: int) -> int:
    """Let one file system live through ``cuts`` power cuts; return how many there were, those of recovery included."""
    rng = random.Random(f"{kind} {seed}")
    disk = Disk(KINDS[kind], base)
    life = Life(disk, rng, with_parents(random_tree(rng, 10)))
    try:
        with counting("power-cuts") as counts:
            life.begin()
            while life.cuts < cuts:
                life.one_transaction()
                counts[kind] = life.cuts
    except Exception as error:
        again = f"python -m pytest tests/crash/test_power_cuts.py -k {kind} --seeds {seed}:{seed + 1}"
        told = "\n  ".join(life.history)
        raise AssertionError(f"{error}\nafter {life.cuts} cuts:\n  {told}\nagain with: {again}") from error
    finally:
        disk.close()
    return life.cuts


@pytest.mark.parametrize("kind", KINDS)
def test_power_cuts(kind: str, tmp_path: Path) -> None:
    assert in_own_mounts(lambda: _live(kind, 0, tmp_path, CUTS)) >= CUTS


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_long_power_cuts(kind: str, power_seed: int, tmp_path: Path) -> None:
    assert in_own_mounts(lambda: _live(kind, power_seed, tmp_path, LONG_CUTS)) >= LONG_CUTS
