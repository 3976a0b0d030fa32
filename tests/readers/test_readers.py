"""A reader that asks never sees half of a change, whoever dies; one that does not ask sees it often.

Writers are real: the lock, recovery, transactions that are kept or undone, killed at any moment. Every file of the
workspace holds the number of the change that wrote it, so that a reader that sees two numbers has seen a mix.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.tally import tally
from tests.unsynced import Unsynced

from lonelycat import FileChange, LockManager, read_settled
from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.generation import Generation, Phase
from lonelycat.executor.recovery import Recovered, Recovery
from lonelycat.executor.transaction import Transaction

FILES = [f"{directory}/{number}.txt" for directory in ("a", "b/c") for number in range(8)]
_COUNTS = struct.Struct("<qq")


def _write(root: Path, seed: int) -> None:
    """Change all files again and again, keeping one half of the changes and undoing the other."""
    rng, number = random.Random(seed), 0
    while True:
        number += 1
        with LockManager(root, 30, filesystem=Unsynced()).lock_execution(f"exec_w{os.getpid()}", "plan_w") as held:
            recovery = Recovery(
                Unsynced(), root, held.fence, chunk=4096, was_recorded=lambda _: False, record=_refuse_damage
            )
            list(recovery.run())
            old = _look(root)[0]
            new = b"%d %d\n" % (os.getpid(), number)
            changes = tuple(FileChange.update(path, old, new) for path in FILES)
            with Transaction(Unsynced(), root, f"exec_{held.fence}", held.fence, lambda _: []) as transaction:
                transaction.stage(changes, {})
                transaction.apply()
                if rng.random() < 0.5:
                    transaction.commit({})
                else:
                    assert transaction.undo().restored
                transaction.clean_up()


def _refuse_damage(found: Recovered) -> None:
    assert found.outcome in ("nothing_applied", "committed", "undone"), found


def _look(root: Path) -> list[bytes]:
    return [(root / path).read_bytes() for path in FILES]


def _asking(root: Path) -> list[bytes]:
    return read_settled(root, lambda: _look(root), timeout_seconds=60)


def _read(root: Path, look: Callable[[Path], list[bytes]], counts: int) -> None:
    """Look again and again, and count the looks and the mixes that were seen."""
    looks = mixes = 0
    while True:
        looks += 1
        mixes += len(set(look(root))) > 1
        os.pwrite(counts, _COUNTS.pack(looks, mixes), 0)


class Crowd:
    """Processes of a test; all end with it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        for path in FILES:
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(b"0 0\n")
        self.pids: set[int] = set()

    def start(self, work: Callable[[], object]) -> int:
        """Fork a process that does ``work`` until it is killed."""
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(1)
        self.pids.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        """Kill one, which must not have ended by itself."""
        os.kill(pid, signal.SIGKILL)
        self.pids.remove(pid)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"a process ended by itself with {status}"

    def reader(self, look: Callable[[Path], list[bytes]], name: str) -> Callable[[], tuple[int, int]]:
        """Start a reader; return what tells its looks and its mixes."""
        fd = os.open(self.base / name, os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, _COUNTS.pack(0, 0), 0)
        self.start(lambda: _read(self.root, look, fd))

        def counted() -> tuple[int, int]:
            looks, mixes = _COUNTS.unpack(os.pread(fd, _COUNTS.size, 0))
            return looks, mixes

        return counted


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    made = Crowd(tmp_path)
    try:
        yield made
    finally:
        for pid in sorted(made.pids):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _run(crowd: Crowd, seed: int, looks: int, mixes: int) -> None:
    rng = random.Random(seed)
    writers = [crowd.start(lambda: _write(crowd.root, seed)) for _ in range(2)]
    asking = [crowd.reader(_asking, f"asking.{number}") for number in range(2)]
    heedless = crowd.reader(_look, "heedless")
    kills = 0
    while min(counted()[0] for counted in asking) < looks or heedless()[1] < mixes:
        time.sleep(rng.uniform(0.01, 0.1))
        victim = rng.choice(writers)
        crowd.kill(victim)
        kills += 1
        writers[writers.index(victim)] = crowd.start(partial(_write, crowd.root, seed + kills))
    seen = [counted() for counted in asking]
    tally(
        "readers",
        reads=sum(done for done, _ in seen),
        violations=sum(mixed for _, mixed in seen),
        reads_without_asking=heedless()[0],
        mixes_without_asking=heedless()[1],
        writers_killed=kills,
    )
    assert [mixed for _, mixed in seen] == [0, 0]


def test_a_reader_that_asks_sees_no_mix_and_another_does(crowd: Crowd) -> None:
    _run(crowd, 0, looks=300, mixes=5)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(1, 3))
def test_long_a_reader_that_asks_sees_no_mix_and_another_does(crowd: Crowd, seed: int) -> None:
    _run(crowd, seed, looks=5_000, mixes=200)


@pytest.mark.parametrize("silent", [Phase.APPLYING, Phase.UNDOING])
def test_a_writer_that_does_not_say_what_it_does_is_seen(
    crowd: Crowd, silent: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail."""
    real = Generation.mark
    monkeypatch.setattr(Generation, "mark", lambda self, phase: None if phase is silent else real(self, phase))
    crowd.start(lambda: _write(crowd.root, 0))
    asking = crowd.reader(_asking, "asking")
    while asking()[1] == 0:
        time.sleep(0.01)


# -- one after the other ---------------------------------------------------------------------------------------------


@pytest.fixture
def root(crowd: Crowd) -> Path:
    return crowd.root


def _transaction(root: Path, number: int) -> Transaction:
    transaction = Transaction(FileSystem(), root, f"exec_{number}", number, lambda _: [])
    old = _look(root)[0]
    transaction.stage(tuple(FileChange.update(path, old, b"0 %d\n" % number) for path in FILES), {})
    return transaction


def _stands(root: Path) -> bool:
    """Whether a reader gets an answer at once."""
    try:
        read_settled(root, lambda: _look(root), timeout_seconds=0)
    except StateError as error:
        assert error.code == "WORKSPACE_UNSETTLED" and "lonelycat recover" in error.hint
        return False
    return True


def _stopping(root: Path, seen: list[bool], after: int = 3) -> Callable[[], None]:
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            seen.append(_stands(root))

    return stop


def test_the_tree_stands_before_between_and_after(root: Path) -> None:
    assert _stands(root), "nothing was ever executed here"
    with _transaction(root, 1) as transaction:
        assert not _stands(root), "nobody has said anything yet, and something is going on"
        transaction.abandon()
    with _transaction(root, 2) as transaction:
        transaction.apply()
        transaction.commit({})
        transaction.clean_up()
    with _transaction(root, 3) as transaction:
        assert _stands(root), "staged only"
        seen: list[bool] = []
        transaction.apply(_stopping(root, seen))
        assert seen == [False]
        assert _stands(root), "applied, and being checked: programs that the checks run may read"
        transaction.commit({})
        transaction.clean_up()
    assert _stands(root)


def test_it_does_not_stand_while_an_undo_is_due_or_under_way(root: Path) -> None:
    with _transaction(root, 1) as transaction:
        with pytest.raises(KeyboardInterrupt):
            transaction.apply(_interrupt(2))
        assert not _stands(root)
        assert transaction.undo().restored
        assert _stands(root)


def _interrupt(after: int) -> Callable[[], None]:
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt

    return stop


def test_it_does_not_stand_after_a_death_until_recovery(root: Path) -> None:
    with _transaction(root, 1) as transaction, pytest.raises(KeyboardInterrupt):
        transaction.apply(_interrupt(2))
    assert not _stands(root)
    recovery = Recovery(
        FileSystem(), root, 2, chunk=4096, was_recorded=lambda _: False, record=lambda found: seen.append(_stands(root))
    )
    seen: list[bool] = []
    list(recovery.run())
    assert seen == [True]
    assert _stands(root)


def _restart_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.executor import generation

    monkeypatch.setattr(generation, "_boot", lambda: "another-boot")


@pytest.mark.parametrize("line", ["lost", "old", "torn", "garbage"])
def test_after_a_power_cut_only_recovery_says_that_it_stands(
    root: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is never synced: whatever it holds after a power cut, a transaction that is left speaks against it."""
    place = root / ".lonelycat/generation"
    with _transaction(root, 1) as transaction:
        transaction.apply()
        transaction.commit({})
        transaction.clean_up()
    before = place.read_bytes()
    with _transaction(root, 2) as transaction, pytest.raises(KeyboardInterrupt):
        transaction.apply(_interrupt(2))
    _restart_the_machine(monkeypatch)
    if line == "lost":
        place.unlink()
    else:
        place.write_bytes({"old": before, "torn": before[:100], "garbage": b"\x00" * len(before)}[line])
    assert not _stands(root)
    recovery = Recovery(FileSystem(), root, 3, chunk=4096, was_recorded=lambda _: False, record=lambda found: None)
    list(recovery.run())
    assert _stands(root)


def test_after_a_restart_the_last_words_are_not_believed_either_way(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = root / ".lonelycat/generation"
    with _transaction(root, 1) as transaction:
        kept: list[bytes] = []
        transaction.apply(lambda: kept.append(place.read_bytes()))
        transaction.commit({})
        transaction.clean_up()
    place.write_bytes(kept[0])  # the words after it did not reach the disk
    assert not _stands(root)
    _restart_the_machine(monkeypatch)
    assert _stands(root)


def test_what_the_reader_raises_counts_only_when_the_tree_stands(root: Path) -> None:
    calls = 0

    def read() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            with _transaction(root, 1) as transaction:
                transaction.apply()
            raise FileNotFoundError("it was being replaced")
        raise ValueError("it is like that")

    with pytest.raises(ValueError, match="like that"):
        read_settled(root, read)
    assert calls == 2


def test_a_reader_whose_tree_changes_meanwhile_reads_again(root: Path) -> None:
    numbers = iter((1, 2))

    def read() -> list[bytes]:
        number = next(numbers, None)
        if number is not None:
            with _transaction(root, number) as transaction:
                transaction.apply()
                transaction.commit({})
                transaction.clean_up()
        return _look(root)

    assert set(read_settled(root, read)) == {b"0 2\n"}


def test_readers_hold_nothing_and_leave_nothing(root: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    assert read_settled(root, lambda: sorted(os.listdir("/proc/self/fd"))) == before
    assert not (root / ".lonelycat").exists()


@pytest.mark.parametrize("kind", ["directory", "link", "FIFO"])
def test_something_else_in_the_files_place_is_not_followed(root: Path, kind: str) -> None:
    place = root / ".lonelycat/generation"
    place.parent.mkdir(mode=0o700)
    {"directory": place.mkdir, "link": lambda: place.symlink_to("/etc/passwd"), "FIFO": lambda: os.mkfifo(place)}[
        kind
    ]()
    with _transaction(root, 1) as transaction, pytest.raises(StateError, match="LOCKS_UNSAFE"):
        transaction.apply()
    assert set(_look(root)) == {b"0 0\n"}


def test_a_reader_that_may_not_look_is_told_so(root: Path) -> None:
    """Not to see is not to see that all is well."""
    with _transaction(root, 1) as transaction:
        transaction.apply()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setresuid(65534, 65534, 65534)
            read_settled(root, lambda: b"", timeout_seconds=0)
        except PermissionError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("size", [0, 256, 3072, 3328, 3840, 4096, 64 * 1024 - 256, 64 * 1024])
def test_a_long_file_is_begun_anew_and_an_undo_has_room_in_its_block(size: int, root: Path) -> None:
    place = root / ".lonelycat/generation"
    with _transaction(root, 1) as transaction:
        place.write_bytes(b"\n" * size)
        transaction.apply()
        assert transaction.undo().restored
        transaction.clean_up()
    begun = 0 if size == 64 * 1024 else size + (-size % 4096 if size % 4096 > 3072 else 0)
    assert place.stat().st_size == begun + 4 * 256
    assert begun // 4096 == (begun + 4 * 256 - 1) // 4096, "in one block"
    assert _stands(root)
