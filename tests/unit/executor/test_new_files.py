"""New files that two threads write: the same as one by one, and when one of them fails, nobody goes on."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.crash.trees import case, materialise, snapshot
from tests.patience import PATIENCE_SECONDS, until

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.changes.digest import sha256_hex
from lonelycat.errors import LonelyCatError, RefusedError
from lonelycat.executor import new_files
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.new_files import SIDE_BY_SIDE_FROM
from lonelycat.executor.transaction import Transaction


class Watched(FileSystem):
    """Notes which thread made which new file, and lets :attr:`at_write` act before a write."""

    def __init__(self) -> None:
        self.made: dict[str, bool] = {}
        """By name, whether the thread of the test made it."""
        self._thread = threading.current_thread()
        self.at_write: Callable[[int, bytes], None] = lambda fd, data: None

    def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
        fd = super().create_file(directory, name, mode)
        self.made[name] = threading.current_thread() is self._thread
        return fd

    def by(self, *, mine: bool) -> list[str]:
        """Return the new files that the thread of the test made, or another."""
        return [name for name, it_was_mine in self.made.items() if name.endswith(".new") and it_was_mine == mine]

    def write(self, fd: int, data: bytes) -> None:
        self.at_write(fd, data)
        super().write(fd, data)


def _stage(root: Path, changes: tuple[FileChange, ...], filesystem: FileSystem, blobs: dict[str, list[bytes]]) -> None:
    """Stage, and leave nothing; check that nobody writes once that has ended."""

    def open_blob(reference: BlobRef) -> Iterator[bytes]:
        yield from blobs[reference.sha256]

    with Transaction(filesystem, root, "exec_t", 1, open_blob) as transaction:
        try:
            transaction.stage(changes, {})
        finally:
            assert not _others(), "a thread goes on"
            transaction.abandon()
    assert list((root / ".lonelycat/tx").iterdir()) == []


def _others() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lonelycat")]


def _many(number: int = SIDE_BY_SIDE_FROM) -> list[FileChange]:
    return [FileChange.create(f"new/{n:04d}", b"content of %d" % n) for n in range(number)]


def _in_parts(path: str, *parts: bytes) -> tuple[FileChange, dict[str, list[bytes]]]:
    data = b"".join(parts)
    reference = BlobRef(sha256=sha256_hex(data), size=len(data))
    return FileChange.create(path, reference), {reference.sha256: list(parts)}


def test_many_are_written_by_two_and_a_few_by_one(root: Path) -> None:
    for number, mine in ((SIDE_BY_SIDE_FROM - 1, SIDE_BY_SIDE_FROM - 1), (SIDE_BY_SIDE_FROM, SIDE_BY_SIDE_FROM // 2)):
        filesystem = Watched()
        _stage(root, tuple(_many(number)), filesystem, {})
        assert len(filesystem.by(mine=True)) == mine
        assert len(filesystem.by(mine=False)) == number - mine


@given(seed=st.integers(0, 2**32), keep=st.booleans())
def test_what_two_write_is_what_one_writes(seed: int, keep: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    old, changes, new = case(seed)
    root = tmp_path_factory.mktemp("two") / "root"
    materialise(root, old)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_files, "SIDE_BY_SIDE_FROM", 2)
        with Transaction(FileSystem(), root, "exec_t", 1, lambda _: ()) as transaction:
            transaction.stage(changes, {})
            transaction.apply()
            if keep:
                transaction.commit({})
            else:
                assert transaction.undo().restored
            assert transaction.clean_up() == ()
    assert snapshot(root) == (new if keep else old)


@pytest.mark.parametrize("number", [0, 1, 100, SIDE_BY_SIDE_FROM - 1])
def test_a_disk_that_is_full_for_one_stops_the_other(root: Path, number: int) -> None:
    filesystem = Watched()
    failed = threading.Event()
    after: list[bytes] = []

    def fail_once(_: int, data: bytes) -> None:
        if data == b"content of %d" % number:
            failed.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if failed.is_set() and data.startswith(b"content"):
            after.append(data)
            time.sleep(0.01)

    filesystem.at_write = fail_once
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        _stage(root, tuple(_many(1000)), filesystem, {})
    assert len(after) < 200, "the other goes on"
    assert snapshot(root) == {}


def test_of_two_failures_one_is_told(root: Path) -> None:
    both = threading.Barrier(2)

    def fail(_: int, data: bytes) -> None:
        if data.startswith(b"content"):
            both.wait(PATIENCE_SECONDS)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    filesystem = Watched()
    filesystem.at_write = fail
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        _stage(root, tuple(_many()), filesystem, {})


@pytest.mark.parametrize("number", [100, 101])
def test_bytes_that_were_not_approved_are_refused_by_either(root: Path, number: int) -> None:
    changes = _many()
    changes[number], blobs = _in_parts("new/blob", b"what was approved")
    blobs = {key: [b"something else!!!"] for key in blobs}
    with pytest.raises(RefusedError) as caught:
        _stage(root, tuple(changes), Watched(), blobs)
    assert caught.value.code == "CHECKSUM_MISMATCH" and "new/blob" in caught.value.message


@pytest.mark.parametrize("number", [0, 1])
def test_an_interrupt_ends_a_long_file_between_two_chunks(root: Path, number: int) -> None:
    """Whichever thread writes it; the main one may be done with its own and wait for the other."""
    changes = sorted(_many(), key=lambda change: change.path)
    changes[number], blobs = _in_parts(changes[number].path, *(b"%09d" % n for n in range(3_000)))
    chunks = 0

    def interrupt(_: int, data: bytes) -> None:
        nonlocal chunks
        if data.isdigit():
            chunks += 1
            if chunks == 10:
                if number % 2:
                    until(lambda: len(filesystem.by(mine=True)) == len(changes) // 2, "the main thread to be done")
                os.kill(os.getpid(), signal.SIGINT)  # which the kernel gives to the main thread
            if chunks > 10:
                time.sleep(0.01)  # as long as a large chunk takes

    filesystem = Watched()
    filesystem.at_write = interrupt
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _stage(root, tuple(changes), filesystem, blobs)
    finally:
        signal.signal(signal.SIGINT, before)
    assert chunks < 1_500, "it was written to its end"


def test_who_runs_out_of_time_stops_both(root: Path) -> None:
    asked: set[bool] = set()
    mine = threading.current_thread()

    def stop() -> None:
        asked.add(threading.current_thread() is mine)
        if asked == {True, False}:
            raise LonelyCatError("TIMEOUT", "too late", "")

    with Transaction(FileSystem(), root, "exec_t", 1, lambda _: ()) as transaction:
        with pytest.raises(LonelyCatError, match="too late"):
            transaction.stage(tuple(_many()), {}, stop=stop)
        assert not _others()
        transaction.abandon()
    assert asked == {True, False}
