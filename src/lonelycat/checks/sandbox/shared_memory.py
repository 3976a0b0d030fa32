"""Memory that is in no process's size: files of ``memfd_create`` and segments of System V. Standard library only.

Run by the watcher, which shares the IPC namespace of the command, and no other. Each file and segment counts once,
however many have it open. What code hides from this as well, such as a descriptor on its way through a socket, is not
seen; docs/sandbox.md says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

_BLOCK = 512
_RESIDENT = 14
"""The column of ``/proc/sysvipc/shm`` that says how many bytes of a segment are in memory."""


def shared_bytes(pids: Iterable[str]) -> int:
    """Return how many bytes such files that ``pids`` have open, and all segments of this namespace, take."""
    return _segments() + sum(_files(pids).values())


def _segments() -> int:
    with suppress(OSError, ValueError, IndexError), open("/proc/sysvipc/shm", encoding="ascii") as file:
        return sum(int(line.split()[_RESIDENT]) for line in file.readlines()[1:])
    return 0


def _files(pids: Iterable[str]) -> dict[int, int]:
    found = {}
    for pid in pids:
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    status = os.stat(f"/proc/{pid}/fd/{name}")
                    if status.st_dev == _device():
                        found[status.st_ino] = status.st_blocks * _BLOCK
    return found


@lru_cache(maxsize=1)
def _device() -> int:
    file = os.memfd_create("device")
    try:
        return os.fstat(file).st_dev
    finally:
        os.close(file)
