"""What is done while the disk is waited for is over when the wait is, whatever either of them raises."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.patience import PATIENCE_SECONDS

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import StepFailedError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.side_by_side import wait_and_work
from lonelycat.executor.transaction import Transaction

MANY = tuple(FileChange.create(f"f{number}", b"new") for number in range(20))


class _Recording(FileSystem):
    """Notes the barrier and the publication of the journal, and may fail the first."""

    def __init__(self, fails: bool = False) -> None:
        self.happened: list[str] = []
        self.fails = fails
        self.worked = threading.Event()

    def syncfs(self, fd: int) -> None:
        assert self.worked.wait(PATIENCE_SECONDS), "the work waits for the barrier"
        if self.fails:
            raise OSError(errno.EIO, "the disk")
        super().syncfs(fd)
        self.happened.append("barrier")

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        super().move(directory, name, to_directory, to_name)
        self.happened.append(to_name)


def _stage(filesystem: _Recording, root: Path, problem: Exception | None = None) -> None:
    def meanwhile() -> None:
        filesystem.happened.append("work")
        filesystem.worked.set()
        if problem is not None:
            raise problem

    with Transaction(filesystem, root, "exec_t", 1, lambda _: ()) as transaction:
        try:
            transaction.stage(MANY, {}, meanwhile)
        finally:
            transaction.abandon()


def test_the_journal_gets_its_name_only_when_the_barrier_has_returned(root: Path) -> None:
    filesystem = _Recording()
    _stage(filesystem, root)
    assert filesystem.happened == ["work", "barrier", "journal"]


@pytest.mark.parametrize("problem", [StepFailedError("DISK_FULL", "no room", ""), KeyboardInterrupt()])
def test_work_that_fails_ends_the_staging_when_the_barrier_is_over(root: Path, problem: Exception) -> None:
    filesystem = _Recording()
    with pytest.raises(type(problem)):
        _stage(filesystem, root, problem)
    assert filesystem.happened == ["work", "barrier"]
    assert [path.name for path in root.iterdir()] == [".lonelycat"]


def test_a_barrier_that_fails_ends_the_staging(root: Path) -> None:
    filesystem = _Recording(fails=True)
    with pytest.raises(OSError, match="the disk"):
        _stage(filesystem, root)
    assert filesystem.happened == ["work"]
    assert list((root / ".lonelycat/tx").iterdir()) == []


def test_a_barrier_that_fails_counts_more_than_work_that_does(root: Path) -> None:
    with pytest.raises(OSError, match="the disk"):
        _stage(_Recording(fails=True), root, StepFailedError("X", "work", ""))


def test_an_interrupt_does_not_end_the_wait() -> None:
    """However often the user asks: what is being made durable must not be taken away under it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = []

    def wait() -> None:
        for _ in range(3):
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        ended.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            wait_and_work(wait, lambda: time.sleep(0.01))
        assert ended
    finally:
        signal.signal(signal.SIGINT, before)
