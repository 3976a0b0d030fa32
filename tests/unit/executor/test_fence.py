"""Who was overtaken finds out before it writes, wherever the newer fence is noted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import StateError
from lonelycat.executor.execution_lock import LockManager
from lonelycat.executor.fence import FenceCheck, refuse_overtaken
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import RecordType
from lonelycat.executor.recovery import Recovered, Recovery
from lonelycat.executor.transaction import Transaction


@pytest.fixture
def check(root: Path) -> Iterator[FenceCheck]:
    """The check of a holder that let go of the lock without knowing."""
    fs = FileSystem()
    with fs.closing(fs.open_root(root)) as fd:
        made = FenceCheck(fs, fd, _next(root))
        made()
        yield made
        made.close()


def _next(root: Path) -> int:
    with LockManager(root, 5).lock_execution("exec_n", "plan_n") as held:
        return held.fence


def test_the_newest_passes_and_an_older_one_does_not(root: Path, check: FenceCheck) -> None:
    check()
    _next(root)
    with pytest.raises(StateError, match="FENCE_STALE"):
        check()


@pytest.mark.parametrize("what", ["locks/fence", "locks"])
def test_a_counter_that_was_taken_away_is_looked_for_again(what: str, root: Path, check: FenceCheck) -> None:
    place = root / ".lonelycat" / what
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    check()  # nobody has come since
    _next(root)
    with pytest.raises(StateError, match="FENCE_STALE"):
        check()


def test_a_check_leaves_nothing_open(root: Path) -> None:
    fence = _next(root)
    before = os.listdir("/proc/self/fd")
    refuse_overtaken(FileSystem(), root, fence)
    _next(root)
    with pytest.raises(StateError, match="FENCE_STALE"):
        refuse_overtaken(FileSystem(), root, fence)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def _transaction(root: Path, fence: int) -> Transaction:
    return Transaction(FileSystem(), root, f"exec_{fence}", fence, lambda _: [])


def test_every_step_of_a_transaction_is_refused_once_it_is_overtaken(root: Path) -> None:
    changes = (FileChange.create("made/a.txt", b"a"), FileChange.create("b.txt", b"b"))
    fence = _next(root)
    with _transaction(root, fence) as staged, _transaction(root, fence - 1) as early:
        staged.stage(changes, {})
        _next(root)
        for step in (
            staged.apply,
            lambda: staged.note(RecordType.RESTARTS, {}),
            lambda: staged.commit({}),
            staged.undo,
            staged.clean_up,
            lambda: early.stage(changes, {}),
        ):
            with pytest.raises(StateError, match="FENCE_STALE"):
                step()
        assert not (root / ".lonelycat/tx" / f"exec_{fence - 1}" / "journal").exists()
    assert sorted(os.listdir(root)) == [".lonelycat"]


def test_an_apply_stops_where_it_is_overtaken(root: Path) -> None:
    changes = tuple(FileChange.create(f"{number}.txt", b"x") for number in range(6))
    applied = 0

    def stop() -> None:
        nonlocal applied
        applied += 1
        if applied == 4:
            _next(root)

    with _transaction(root, _next(root)) as transaction:
        transaction.stage(changes, {})
        with pytest.raises(StateError, match="FENCE_STALE"):
            transaction.apply(stop)
    assert len(list(root.glob("*.txt"))) == 3


def test_a_recovery_that_was_overtaken_leaves_everything(root: Path) -> None:
    fence = _next(root)
    with _transaction(root, fence) as transaction:
        transaction.stage((FileChange.create("a.txt", b"a"),), {})
        transaction.apply()
    own = _next(root)
    _next(root)
    told: list[Recovered] = []
    recovery = Recovery(
        FileSystem(), root, own, chunk=4096, was_recorded=lambda _: False, record=lambda found: told.append(found)
    )
    with pytest.raises(StateError, match="FENCE_STALE"):
        list(recovery.run())
    assert told == [] and (root / "a.txt").exists() and os.listdir(root / ".lonelycat/tx") == [f"exec_{fence}"]
