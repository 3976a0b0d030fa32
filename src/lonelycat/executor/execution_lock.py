"""One execution at a time per workspace, whatever dies.

Invariants:
- Truth is an exclusive flock on ``locks/guard``, which is never unlinked. Whoever holds it owns the workspace.
- ``locks/execution.lock`` only *tells* who holds it. One that is found while holding the guard belongs to a dead
  holder: its execution is recovered, then the file is replaced.
- Commands that an execution starts hold a shared lock on ``locks/children``; whoever gets the guard waits for those
  that a dead executor left behind. They never hold the guard itself, which they could otherwise let go of.
- The fence grows with every acquisition; whatever an execution writes durably carries it.

Measured elsewhere (FACTS): O_EXCL with a pid check lost mutual exclusion in 12 % of contended acquisitions, a guard
that is never unlinked in none.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lonelycat.clock import Clock, SystemClock, isoformat
from lonelycat.errors import LockTimeoutError, StateError
from lonelycat.executor.filesystem import FileSystem, read_all
from lonelycat.executor.state_directory import open_state_directory

GUARD = "guard"
CHILDREN = "children"
LOCK_FILE = "execution.lock"
FENCE = "fence"
_POLL_SECONDS = 0.05
_MAX_LOCK_BYTES = 16 * 1024
_MAX_FENCE = 2**53


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


@dataclass(frozen=True, slots=True)
class HeldLock:
    """The workspace, held.

    Attributes:
        fence: this acquisition's number.
        for_children: a descriptor for child processes to inherit: as long as any of them lives, nobody else gets the
            workspace. It is not the guard's, so what a child does to it cannot let go of the guard.
        previous: the dead holder that was found, or None.
    """

    fence: int
    for_children: int
    previous: LockHolder | None


class LockManager:
    """The workspace's lock.

    Args:
        workspace_root: the governed directory.
        timeout_seconds: how long to wait for another execution.
    """

    def __init__(
        self,
        workspace_root: Path | str,
        timeout_seconds: float = 600,
        *,
        clock: Clock | None = None,
        filesystem: FileSystem | None = None,
        on_wait: Callable[[LockHolder], None] | None = None,
    ) -> None:
        self._root = Path(workspace_root).resolve()
        self._timeout = timeout_seconds
        self._clock = clock or SystemClock()
        self._filesystem = filesystem or FileSystem()
        self._on_wait = on_wait

    @contextmanager
    def lock_execution(self, execution_id: str, plan_id: str) -> Iterator[HeldLock]:
        """Hold the workspace for the block.

        Raises:
            LockTimeoutError: ``LOCK_TIMEOUT``, naming the holder.
            StateError: ``LOCKS_UNSAFE`` when the lock files are not what they must be.
        """
        with self._held_guard() as (directory, children):
            previous = read_lock_file(self._filesystem, directory)
            fence = self._raise_fence(directory)
            self._announce(directory, execution_id, plan_id, fence)
            try:
                yield HeldLock(fence, children, previous)
            finally:
                with suppress(OSError, StateError):  # it only tells; who comes next replaces it
                    self._withdraw(directory)

    @contextmanager
    def _held_guard(self) -> Iterator[tuple[int, int]]:
        """Yield the descriptors of ``locks`` and for children, with the guard locked and still the guard."""
        deadline = self._clock.monotonic() + self._timeout
        while True:
            with self._filesystem.closing(open_state_directory(self._filesystem, self._root, "locks")) as directory:
                guard = self._open_guard(directory)
                with self._filesystem.closing(guard):
                    self._acquire(directory, guard, deadline)
                    if self._is_in_place(guard):
                        with self._filesystem.closing(open_lock_file(directory, CHILDREN)) as children:
                            # Waits for what a dead executor's commands left running, then shares with our own.
                            self._acquire(directory, children, deadline)
                            fcntl.flock(children, fcntl.LOCK_SH)
                            yield directory, children
                        return

    def _is_in_place(self, guard: int) -> bool:
        """Whether those who come now meet at this guard: somebody may have removed the directory meanwhile."""
        with self._filesystem.closing(open_state_directory(self._filesystem, self._root, "locks")) as directory:
            try:
                return os.path.samestat(os.fstat(guard), self._filesystem.stat(directory, GUARD))
            except FileNotFoundError:
                return False

    def holder(self) -> LockHolder | None:
        """Return who holds the workspace now, or None when it is free; takes nothing."""
        if not (self._root / ".lonelycat" / "locks").is_dir():
            return None
        directory = open_state_directory(self._filesystem, self._root, "locks")
        with (
            self._filesystem.closing(directory),
            self._filesystem.closing(self._open_guard(directory)) as guard,
            self._filesystem.closing(open_lock_file(directory, CHILDREN)) as children,
        ):
            if _try_flock(guard, fcntl.LOCK_SH) and _try_flock(children, fcntl.LOCK_EX):
                return None
            return read_lock_file(self._filesystem, directory) or LockHolder(None, None, None, None, None)

    def _open_guard(self, directory: int) -> int:
        guard = open_lock_file(directory, GUARD)
        if self._filesystem.is_remote(guard):
            self._filesystem.close(guard)
            raise _unsafe("the workspace lies on a network file system, where locks are not shared between hosts")
        return guard

    def _acquire(self, directory: int, lock: int, deadline: float) -> None:
        told = False
        while not _try_flock(lock, fcntl.LOCK_EX):
            holder = read_lock_file(self._filesystem, directory) or LockHolder(None, None, None, None, None)
            if self._on_wait is not None and not told:
                self._on_wait(holder)
                told = True
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                raise LockTimeoutError(
                    "LOCK_TIMEOUT",
                    f"waited {self._timeout:g} s for the workspace, which is held by {holder}",
                    "Wait for it to end, see `lonelycat status`, or raise the lock timeout in the policy.",
                    details={"holder": _as_dict(holder)},
                )
            jitter = _POLL_SECONDS * (0.5 + random.random())  # noqa: S311 — spreads waiters, guards nothing
            self._clock.sleep(min(remaining, jitter))

    def _raise_fence(self, directory: int) -> int:
        with self._filesystem.closing(open_lock_file(directory, FENCE)) as fd:
            text = self._filesystem.read(fd, 64).partition(b"\n")[0]
            counted = int(text) if text.isdigit() else 0
            # A counter that was lost restarts above any that could have been counted one by one: the records, and
            # the journals of the dead, remember the old ones.
            fence = (counted if 0 < counted < _MAX_FENCE else int(self._clock.now().timestamp() * 1_000_000)) + 1
            os.lseek(fd, 0, os.SEEK_SET)
            self._filesystem.write(fd, b"%020d\n" % fence)
            self._filesystem.fsync(fd)
        if not text:
            self._filesystem.fsync(directory)
        return fence

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
            raise _unsafe("execution.lock is a directory") from error


def open_lock_file(directory: int, name: str) -> int:
    """Open (or make) a file of ``locks`` to be locked or counted in.

    Raises:
        StateError: ``LOCKS_UNSAFE`` when something else is in its place.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, 0o600, dir_fd=directory)
    except OSError as error:
        raise _unsafe(f"the {name} cannot be opened: " + os.strerror(error.errno or errno.EIO)) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _unsafe(f"the {name} is not a regular file")
    return fd


def read_lock_file(filesystem: FileSystem, directory: int) -> LockHolder | None:
    """Read ``execution.lock``: None when absent; a holder without identity when empty, torn or not a file."""
    unknown = LockHolder(None, None, None, None, None)
    try:
        fd = filesystem.open_file(directory, LOCK_FILE)
    except FileNotFoundError:
        return None
    except OSError:
        return unknown
    with filesystem.closing(fd):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return unknown
        try:
            told = json.loads(read_all(filesystem, fd, _MAX_LOCK_BYTES, _MAX_LOCK_BYTES))
        except (ValueError, OSError, RecursionError):
            return unknown
    if not isinstance(told, dict) or not isinstance(told.get("execution_id"), str):
        return unknown

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
        raise _unsafe("flock does not work here: " + os.strerror(error.errno or errno.EIO)) from error
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


def _unsafe(why: str) -> StateError:
    return StateError(
        "LOCKS_UNSAFE", why, "See what is in .lonelycat/locks; nothing is executed until it is a plain lock directory."
    )
