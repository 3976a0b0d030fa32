"""Processes that hammer one workspace's lock, are killed and stopped at random, and write down what they did.

Run as ``python -m tests.lock.hammer ROOT HISTORY --records N --seed S`` and options for what is to happen meanwhile;
``test_hammer.py`` reads the history. The choices come from the seed; what the scheduler makes of them does not.

Invariants:
- Workers use the library's ``LockManager`` and nothing else to get in. Inside, each writes its mark into a shared cell
  and must find it there on its way out.
- A child of a holder inherits the one descriptor that is meant for children, and no other.
- With ``--rough`` the fence is not synced to the disk: no death of a process can show the difference, and several
  times as many operations fit into a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lock.history import SIZE, Kind, Record
from tests.lock.sabotage import SABOTEURS
from tests.unsynced import Unsynced

from lonelycat.errors import LockTimeoutError, StateError
from lonelycat.executor.execution_lock import HeldLock, LockManager
from lonelycat.executor.filesystem import FileSystem

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 20.0
now = time.monotonic_ns


@dataclass
class Plan:
    """What to do, and where."""

    root: Path
    history: Path
    records: int
    seed: int
    workers: int
    rough: bool
    sabotage: str
    orphans: bool
    pause: float


class Worker:
    """One process that wants the lock again and again."""

    def __init__(self, plan: Plan, who: int, stop: mmap.mmap) -> None:
        self._random = random.Random(f"{plan.seed} {who}")
        self._who = who
        self._stop = stop
        self._log = os.open(plan.history, os.O_WRONLY | os.O_APPEND)
        self._cell = os.open(plan.root.with_name("cell"), os.O_RDWR | os.O_CREAT, 0o600)
        filesystem = Unsynced() if plan.rough else FileSystem()
        self._impatient = LockManager(plan.root, 0, filesystem=filesystem)
        self._patient = LockManager(plan.root, _PATIENCE, filesystem=filesystem)
        self._orphans = plan.orphans

    def run(self) -> None:
        """Work until told to stop."""
        while not self._stop[0]:
            choice = self._random.random()
            if choice < 0.06:
                self._look()
            else:
                self._try(self._patient if choice < 0.062 else self._impatient)

    def say(self, kind: Kind, fence: int, began: int, ended: int) -> None:
        os.write(self._log, Record(kind, self._who, fence, began, ended).packed())

    def _look(self) -> None:
        began = now()
        try:
            holder = self._impatient.holder()
        except StateError:
            self.say(Kind.UNSAFE, 0, began, now())
            return
        self.say(Kind.LOOK, 0 if holder is None else holder.fence or -1, began, now())

    def _try(self, manager: LockManager) -> None:
        called = now()
        try:
            with manager.lock_execution(f"exec_{self._who}", "plan_hammer") as held:
                self.say(Kind.ENTER, held.fence, called, now())
                self._inside(held)
                leaving = now()
                self.say(Kind.LEAVE, held.fence, leaving, leaving)
            self.say(Kind.RELEASED, held.fence, leaving, now())
        except LockTimeoutError:
            self.say(Kind.REFUSED, 0, called, now())
        except StateError:
            self.say(Kind.UNSAFE, 0, called, now())

    def _inside(self, held: HeldLock) -> None:
        mark = held.fence.to_bytes(8, "little")
        os.pwrite(self._cell, mark, 0)
        choice = self._random.random()
        if self._orphans and choice < 0.003:
            self._leave_a_child(held)
            mark = b""
        elif choice < 0.1:
            os.sched_yield()
        elif choice < 0.14:
            time.sleep(0.001)
        if mark and os.pread(self._cell, 8, 0) != mark:
            self.say(Kind.CLASH, held.fence, now(), now())

    def _leave_a_child(self, held: HeldLock) -> None:
        """Start a child that goes on writing, and perhaps outlives this process by a while."""
        if os.fork():
            return
        try:
            keep = {self._log, self._cell, held.for_children}
            for name in os.listdir("/proc/self/fd"):
                if int(name) not in keep:
                    with contextlib.suppress(OSError):
                        os.close(int(name))
            mark = (held.fence ^ 1 << 63).to_bytes(8, "little")
            for _ in range(self._random.randrange(1, 8)):
                os.pwrite(self._cell, mark, 0)
                moment = now()
                self.say(Kind.CHILD, held.fence, moment, moment)
                time.sleep(0.001)
                moment = now()
                if os.pread(self._cell, 8, 0) == mark:
                    self.say(Kind.CHILD, held.fence, moment, moment)
                else:
                    self.say(Kind.CLASH, held.fence, moment, moment)
        finally:
            os._exit(0)


class Supervisor:
    """Starts the workers, kills and stops them, and ends when enough was done."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._stop = mmap.mmap(-1, 1)
        self._next = 1
        self._workers: dict[int, int] = {}
        self._saboteur = 0

    def run(self) -> None:
        """Hammer until the history is long enough."""
        plan = self._plan
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        plan.history.touch()
        if plan.sabotage:
            self._saboteur = _forked(lambda: SABOTEURS[plan.sabotage](plan.root, plan.seed, self._stop))
        for _ in range(plan.workers):
            self._start()
        enough = plan.records * SIZE
        try:
            while plan.history.stat().st_size < enough:
                time.sleep(self._random.uniform(0.0005, plan.pause))
                self._disturb()
        finally:
            self._stop[0] = 1
        self._reap_all()

    def _start(self) -> None:
        who = self._next
        self._next += 1
        pid = _forked(lambda: Worker(self._plan, who, self._stop).run())
        self._workers[pid] = who

    def _disturb(self) -> None:
        pid, who = self._random.choice(sorted(self._workers.items()))
        choice = self._random.random()
        if choice < 0.35:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self._random.uniform(0.0005, 0.008))
            if choice < 0.1:
                self._kill(pid, who)
            else:
                os.kill(pid, signal.SIGCONT)
        elif choice < 0.6:
            self._kill(pid, who)
        self._reap()

    def _kill(self, pid: int, who: int) -> None:
        began = now()
        os.kill(pid, signal.SIGKILL)
        del self._workers[pid]
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"worker {who} ended by itself with {status}"
        log = os.open(self._plan.history, os.O_WRONLY | os.O_APPEND)
        os.write(log, Record(Kind.KILLED, who, 0, began, now()).packed())
        os.close(log)
        self._start()

    def _reap(self) -> None:
        """Collect orphans that have ended; a worker must not."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                assert pid not in self._workers, f"worker {self._workers[pid]} ended by itself with {status}"
                assert pid != self._saboteur, f"the saboteur ended by itself with {status}"

    def _reap_all(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            assert status == 0 or (pid not in self._workers and pid != self._saboteur), f"{pid} ended with {status}"


def _forked(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        work()
        status = 0
    except BaseException as error:  # noqa: BLE001 — shown, and told by the exit code
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def main(arguments: list[str]) -> None:
    """Read the plan and carry it out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("history", type=Path)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.04, help="seconds between kills and stops, at most")
    parser.add_argument("--rough", action="store_true")
    parser.add_argument("--orphans", action="store_true")
    parser.add_argument("--sabotage", choices=["", *SABOTEURS], default="")
    Supervisor(Plan(**vars(parser.parse_args(arguments)))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
