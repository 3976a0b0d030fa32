"""Holds a command to its limits and tells when it has ended. Standard library only.

Run by process 1 of a pid namespace that holds the command and all that it starts. Invariants:

- Memory is the sum over all processes. The resident size is looked at often; as it counts shared pages several times,
  only the proportional size decides. Shared memory that no process has mapped is added, and looked at less often.
- Over a limit, everything is killed at once; so it is when LonelyCat is gone or wants an end.
"""

from __future__ import annotations

import os
import resource
import select
import signal
from collections.abc import Sequence
from contextlib import suppress

from lonelycat.checks.sandbox.room import Room
from lonelycat.checks.sandbox.shared_memory import shared_bytes
from lonelycat.checks.sandbox.spec import Spec

_INTERVAL_MS = 20
_LOOKS_PER_LOOK_AT_SHARED = 10
_PAGE = resource.getpagesize()
_OUR_PROCESSES = 2
"""bubblewrap and the supervisor at most; they do not count."""


class Watch:
    """Waits for the end of the process ``entered``, which goes into the sandbox.

    Args:
        control: pipe from LonelyCat; its end of file, and any byte but ``T``, ends everything.
        inner: pipe to the supervisor, for the ``T``.
    """

    def __init__(self, spec: Spec, room: Room, entered: int, control: int, inner: int) -> None:
        self._spec = spec
        self._room = room
        self._entered = entered
        self._control = control
        self._inner = inner
        self._used_at_first = self._bytes_written()
        self._looks = 0
        self._shared = 0
        self.over: str | None = None
        self.killed = False

    def wait(self) -> int | None:
        """Return the exit code of the entered process, or None when it was killed from here."""
        watched = select.poll()
        descriptor = os.pidfd_open(self._entered)
        watched.register(descriptor, select.POLLIN)
        watched.register(self._control, select.POLLIN)
        status: int | None = None
        while status is None:
            ready = [number for number, _ in watched.poll(_INTERVAL_MS)]
            if self._control in ready:
                self._heed()
            if not self.killed:
                self.over = self._limit_passed()
                if self.over is not None:
                    self._kill()
            status = self._reap()
        os.close(descriptor)
        if self.over is None:  # it may have written and ended between the last look and now
            self.over = "disk" if self._disk_is_over() else None
        return None if self.killed else os.waitstatus_to_exitcode(status)

    def _heed(self) -> None:
        if os.read(self._control, 1) == b"T":
            with suppress(OSError):
                os.write(self._inner, b"T")
        elif not self.killed:
            self._kill()

    def _kill(self) -> None:
        self.killed = True
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)

    def _reap(self) -> int | None:
        ended = None
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._entered:
                    ended = status
        return ended

    def end(self) -> None:
        """Kill whatever is left in the namespace, and wait until it is gone."""
        self._kill()
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)

    # -- limits --------------------------------------------------------------------------------------------------

    def _limit_passed(self) -> str | None:
        if self._disk_is_over():
            return "disk"
        tasks = pages = 0
        pids = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        for pid in pids:
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
                    fields = file.read(1024).rpartition(b")")[2].split()
                tasks += int(fields[17])
                pages += int(fields[21])
        if tasks > self._spec.max_processes + _OUR_PROCESSES:
            return "processes"
        if self._looks % _LOOKS_PER_LOOK_AT_SHARED == 0:
            self._shared = shared_bytes(pids)
        self._looks += 1
        limit = self._spec.max_memory_bytes
        if pages * _PAGE + self._shared > limit and self._memory(pids) > limit:
            return "memory"
        return None

    def _memory(self, pids: Sequence[str]) -> int:
        sizes = [_proportional_bytes(pid) for pid in pids]
        shared_and_mapped = sum(shared for _, shared in sizes)
        return sum(size for size, _ in sizes) + max(0, self._shared - shared_and_mapped)

    def _disk_is_over(self) -> bool:
        return self._bytes_written() - self._used_at_first > self._spec.max_written_bytes or self._no_inodes_left()

    def _bytes_written(self) -> int:
        places = ["/", *([self._room.copy] if self._room.copy else [])]
        found = map(os.statvfs, places)
        return sum((each.f_blocks - each.f_bfree) * each.f_frsize for each in found)

    def _no_inodes_left(self) -> bool:
        return os.statvfs("/").f_ffree == 0


def _proportional_bytes(pid: str) -> tuple[int, int]:
    """Return the memory of a process, each shared page divided by those that share it, and how much of it is shared.

    Where that is not told, its resident size.
    """
    with suppress(OSError, ValueError, LookupError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        told = {words[0]: int(words[1]) * 1024 for words in map(bytes.split, file) if words[0].startswith(b"Pss")}
        return told[b"Pss:"], told.get(b"Pss_Shmem:", 0)
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE, 0
    return 0, 0
