"""Transactions in a tree that somebody keeps pulling away: nothing is written outside, and nobody's content is lost."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from tests.crash.driver import FENCE, recover
from tests.hostile_tree.swapper import DIRECTORIES, FILES, SWAPPED, Ground, fingerprint
from tests.patience import PATIENCE_SECONDS
from tests.tally import tally
from tests.unsynced import Unsynced

import lonelycat.executor.transaction as transaction_module
from lonelycat.changes.changeset import FileChange
from lonelycat.errors import ConflictError, LonelyCatError
from lonelycat.executor import staging
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.operations import FileOperation
from lonelycat.executor.transaction import Transaction

HERE = "tests/hostile_tree/test_swapper.py"


class Work:
    """Transactions one after the other, and what became of every content that they were to put in place."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground = ground
        self.rng = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []
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
        staging.SYNC_WHOLE_FROM = self.rng.choice((1, 8))  # the old files are copied, or linked
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
            extra = sorted(name for name in there if name.startswith("extra"))
            if self.rng.random() < 0.3 and len(extra) < 4:
                token = b"lonelycat %d %d" % (self.number, len(changes))
                changes.append(FileChange.create(f"{directory}/extra{self.number}.txt", token))
                new.add(token)
                continue
            if extra:
                changes.append(FileChange.delete(f"{directory}/{extra[0]}", there[extra[0]]))
                old.add(there[extra[0]])
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
                    self.problems += report.problems
                    return "rollback_failed"
                transaction.clean_up()
                return "conflict" if report.conflicts else "rolled_back"
            transaction.commit({})
            transaction.clean_up()
        return "completed"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What :class:`Work` changes is put back."""
    monkeypatch.setattr(staging, "SYNC_WHOLE_FROM", staging.SYNC_WHOLE_FROM)


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
    _judge(ground, work, outside, shuffle=shuffle, again=f"--swapper-seed {seed}")


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
        violations=int(escapes) + len(lost) + len(lost_of_ours) + len(strays),
    )
    where = f"again with: python -m pytest {HERE} -k 'not long' {again}; {work.outcomes}"
    assert not escapes, f"something was written outside; {where}"
    assert not lost, f"{len(lost)} of {len(wrote)} outsiders' contents lost: {sorted(lost)[:5]}; {where}"
    assert not lost_of_ours, f"kept contents lost: {sorted(lost_of_ours)[:5]}; {where}"
    assert not strays, f"contents that were not kept are in the tree: {sorted(strays)[:5]}; {where}"
    assert work.outcomes["rollback_failed"] == 0, f"{work.problems}; {where}"
    assert work.outcomes["completed"] > 0, where
    assert work.outcomes["conflict"] > 0, where


@pytest.mark.parametrize("shuffle", [False, True], ids=["contents", "contents-and-files"])
def test_a_swapper_finds_no_way_out_and_nothing_is_lost(shuffle: bool, only: int | None, tmp_path: Path) -> None:
    _run(tmp_path, only or 0, 10_000, 150, shuffle=shuffle)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("shuffle", [False, True], ids=["contents", "contents-and-files"])
def test_long_a_swapper_finds_no_way_out_and_nothing_is_lost(shuffle: bool, tmp_path: Path) -> None:
    _run(tmp_path, 1, 1_000_000, 2_500, shuffle=shuffle)


def _in_swapped_roots(base: Path, seed: int, swaps: int, transactions: int) -> None:
    """Two workspaces take turns under one path; every transaction happens in one of them, whole, or in none."""
    grounds = [Ground(base / name) for name in ("one", "other")]
    for number, ground in enumerate(grounds):
        for directory in DIRECTORIES:
            for name in ground.contents(directory):
                (ground.root / directory / name).write_bytes(b"first in %d of %d" % (seed, number))
    models = [_contents(ground) for ground in grounds]
    rng, outcomes = random.Random(seed), Counter[str]()
    swapper = grounds[0]
    swapper.start(lambda: swapper.swap_two(grounds[1].root, burst=20))
    number = 0
    try:
        while swapper.swapped() < swaps or number < transactions:
            number += 1
            at = rng.randrange(2)
            paths = rng.sample(sorted(models[at]), 4)
            new = {path: b"lonelycat %d %s" % (number, path.encode()) for path in paths}
            changes = tuple(FileChange.update(path, models[at][path], new[path]) for path in paths)
            outcome = _execute_in(swapper.root, f"exec_{number}", changes, keep=rng.random() < 0.7)
            outcomes[outcome] += 1
            if outcome == "completed":
                models[at].update(new)
            found = [_contents(ground) for ground in grounds]
            again = f"again with: python -m pytest {HERE} -k 'roots and not long' --swapper-seed {seed}"
            assert found == models, f"transaction {number} ({outcome}) is half there; {again}"
    finally:
        swapper.end()
    tally("swapper", swaps=swapper.swapped(), transactions=number, completed=outcomes["completed"])
    assert outcomes["completed"] > 0, outcomes
    assert outcomes["conflict"] > 0, outcomes
    assert set(outcomes) <= {"completed", "conflict", "refused"}, outcomes


def _contents(ground: Ground) -> dict[str, bytes]:
    return {
        f"{directory}/{name}": content
        for directory in DIRECTORIES
        for name, content in ground.contents(directory).items()
        if name.endswith(".txt")
    }


def _execute_in(root: Path, name: str, changes: tuple[FileChange, ...], *, keep: bool) -> str:
    with Transaction(Unsynced(), root, name, FENCE, lambda _: []) as transaction:
        try:
            transaction.stage(changes, {})
        except (ConflictError, FileNotFoundError):
            transaction.abandon()
            return "refused"
        try:
            transaction.apply()
            if not keep:
                raise ConflictError("TEST", "a check failed", "")
            transaction.tree.check_pins()
        except ConflictError:
            assert transaction.undo().restored
            transaction.clean_up()
            return "conflict"
        transaction.commit({})
        transaction.clean_up()
    return "completed"


def test_swapped_roots_are_never_mixed(only: int | None, tmp_path: Path) -> None:
    _in_swapped_roots(tmp_path, only or 0, 4_000, 150)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_swapped_roots_are_never_mixed(tmp_path: Path) -> None:
    _in_swapped_roots(tmp_path, 1, 400_000, 1_500)


# -- it can fail -----------------------------------------------------------------------------------------------------


def _follow_links(self: FileSystem, root: int, path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)


def _believe(self: Transaction, operation: FileOperation) -> None:
    """Do not look at what was displaced."""


def _overwrite(self: FileSystem, directory: int, name: str, to_directory: int, to_name: str) -> None:
    os.rename(name, to_name, src_dir_fd=directory, dst_dir_fd=to_directory)
    with suppress(FileExistsError):
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=directory))


CARELESS: dict[str, tuple[list[tuple[object, str, object]], str]] = {
    "links are followed": ([(FileSystem, "open_beneath", _follow_links)], "written outside"),
    "what was displaced is looked at neither at once nor in the end": (
        [(Transaction, "_check_displaced", _believe), (transaction_module, "sweep", lambda *_: [])],
        "lost",
    ),
    "files are overwritten": (
        [(FileSystem, "exchange", _overwrite), (Transaction, "_check_displaced", _believe)],
        "lost",
    ),
}


@pytest.mark.parametrize("name", CARELESS)
def test_a_careless_executor_is_seen(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, said = CARELESS[name]
    for place, method, careless in parts:
        monkeypatch.setattr(place, method, careless)
    end = time.monotonic() + PATIENCE_SECONDS  # on one processor only one round in ten shows a link that is followed
    for number in itertools.count():
        try:
            _run(tmp_path / str(number), number, 5_000, 100, shuffle=False)
        except AssertionError as error:
            if said in str(error):
                return
        assert time.monotonic() < end, "it got away with it"
