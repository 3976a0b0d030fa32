"""One execution at a time per workspace, whatever dies.

Invariants:
- Truth is an exclusive flock on the workspace directory itself: nothing that somebody removes below it, not even all
  of ``.lonelycat``, lets a second executor in. ``locks/guard``, never unlinked, is locked with it, for whoever looks
  for the lock there. Why both: docs/adr/0018.
- ``locks/execution.lock`` only *tells* who holds it. One that is found while holding the lock belongs to a dead
  holder: its execution is recovered, then the file is replaced.
- Commands that an execution starts hold a shared lock on ``locks/children``; whoever gets the lock waits for those
  that a dead executor left behind. They never hold the lock itself, which they could otherwise let go of.
- The fence grows with every acquisition; whatever an execution writes durably carries it.

What the alternatives lose is measured by tests/lock/test_broken_locks.py.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lonelycat.clock import Clock, SystemClock, isoformat
from lonelycat.errors import LockTimeoutError, StateError
from lonelycat.executor.fence import raise_fence
from lonelycat.executor.filesystem import FileSystem, read_all
from lonelycat.executor.state_directory import locks_unsafe, open_lock_file, open_state_directory
from lonelycat.settings import STATE_DIRECTORY

GUARD = "guard"
CHILDREN = "children"
LOCK_FILE = "execution.lock"
_POLL_SECONDS = 0.05
_LOOKS = 100
_LOOK_SECONDS = 0.2
"""How long a lock counts as that of somebody who only looks, and holds nothing."""
_MAX_LOCK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds, or held, the workspace, as far as the lock file tells."""

    execution_id: str | None
    plan_id: str | None
    acquired_at: str | None
    pid: int | None
    hostname: str | None
    fence: int | None = None

    def __str__(self) -> str:
        if self.execution_id is None:
            return "an execution that could not be identified (its lock file is empty or damaged)"
        return f"{self.execution_id} (plan {self.plan_id}, pid {self.pid} on {self.hostname}, since {self.acquired_at})"


_UNKNOWN = LockHolder(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class HeldLock:
    """The workspace, held.

    Attributes:
        fence: this acquisition's number.
        for_children: a descriptor for child processes to inherit: as long as any of them lives, nobody else gets the
            workspace. It is not the lock's own, so what a child does to it cannot let go of the lock.
        previous: the dead holder that was found, or None.
        root: device and inode of the directory that is locked, or None where only the holder's word was taken.
    """

    fence: int
    for_children: int
    previous: LockHolder | None
    root: tuple[int, int] | None = None


class LockManager:
    """The workspace's lock.

    Args:
        workspace_root: the governed directory.
        timeout_seconds: how long to wait for another execution.
        on_wait: called once with whoever is waited for.
        known_fence: the highest fence that the records hold; asked for when the counter was lost.
    """

    def __init__(
        self,
        workspace_root: Path | str,
        timeout_seconds: float = 600,
        *,
        clock: Clock | None = None,
        filesystem: FileSystem | None = None,
        on_wait: Callable[[LockHolder], None] | None = None,
        known_fence: Callable[[], int] = lambda: 0,
    ) -> None:
        self._root = Path(workspace_root).resolve()
        self._timeout = timeout_seconds
        self._clock = clock or SystemClock()
        self._filesystem = filesystem or FileSystem()
        self._on_wait = on_wait
        self._known_fence = known_fence

    @contextmanager
    def lock_execution(self, execution_id: str, plan_id: str) -> Iterator[HeldLock]:
        """Hold the workspace for the block.

        Raises:
            LockTimeoutError: ``LOCK_TIMEOUT``, naming the holder.
            StateError: ``LOCKS_UNSAFE`` when the lock files are not what they must be.
        """
        with self._held() as (root, directory, children):
            try:
                previous = read_lock_file(self._filesystem, directory)
                fence = raise_fence(self._filesystem, directory, self._clock, self._known_fence)
                self._announce(directory, execution_id, plan_id, fence)
            except (FileExistsError, FileNotFoundError) as error:
                raise locks_unsafe("somebody changed the lock files while they were being written") from error
            try:
                status = os.fstat(root)
                yield HeldLock(fence, children, previous, (status.st_dev, status.st_ino))
            finally:
                with suppress(OSError, StateError):  # it only tells; who comes next replaces it
                    self._withdraw(directory)

    @contextmanager
    def _held(self) -> Iterator[tuple[int, int, int]]:
        """Yield the descriptors of the root, of ``locks`` and for children, with every lock of the workspace held."""
        fs, deadline = self._filesystem, self._clock.monotonic() + self._timeout
        while True:
            with ExitStack() as stack:
                root = stack.enter_context(fs.closing(self._open_root()))
                self._acquire(root, root, deadline)
                if not self._is_in_place(root):
                    continue  # what was waited for is no longer the workspace
                directory = stack.enter_context(fs.closing(open_state_directory(fs, root, "locks")))
                self._acquire(root, stack.enter_context(fs.closing(open_lock_file(directory, GUARD))), deadline)
                children = stack.enter_context(fs.closing(open_lock_file(directory, CHILDREN)))
                # Waits for what a dead executor's commands left running, then shares with our own.
                self._acquire(root, children, deadline, shared_is_held=True)
                fcntl.flock(children, fcntl.LOCK_SH)
                yield root, directory, children
                return

    def _open_root(self) -> int:
        try:
            root = self._filesystem.open_root(self._root)
        except OSError as error:
            raise locks_unsafe(f"the workspace cannot be opened: {error.strerror}") from error
        if self._filesystem.is_remote(root):
            self._filesystem.close(root)
            raise locks_unsafe("the workspace lies on a network file system, where locks are not shared between hosts")
        return root

    def _is_in_place(self, root: int) -> bool:
        """Whether those who come now meet at this directory: somebody may have replaced it meanwhile."""
        try:
            return os.path.samestat(os.fstat(root), self._root.stat())
        except FileNotFoundError:
            return False

    def holder(self) -> LockHolder | None:
        """Return who holds the workspace now, or None when it is free; keeps nobody out."""
        with ExitStack() as stack:
            fs = self._filesystem
            root = stack.enter_context(fs.closing(self._open_root()))
            held = not _try_flock(root, fcntl.LOCK_SH)
            if not (self._root / STATE_DIRECTORY / "locks").is_dir():
                return _UNKNOWN if held else None
            directory = stack.enter_context(fs.closing(open_state_directory(fs, root, "locks")))
            guard = stack.enter_context(fs.closing(open_lock_file(directory, GUARD)))
            children = stack.enter_context(fs.closing(open_lock_file(directory, CHILDREN)))
            if not held and _try_flock(guard, fcntl.LOCK_SH) and not self._has_orphans(children):
                return None
            return read_lock_file(fs, directory) or _UNKNOWN

    def _has_orphans(self, children: int) -> bool:
        """Whether a dead executor's commands hold ``children``; another one who asks lets go of it at once."""
        ends = self._clock.monotonic() + _LOOK_SECONDS
        while not _try_flock(children, fcntl.LOCK_EX):
            if self._clock.monotonic() >= ends:
                return True
            self._clock.sleep(_LOOK_SECONDS / _LOOKS)
        return False

    def _acquire(self, root: int, lock: int, deadline: float, *, shared_is_held: bool = False) -> None:
        """Take ``lock``, waiting for who has it.

        Args:
            shared_is_held: a shared lock on it is a holder's, not somebody's who only looks.
        """
        told, looks = False, 0
        while not _try_flock(lock, fcntl.LOCK_EX):
            if not shared_is_held and looks < _LOOKS and _try_flock(lock, fcntl.LOCK_SH):
                fcntl.flock(lock, fcntl.LOCK_UN)
                looks += 1
                self._clock.sleep(_LOOK_SECONDS / _LOOKS)
                continue
            looks = 0
            holder = self._told(root)
            if self._on_wait is not None and not told:
                self._on_wait(holder)
                told = True
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                raise LockTimeoutError(
                    "LOCK_TIMEOUT",
                    f"waited {self._timeout:g} s for the workspace, which is held by {holder}",
                    "See `lonelycat status`. Wait for it to end, or wait longer: --lock-timeout, or the policy's.",
                    details={"holder": _as_dict(holder)},
                )
            jitter = _POLL_SECONDS * (0.5 + random.random())  # noqa: S311 — spreads waiters, guards nothing
            self._clock.sleep(min(remaining, jitter))

    def _told(self, root: int) -> LockHolder:
        """Return what the lock file tells about the holder of the workspace ``root``."""
        fs = self._filesystem
        try:
            with fs.closing(fs.open_beneath(root, f"{STATE_DIRECTORY}/locks")) as directory:
                return read_lock_file(fs, directory) or _UNKNOWN
        except OSError:
            return _UNKNOWN

    def _announce(self, directory: int, execution_id: str, plan_id: str, fence: int) -> None:
        self._withdraw(directory)
        told = {
            "execution_id": execution_id,
            "plan_id": plan_id,
            "acquired_at": isoformat(self._clock.now()),
            "pid": os.getpid(),
            "hostname": os.uname().nodename,
            "fence": fence,
            "boot_id": _first_line("/proc/sys/kernel/random/boot_id"),
            "process_started": _first_line("/proc/self/stat").rpartition(")")[2].split()[19:20],
            "pid_namespace": _pid_namespace(),
        }
        with self._filesystem.closing(self._filesystem.create_file(directory, LOCK_FILE)) as fd:
            self._filesystem.write(fd, json.dumps(told).encode())

    def _withdraw(self, directory: int) -> None:
        try:
            self._filesystem.unlink(directory, LOCK_FILE)
        except FileNotFoundError:
            return
        except IsADirectoryError as error:
            raise locks_unsafe("execution.lock is a directory") from error


def read_lock_file(filesystem: FileSystem, directory: int) -> LockHolder | None:
    """Read ``execution.lock``: None when absent; a holder without identity when empty, torn or not a file."""
    try:
        fd = filesystem.open_file(directory, LOCK_FILE)
    except FileNotFoundError:
        return None
    except OSError:
        return _UNKNOWN
    with filesystem.closing(fd):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return _UNKNOWN
        try:
            told = json.loads(read_all(filesystem, fd, _MAX_LOCK_BYTES, _MAX_LOCK_BYTES))
        except (ValueError, OSError, RecursionError):
            return _UNKNOWN
    if not isinstance(told, dict) or not isinstance(told.get("execution_id"), str):
        return _UNKNOWN

    def text(key: str) -> str | None:
        return told[key] if isinstance(told.get(key), str) else None

    def number(key: str) -> int | None:
        return told[key] if type(told.get(key)) is int else None

    return LockHolder(
        text("execution_id"), text("plan_id"), text("acquired_at"), number("pid"), text("hostname"), number("fence")
    )


def _try_flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise locks_unsafe("flock does not work here: " + os.strerror(error.errno or errno.EIO)) from error
    return True


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _as_dict(holder: LockHolder) -> dict[str, object]:
    return {name: getattr(holder, name) for name in LockHolder.__slots__}
