"""What is done while the disk is waited for is over when the wait is, whatever either of them raises."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
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


@pytest.mark.parametrize("problem", [None, StepFailedError("X", "work", "")])
def test_when_it_returns_the_thread_is_gone(problem: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, run = [], threading.Thread.run

    def run_and_linger(thread: threading.Thread) -> None:
        threads.append(thread)
        run(thread)
        time.sleep(0.05)

    def work() -> None:
        if problem is not None:
            raise problem

    monkeypatch.setattr(threading.Thread, "run", run_and_linger)
    try:
        wait_and_work(lambda: None, work)
    except StepFailedError as error:
        assert error is problem
    assert [thread.is_alive() for thread in threads] == [False]


@pytest.mark.parametrize("moment", ["before it exists", "before it begins", "while it waits"])
def test_an_interrupt_while_the_thread_is_started_leaves_nobody_waiting(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, interrupted, done = threading.Event(), threading.Event(), []
    start, threads = threading.Thread.start, []

    def wait() -> None:
        begun.set()
        time.sleep(0.05)
        done.append("wait")

    def start_and_interrupt(thread: threading.Thread) -> None:
        if moment != "before it exists":
            run = thread.run
            monkeypatch.setattr(thread, "run", lambda: (moment == "while it waits" or interrupted.wait(), run()))
            threads.append(thread)
            start(thread)
        if moment == "while it waits":
            assert begun.wait(PATIENCE_SECONDS)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        wait_and_work(wait, lambda: done.append("work"))
    seen = list(done)
    interrupted.set()
    for thread in threads:
        thread.join()
    assert done == seen == (["wait"] if moment == "while it waits" else [])


def test_where_no_thread_is_to_be_had_it_is_done_one_after_the_other(tmp_path: Path) -> None:
    """As in a container whose processes are counted: an execution of many files, in a process that may have no more."""
    outcome = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THREADS, str(tmp_path / "root")], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stdout) == (0, "no thread\n300 new, 0 left\n"), outcome.stderr


_WITHOUT_THREADS = """
import os, resource, sys, threading
from pathlib import Path
from lonelycat.changes.changeset import FileChange
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction

def run(old, new):
    changes = tuple(FileChange.update(f"f{number}", old, new) for number in range(300))
    with Transaction(FileSystem(), Path("."), "exec_t", 1, lambda _: ()) as transaction:
        transaction.stage(changes, {})
        transaction.apply()
        transaction.commit({})
        transaction.clean_up()

os.mkdir(sys.argv[1])
os.chdir(sys.argv[1])
for number in range(300):
    Path(f"f{number}").write_text("first")
run(b"first", b"old")  # what is imported late is, while this process can read it
if os.geteuid() == 0:  # whom no limit holds
    somebody = 20_000 + os.getpid() % 10_000  # who has no other processes
    for directory, directories, files in os.walk("."):
        for name in (*files, *directories, "."):
            os.chown(os.path.join(directory, name), somebody, somebody)
    os.setgroups([])
    os.setgid(somebody)
    os.setuid(somebody)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread")
run(b"old", b"new")
new = [path for path in Path(".").glob("f*") if path.read_text() == "new"]
print(f"{len(new)} new, {len(os.listdir('.lonelycat/tx'))} left")
"""
