"""Which change the tree holds, and whether it is whole: what a reader looks at before and after it reads.

Invariants:
- ``.lonelycat/generation`` says ``unsettled`` from before the first rename of an apply or undo until after its last.
  Each such stretch begins and ends with words of its own, which never come back: a reader that finds the same settled
  words before and after has read a tree that nobody was changing.
- Readers take no lock and leave nothing behind. An executor never waits for one, dead, slow or hostile.
- Nothing is synced. After a restart of the machine the words say nothing; a transaction that waits for recovery does.

The file grows by lines of a fixed size, of which the last counts: ``settled|unsettled PHASE EXECUTION BOOT CHECKSUM``.
What was written is never written over, so no reader sees half a line; a long file is begun anew.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TypeVar

from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.state_directory import locks_unsafe
from lonelycat.settings import STATE_DIRECTORY

GENERATION = "generation"
_LINE_BYTES = 256
_BLOCK_BYTES = 4096
_MAX_BYTES = 64 * 1024
_POLL_SECONDS = 0.002
_NOT_A_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})
T = TypeVar("T")


class Phase(StrEnum):
    """What an executor is doing to the tree, or has done."""

    APPLYING = "applying"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"


_SETTLED = frozenset({Phase.APPLIED, Phase.UNDONE})


class Generation:
    """The writer's side, for one execution.

    Args:
        root: an open descriptor of the workspace.
    """

    def __init__(self, filesystem: FileSystem, root: int, execution_id: str) -> None:
        self._filesystem = filesystem
        self._root = root
        self._id = execution_id
        self._fd = -1

    def mark(self, phase: Phase) -> None:
        """Say what happens to the tree from now on.

        Raises:
            StateError: ``LOCKS_UNSAFE`` when something else is in the file's place.
            OSError: no space, an I/O error.
        """
        room = b""
        if self._fd < 0:
            self._fd = self._open()
            taken = os.fstat(self._fd).st_size % _BLOCK_BYTES
            if taken > _BLOCK_BYTES - len(Phase) * _LINE_BYTES:
                # All lines of an execution go into one block: where the first had room, an undo's have it too.
                room = b"\n" * (_BLOCK_BYTES - taken)
        self._filesystem.write(self._fd, room + _line(phase, self._id))

    def _open(self) -> int:
        fs = self._filesystem
        with fs.closing(fs.open_beneath(self._root, STATE_DIRECTORY)) as state:
            try:
                fd = fs.open_append(state, GENERATION)
            except FileNotFoundError:
                return fs.create_file(state, GENERATION)
            except OSError as error:
                if error.errno in _NOT_A_FILE:
                    raise locks_unsafe(f"{STATE_DIRECTORY}/{GENERATION} is not a regular file") from error
                raise
            try:
                status = os.fstat(fd)
            except OSError:
                fs.close(fd)
                raise
            if stat.S_ISREG(status.st_mode) and status.st_size < _MAX_BYTES:
                return fd
            fs.close(fd)
            if not stat.S_ISREG(status.st_mode):
                raise locks_unsafe(f"{STATE_DIRECTORY}/{GENERATION} is not a regular file")
            fs.unlink(state, GENERATION)  # a transaction is under way, so to find none is not to find it settled
            return fs.create_file(state, GENERATION)

    def mark_if_possible(self, phase: Phase) -> None:
        """Like :meth:`mark`, but what cannot be said must not hold up an undo."""
        with suppress(StateError, OSError):
            self.mark(phase)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            self._filesystem.close(self._fd)
            self._fd = -1


def _line(phase: Phase, execution_id: str) -> bytes:
    settled = "settled" if phase in _SETTLED else "unsettled"
    name = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-.") else "?" for sign in execution_id)
    words = f"{settled} {phase} {name[:120]} {_boot()}".encode("ascii")
    padded = words.ljust(_LINE_BYTES - 18)[: _LINE_BYTES - 18]
    return padded + b" " + _checksum(padded) + b"\n"


def _checksum(words: bytes) -> bytes:
    return hashlib.sha256(words).hexdigest()[:16].encode("ascii")


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def read_settled(root: Path | str, read: Callable[[], T], *, timeout_seconds: float = 10.0) -> T:
    """Read files of a workspace without ever seeing half of a change.

    ``read`` is called, and called again as long as an execution changed the tree meanwhile; the result is that of a
    call during which the tree was whole: as before a change, or as after. What it holds may be a change that is still
    being checked, and can yet be taken back. Exceptions of ``read`` count only if the tree was whole.

    Takes no lock: neither does an execution wait for readers, nor can one be in the way of another.

    Args:
        root: the workspace.
        read: reads, and changes nothing; may be called many times.
        timeout_seconds: how long to go on for.

    Raises:
        StateError: ``WORKSPACE_UNSETTLED`` when no call was undisturbed in that time: changes follow each other too
            fast for ``read``, or an executor died and nobody has recovered.
        OSError: the state may not be looked at, for example by another user.
    """
    state = Path(root) / STATE_DIRECTORY
    ends = time.monotonic() + timeout_seconds
    while True:
        before = _settled(state)
        if before is not None:
            try:
                result = read()
            except Exception:
                if _settled(state) == before:
                    raise
            else:
                if _settled(state) == before:
                    return result
        if time.monotonic() >= ends:
            raise StateError(
                "WORKSPACE_UNSETTLED",
                f"the files of {root} were being changed for {timeout_seconds:g} s",
                "Wait for the execution to end; after one that died, run `lonelycat recover`.",
            )
        time.sleep(_POLL_SECONDS)


def _settled(state: Path) -> bytes | None:
    """Return what the file says last, or None while the tree is being changed or may be half changed.

    Words of another boot, none, or damaged ones say nothing: then a transaction that is left decides.
    """
    line = _last_line(state)
    words, checksum = line[: _LINE_BYTES - 18], line[_LINE_BYTES - 17 : -1]
    if len(line) == _LINE_BYTES and _checksum(words) == checksum:
        settled, _, _, boot = words.split()
        if boot == _boot().encode("ascii"):
            return line if settled == b"settled" else None
    return None if _waits_for_recovery(state) else line


def _last_line(state: Path) -> bytes:
    try:
        fd = os.open(state / GENERATION, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, _LINE_BYTES, max(os.fstat(fd).st_size - _LINE_BYTES, 0))
    finally:
        os.close(fd)


def _waits_for_recovery(state: Path) -> bool:
    try:
        return any((state / "tx").iterdir())
    except FileNotFoundError:
        return False
