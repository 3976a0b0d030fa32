"""One execution at a time, whatever lies in the lock directory and whoever dies."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.patience import PATIENCE_SECONDS
from tests.unit.executor.conftest import TestClock

from lonelycat.errors import LockTimeoutError, StateError
from lonelycat.executor.execution_lock import LockHolder, LockManager
from lonelycat.executor.filesystem import FileSystem
from lonelycat.platforms.linux import LinuxCalls

HOLD = textwrap.dedent(
    """
    import sys
    from lonelycat.executor.execution_lock import LockManager
    with LockManager(sys.argv[1], 30).lock_execution(sys.argv[2], "plan_x") as held:
        print(held.fence, flush=True)
        sys.stdin.read()
    """
)


def _holder(root: Path, execution_id: str = "exec_other") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), execution_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline().strip().isdigit()
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate("")


@pytest.fixture
def locks(root: Path) -> Path:
    """The lock directory after one use."""
    with LockManager(root).lock_execution("exec_first", "plan_x"):
        pass
    return root / ".lonelycat" / "locks"


def test_the_lock_file_tells_who_holds(root: Path) -> None:
    manager = LockManager(root)
    assert manager.holder() is None
    assert not (root / ".lonelycat").exists()
    with manager.lock_execution("exec_a", "plan_b") as held:
        holder = manager.holder()
        assert holder is not None
        assert (holder.execution_id, holder.plan_id, holder.pid) == ("exec_a", "plan_b", os.getpid())
        assert holder.hostname == os.uname().nodename and holder.fence == held.fence and held.previous is None
        told = json.loads((root / ".lonelycat/locks/execution.lock").read_bytes())
        assert {"boot_id", "process_started", "pid_namespace", "acquired_at"} <= set(told)
        assert "exec_a" in str(holder)
    assert manager.holder() is None
    assert not (root / ".lonelycat/locks/execution.lock").exists()
    assert (root / ".lonelycat/locks/guard").exists()


def test_another_process_is_waited_for_and_named(root: Path) -> None:
    other = _holder(root)
    try:
        waited: list[LockHolder] = []
        with (
            pytest.raises(LockTimeoutError) as caught,
            LockManager(root, 0.2, on_wait=waited.append).lock_execution("exec_me", "plan_me"),
        ):
            raise AssertionError("held twice")
        assert caught.value.code == "LOCK_TIMEOUT" and "exec_other" in caught.value.message
        assert caught.value.details["holder"]["pid"] == other.pid  # type: ignore[index]
        assert [holder.execution_id for holder in waited] == ["exec_other"]
        seen = LockManager(root).holder()
        assert seen is not None and seen.pid == other.pid
    finally:
        _end(other)
    with LockManager(root, 0).lock_execution("exec_me", "plan_me"):
        pass


def test_threads_of_one_process_never_overlap(root: Path) -> None:
    inside, most, fences = 0, 0, list[int]()
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with LockManager(root, 60).lock_execution("exec_t", "plan_t") as held:
                with guard:
                    inside += 1
                    most = max(most, inside)
                    fences.append(held.fence)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and len(fences) == 20
    assert fences == sorted(set(fences)), "the fence grows with every acquisition"


HAMMER = textwrap.dedent(
    """
    import os, sys
    from lonelycat.executor.execution_lock import LockManager
    inside = sys.argv[1] + "/inside"
    for _ in range(12):
        with LockManager(sys.argv[1], 60).lock_execution("exec_h", "plan_h") as held:
            fd = os.open(inside, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.close(fd)
            with open(sys.argv[1] + "/fences", "a") as log:
                log.write(f"{held.fence}\\n")
            os.unlink(inside)
    """
)


def test_processes_never_overlap(root: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", HAMMER, str(root)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    fences = [int(line) for line in (root / "fences").read_text().split()]
    assert len(fences) == 36 and fences == sorted(set(fences))


def test_a_killed_holder_is_told_of_and_replaced(root: Path) -> None:
    other = _holder(root, "exec_dead")
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert LockManager(root).holder() is None
    with LockManager(root, 5).lock_execution("exec_me", "plan_me") as held:
        assert held.previous is not None
        assert (held.previous.execution_id, held.previous.pid) == ("exec_dead", other.pid)
        assert held.previous.fence is not None and held.fence > held.previous.fence


def test_an_orphan_that_inherited_the_guard_keeps_the_workspace(root: Path) -> None:
    """The executor is killed while a child of it, which may still write, lives."""
    script = textwrap.dedent(
        """
        import os, subprocess, sys
        from lonelycat.executor.execution_lock import LockManager
        with LockManager(sys.argv[1], 30).lock_execution("exec_parent", "plan_x") as held:
            child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=[held.for_children])
            print(child.pid, flush=True)
            os._exit(9)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    orphan = int(process.stdout.readline())
    assert process.wait() == 9
    process.stdout.close()
    try:
        holder = LockManager(root).holder()
        assert holder is not None and holder.execution_id == "exec_parent"
        with (
            pytest.raises(LockTimeoutError, match="exec_parent"),
            LockManager(root, 0).lock_execution("exec_me", "plan_me"),
        ):
            raise AssertionError("held beside an orphan")
    finally:
        os.kill(orphan, signal.SIGKILL)
    with LockManager(root, 30).lock_execution("exec_me", "plan_me") as held:
        assert held.previous is not None and held.previous.execution_id == "exec_parent"


def test_a_child_cannot_let_go_of_the_lock(root: Path) -> None:
    with LockManager(root, 5).lock_execution("exec_a", "plan_a") as held:
        script = f"import fcntl; fcntl.flock({held.for_children}, fcntl.LOCK_UN)"
        subprocess.run([sys.executable, "-c", script], pass_fds=[held.for_children], check=True)
        with (
            pytest.raises(LockTimeoutError, match="exec_a"),
            LockManager(root, 0).lock_execution("exec_b", "plan_b"),
        ):
            raise AssertionError("held twice")


# -- what may lie there ----------------------------------------------------------------------------------------------

DAMAGED = {
    "empty": b"",
    "torn": b'{"execution_id": "exec_a", "pl',
    "not an object": b"[]",
    "no identity": b'{"pid": 1}',
    "identity of another type": b'{"execution_id": 5}',
    "binary": bytes(range(256)),
    "deep": b"[" * 15_000,
    "large": b" " * 100_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_lock_file_is_a_holder_unknown(content: bytes, root: Path, locks: Path) -> None:
    (locks / "execution.lock").write_bytes(content)
    with LockManager(root, 0).lock_execution("exec_me", "plan_me") as held:
        assert held.previous == LockHolder(None, None, None, None, None)
        (locks / "execution.lock").write_bytes(content)
        holder = LockManager(root).holder()
        assert holder is not None and holder.execution_id is None and "could not be identified" in str(holder)
        with (
            pytest.raises(LockTimeoutError, match="could not be identified"),
            LockManager(root, 0).lock_execution("exec_b", "plan_b"),
        ):
            raise AssertionError("held twice")
    assert LockManager(root).holder() is None


def test_types_in_the_lock_file_are_not_trusted(root: Path, locks: Path) -> None:
    told = {"execution_id": "exec_x", "pid": True, "plan_id": 7, "hostname": None, "fence": "9"}
    (locks / "execution.lock").write_text(json.dumps(told))
    with LockManager(root, 0).lock_execution("exec_me", "plan_me") as held:
        assert held.previous == LockHolder("exec_x", None, None, None, None, None)


@pytest.mark.parametrize("pid", [os.getpid(), 1, 2**22 - 1], ids=["own", "init", "nobody"])
@pytest.mark.parametrize("hostname", ["another-host", os.uname().nodename], ids=["foreign", "same"])
def test_a_recycled_pid_or_a_foreign_host_does_not_hold(pid: int, hostname: str, root: Path, locks: Path) -> None:
    """Only the guard says who holds; a living process with the number in the file is not asked."""
    told = {"execution_id": "exec_x", "plan_id": "plan_x", "pid": pid, "hostname": hostname, "acquired_at": "now"}
    (locks / "execution.lock").write_text(json.dumps(told))
    assert LockManager(root).holder() is None
    with LockManager(root, 0).lock_execution("exec_me", "plan_me") as held:
        assert held.previous is not None and held.previous.pid == pid


def _as_link(place: Path) -> None:
    (place.parent / "target").write_bytes(b"precious")
    place.symlink_to("target")


def _as_fifo(place: Path) -> None:
    os.mkfifo(place)


def _as_directory(place: Path) -> None:
    place.mkdir()


@pytest.mark.parametrize("make", [_as_link, _as_fifo])
def test_a_link_or_fifo_as_lock_file_is_replaced_and_not_followed(
    make: Callable[[Path], None], root: Path, locks: Path
) -> None:
    make(locks / "execution.lock")
    with LockManager(root, 0).lock_execution("exec_me", "plan_me") as held:
        assert held.previous == LockHolder(None, None, None, None, None)
        assert (locks / "execution.lock").is_file() and not (locks / "execution.lock").is_symlink()
    if (locks / "target").exists():
        assert (locks / "target").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("name", "make"),
    [(name, make) for name in ("guard", "fence") for make in (_as_link, _as_fifo, _as_directory)]
    + [("execution.lock", _as_directory)],
)
def test_anything_else_in_place_of_a_lock_is_a_typed_refusal(
    name: str, make: Callable[[Path], None], root: Path, locks: Path
) -> None:
    (locks / name).unlink(missing_ok=True)
    make(locks / name)
    with pytest.raises(StateError) as caught, LockManager(root, 0).lock_execution("exec_me", "plan_me"):
        raise AssertionError("held")
    assert caught.value.code == "LOCKS_UNSAFE" and caught.value.hint
    if (locks / "target").exists():
        assert (locks / "target").read_bytes() == b"precious"


def test_a_lock_file_that_cannot_be_withdrawn_does_not_undo_the_work(root: Path) -> None:
    with LockManager(root, 0).lock_execution("exec_a", "plan_a"):
        place = root / ".lonelycat/locks/execution.lock"
        place.unlink()
        place.mkdir()
    assert LockManager(root).holder() is None


def test_the_guard_is_free_after_any_end(root: Path) -> None:
    for error in (RuntimeError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), LockManager(root, 0).lock_execution("exec_a", "plan_a"):
            raise error
        assert LockManager(root).holder() is None
        assert not (root / ".lonelycat/locks/execution.lock").exists()


def test_a_waiter_on_a_removed_guard_does_not_run_beside_the_next(root: Path) -> None:
    other = _holder(root)
    waiting = threading.Event()
    entered: list[bool] = []

    def wait() -> None:
        with LockManager(root, 60, on_wait=lambda _: waiting.set()).lock_execution("exec_w", "plan_w"):
            entered.append(LockManager(root).holder() is not None)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(PATIENCE_SECONDS)
    locks = root / ".lonelycat/locks"
    for name in os.listdir(locks):
        (locks / name).unlink()
    locks.rmdir()
    _end(other)
    thread.join()
    assert entered == [True], "it holds the guard that those who come now meet"


# -- the fence -------------------------------------------------------------------------------------------------------


def _fence(root: Path) -> int:
    with LockManager(root, 0).lock_execution("exec_a", "plan_a") as held:
        return held.fence


@pytest.mark.parametrize("damage", [b"", b"garbage", b"-5", b"9" * 60, "٣".encode(), None])
def test_a_lost_fence_restarts_above_all_before(damage: bytes | None, root: Path, locks: Path) -> None:
    last = [_fence(root) for _ in range(5)][-1]
    if damage is None:
        (locks / "fence").unlink()
    else:
        (locks / "fence").write_bytes(damage)
    after = _fence(root)
    assert after > last
    assert _fence(root) == after + 1


def test_the_fence_survives_a_clock_that_went_back(root: Path, clock: object) -> None:
    def fence(moment_shift: float) -> int:
        from datetime import timedelta

        clock.moment += timedelta(seconds=moment_shift)  # type: ignore[attr-defined]
        with LockManager(root, 0, clock=clock).lock_execution("exec_a", "plan_a") as held:  # type: ignore[arg-type]
            return held.fence

    first = fence(0)
    assert [fence(shift) for shift in (-1e8, 1e8, -5e8)] == [first + 1, first + 2, first + 3]


def test_locks_on_a_network_file_system_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LinuxCalls, "file_system_type", lambda calls, fd: 0x6969)
    with pytest.raises(StateError, match="network"), LockManager(root, 0).lock_execution("exec_a", "plan_a"):
        raise AssertionError("held")


def test_the_real_file_system_type_is_read(root: Path) -> None:
    fd = os.open("/proc", os.O_RDONLY)
    try:
        assert LinuxCalls().file_system_type(fd) == 0x9FA0  # PROC_SUPER_MAGIC
    finally:
        os.close(fd)


def test_a_full_disk_leaves_the_workspace_free(root: Path) -> None:
    import errno

    class Full(FileSystem):
        def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
            raise OSError(errno.ENOSPC, "full")

    (root / ".lonelycat").mkdir(mode=0o700)
    with (
        pytest.raises(OSError, match="full"),
        LockManager(root, 0, filesystem=Full()).lock_execution("exec_a", "plan_a"),
    ):
        raise AssertionError("held")
    assert LockManager(root).holder() is None


# -- what is taken away under the holder's hands -----------------------------------------------------------------------


@pytest.mark.parametrize("what", [".lonelycat/locks", ".lonelycat"])
@pytest.mark.parametrize("how", ["removed", "moved away"])
def test_taking_the_lock_files_away_does_not_let_anybody_in(what: str, how: str, root: Path) -> None:
    """As `git clean -fdx` does: the directory ignores itself."""
    other = _holder(root)
    try:
        if how == "removed":
            shutil.rmtree(root / what)
        else:
            (root / what).rename(root / "away")
        with pytest.raises(LockTimeoutError), LockManager(root, 0.1).lock_execution("exec_me", "plan_me"):
            raise AssertionError("held twice")
        assert LockManager(root).holder() is not None
    finally:
        _end(other)
    assert LockManager(root).holder() is None
    with LockManager(root, 5).lock_execution("exec_me", "plan_me"):
        pass


def test_who_waits_for_a_root_that_is_replaced_waits_for_the_new_one(root: Path) -> None:
    other = _holder(root)
    waiting = threading.Event()
    entered: list[bool] = []

    def wait() -> None:
        with LockManager(root, 60, on_wait=lambda _: waiting.set()).lock_execution("exec_w", "plan_w"):
            entered.append(LockManager(root).holder() is not None)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(PATIENCE_SECONDS)
    root.rename(root.with_name("away"))
    root.mkdir()
    second = _holder(root, "exec_second")
    _end(other)
    time.sleep(0.3)
    assert entered == [], "it holds a directory that is no longer the workspace"
    _end(second)
    thread.join()
    assert entered == [True]


class _Meanwhile(TestClock):
    """Time that passes while somebody waits; at the first moment of it another one acts."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._act = act

    def sleep(self, seconds: float) -> None:
        if self.elapsed == 0:
            self._act()
        super().sleep(seconds)


def test_who_only_looks_is_in_nobodys_way(root: Path, locks: Path) -> None:
    """The lookers' locks are shared, and let go of at once: an executor that does not want to wait gets in."""
    looking = [os.open(place, os.O_RDONLY) for place in (root, locks / "guard")]
    try:
        for fd in looking:
            fcntl.flock(fd, fcntl.LOCK_SH)
        clock = _Meanwhile(lambda: [fcntl.flock(fd, fcntl.LOCK_UN) for fd in looking])
        with LockManager(root, 0, clock=clock).lock_execution("exec_me", "plan_me"):
            assert 0 < clock.elapsed < 0.1
        fcntl.flock(looking[0], fcntl.LOCK_SH)  # but not one that stays
        with pytest.raises(LockTimeoutError), LockManager(root, 0).lock_execution("exec_me", "plan_me"):
            raise AssertionError("held beside a shared lock")
    finally:
        for fd in looking:
            os.close(fd)


class _Meddled(FileSystem):
    """Somebody acts on the lock files right before execution.lock is made."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
        if name == "execution.lock":
            self._act()
        return super().create_file(directory, name, mode)


def test_lock_files_that_change_while_the_lock_is_taken_are_a_typed_refusal(root: Path, locks: Path) -> None:
    for act in (lambda: (locks / "execution.lock").write_bytes(b"{}"), lambda: shutil.rmtree(locks)):
        with (
            pytest.raises(StateError, match="LOCKS_UNSAFE"),
            LockManager(root, 0, filesystem=_Meddled(act)).lock_execution("exec_me", "plan_me"),
        ):
            raise AssertionError("held")
        with LockManager(root, 0).lock_execution("exec_me", "plan_me"):
            pass


def test_two_who_look_at_once_see_nobody(root: Path, locks: Path) -> None:
    other = os.open(locks / "children", os.O_RDWR)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)  # as the other one does, for a moment
        clock = _Meanwhile(lambda: fcntl.flock(other, fcntl.LOCK_UN))
        assert LockManager(root, clock=clock).holder() is None
        assert 0 < clock.elapsed < 0.1
        fcntl.flock(other, fcntl.LOCK_SH)  # an orphan does not go
        assert LockManager(root).holder() is not None
    finally:
        os.close(other)
