"""Transactions in a tree that somebody keeps pulling away: nothing is written outside, and nobody's content is lost."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from tests.crash.driver import FENCE, recover
from tests.hostile_tree.swapper import DIRECTORIES, FILES, SWAPPED, Ground, fingerprint
from tests.tally import tally

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import ConflictError, LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction


class Unsynced(FileSystem):
    """What is durable is another test's; here more transactions are worth more."""

    def fsync(self, fd: int) -> None:
        """Leave it."""

    def syncfs(self, fd: int) -> None:
        """Leave it."""


class Work:
    """Transactions one after the other, and what became of every content that they were to put in place."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground = ground
        self.rng = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.kept: set[bytes] = set()
        self.not_kept: set[bytes] = set()
        self.consumed: set[bytes] = set()
        self.number = 0

    def one(self) -> None:
        """Plan on what is really there, execute, and note the outcome."""
        self.number += 1
        changes, new, old = self._plan()
        if not changes:
            return
        outcome = self._execute(tuple(changes))
        self.outcomes[outcome] += 1
        if outcome == "completed":
            self.kept |= new
            self.consumed |= old
        else:
            self.not_kept |= new
        if outcome == "rollback_failed":
            recover(Unsynced(), self.ground.root)

    def _plan(self) -> tuple[list[FileChange], set[bytes], set[bytes]]:
        changes: list[FileChange] = []
        new: set[bytes] = set()
        old: set[bytes] = set()
        for directory in self.rng.sample(DIRECTORIES, self.rng.choice((1, 1, 2, 3))):
            there = self.ground.contents(directory)
            for number in self.rng.sample(range(FILES), 2):
                path, before = f"{directory}/{number}.txt", there.get(f"{number}.txt")
                token = b"lonelycat %d %d" % (self.number, len(changes))
                if before is None:
                    changes.append(FileChange.create(path, token))
                elif self.rng.random() < 0.2:
                    changes.append(FileChange.delete(path, before))
                    old.add(before)
                    continue
                else:
                    changes.append(FileChange.update(path, before, token))
                    old.add(before)
                new.add(token)
        return changes, new, old

    def _execute(self, changes: tuple[FileChange, ...]) -> str:
        name = f"exec_{self.number}"
        with Transaction(Unsynced(), self.ground.root, name, FENCE, lambda _: []) as transaction:
            try:
                transaction.stage(changes, {"execution_id": name})
            except ConflictError:
                transaction.abandon()
                return "conflict at staging"
            except LonelyCatError as error:
                transaction.abandon()
                return f"refused {error.code}"
            except FileNotFoundError:
                transaction.abandon()
                return "refused, not there"
            try:
                transaction.apply()
                if self.rng.random() < 0.3:
                    raise ConflictError("TEST", "a check failed", "")
            except (LonelyCatError, OSError):
                report = transaction.undo()
                if report.problems:
                    return "rollback_failed"
                transaction.clean_up()
                return "conflict" if report.conflicts else "rolled_back"
            transaction.commit({})
            transaction.clean_up()
        return "completed"


def _run(base: Path, seed: int, swaps: int, transactions: int, *, shuffle: bool) -> None:
    ground = Ground(base)
    outside = fingerprint(ground.outside)
    work = Work(ground, seed)
    ground.start_swapper(0, ("a",), burst=50)
    ground.start_swapper(1, SWAPPED, burst=3)
    ground.start_writer(2, DIRECTORIES, pause=0.0, shuffle=shuffle)
    ground.start_writer(3, ("b", "e"), pause=0.002, shuffle=shuffle)
    try:
        while ground.swapped() < swaps or work.number < transactions:
            work.one()
            if work.number % 500 == 0:
                assert fingerprint(ground.outside) == outside, "something was written outside"
    finally:
        ground.end()
    recover(Unsynced(), ground.root)
    _judge(ground, work, outside, shuffle=shuffle, again=f"--from {seed}")


def _judge(ground: Ground, work: Work, outside: object, *, shuffle: bool, again: str) -> None:
    wrote, displaced = ground.said()
    tree, state = ground.in_the_tree(), ground.in_the_state()
    accounted = tree | state | displaced | work.consumed
    lost, lost_of_ours = wrote - accounted, work.kept - accounted
    strays = set() if shuffle else work.not_kept & tree
    escapes = fingerprint(ground.outside) != outside
    tally(
        "swapper",
        swaps=ground.swapped(),
        transactions=work.number,
        completed=work.outcomes["completed"],
        outsider_writes=len(wrote),
        escapes=int(escapes),
        lost=len(lost) + len(lost_of_ours),
        left_behind=len(strays),
    )
    where = f"again with: python -m pytest tests/hostile_tree/test_swapper.py -k 'not long' {again}; {work.outcomes}"
    assert not escapes, f"something was written outside; {where}"
    assert not lost, f"{len(lost)} of {len(wrote)} outsiders' contents lost: {sorted(lost)[:5]}; {where}"
    assert not lost_of_ours, f"kept contents lost: {sorted(lost_of_ours)[:5]}; {where}"
    assert not strays, f"contents that were not kept are in the tree: {sorted(strays)[:5]}; {where}"
    assert work.outcomes["rollback_failed"] == 0, where
    assert work.outcomes["completed"] > 0, where
    assert work.outcomes["conflict"] > 0, where


@pytest.mark.parametrize("shuffle", [False, True], ids=["contents", "contents-and-files"])
def test_a_swapper_finds_no_way_out_and_nothing_is_lost(shuffle: bool, tmp_path: Path) -> None:
    _run(tmp_path, 0, 20_000, 400, shuffle=shuffle)
