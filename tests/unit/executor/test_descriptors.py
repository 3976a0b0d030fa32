"""No descriptor is left open, whichever look at one fails: a workspace that an executor let go of can be unmounted."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import LonelyCatError
from lonelycat.executor.execution_lock import LockManager
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.recovery import Recovery
from lonelycat.executor.transaction import Transaction

CHANGES = (FileChange.create("made/new", b"new"), FileChange.update("deep/old", b"old", b"new"))


class _Failing:
    """``os.fstat``, of which call ``at`` fails as it does on a disk that is gone."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0
        self._real = os.fstat

    def __call__(self, fd: int) -> os.stat_result:
        self.calls += 1
        if self.calls == self.at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._real(fd)


def _open() -> set[tuple[str, str]]:
    """Return the process's descriptors with what they are open on."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def _execute_and_recover(root: Path) -> None:
    """Die with the change applied, then recover; each goes on whatever the other came to."""
    fs = FileSystem()
    with (
        suppress(LonelyCatError, OSError),
        LockManager(root, 0).lock_execution("exec_a", "plan_a") as held,
        Transaction(fs, root, "exec_a", held.fence, lambda _: [], 4096) as transaction,
    ):
        transaction.stage(CHANGES, {})
        transaction.apply()
    with suppress(LonelyCatError, OSError):
        recovery = Recovery(fs, root, 1 << 60, chunk=4096, was_recorded=lambda _: False, record=lambda _: None)
        list(recovery.run())


def test_none_is_left_open_by_a_look_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = 0
    while True:
        at += 1
        root = tmp_path / str(at)
        (root / "deep").mkdir(parents=True)
        (root / "deep/old").write_bytes(b"old")
        before = _open()
        failing = _Failing(at)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", failing)
            _execute_and_recover(root)
        # Only what lies in a file system is the executor's; a test's server may still be at its end in a thread.
        left = {place for _, place in _open() - before if place.startswith("/")}
        assert not left, f"look {at} failed, and left open: {left}"
        if failing.calls < at:
            break
    assert at > 20
