"""Drives transaction and recovery the way the pipeline does, in this process or in one that dies."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.crash.layers import KILLED

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.errors import ConflictError, LonelyCatError
from lonelycat.executor import new_files
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.layout import BALLAST
from lonelycat.executor.recovery import Recovered, Recovery
from lonelycat.executor.transaction import Transaction

EXECUTION = "exec_test"
FENCE = 7
CHUNK = 64 * 1024


class Dropped(BaseException):
    """The executor lets go without a word, as if it had died."""


def drop() -> None:
    """Let go."""
    raise Dropped


def no_blobs(reference: BlobRef) -> list[bytes]:
    """Refuse: the cases carry their contents inline."""
    raise AssertionError(f"no blob {reference}")


def execute(
    filesystem: FileSystem,
    root: Path,
    changes: tuple[FileChange, ...],
    *,
    keep: bool,
    between: Callable[[], None] = lambda: None,
    committed: Callable[[], None] = lambda: None,
) -> str:
    """Stage, apply, call ``between``, then commit or (not ``keep``) undo, and clean up; return what would be told.

    ``committed`` is called when the commit has returned: from then on the change must stay.

    That is ``refused``, ``conflict``, ``rolled_back``, ``rollback_failed``, ``indeterminate`` or ``completed``.
    """
    try:
        opened = Transaction(filesystem, root, EXECUTION, FENCE, no_blobs, CHUNK)
    except LonelyCatError:
        return "refused"
    with opened as transaction:
        try:
            transaction.stage(changes, {"execution_id": EXECUTION})
        except (LonelyCatError, OSError):
            transaction.abandon()
            return "refused"
        try:
            transaction.apply()
            between()
            if not keep:
                raise ConflictError("TEST", "the verification failed", "")
        except (LonelyCatError, OSError):
            return _roll_back(transaction)
        try:
            transaction.commit({"result": {}})
        except OSError:
            return "indeterminate"
        committed()
        _clean_up(transaction)
        return "completed"


def _roll_back(transaction: Transaction) -> str:
    try:
        report = transaction.undo()
    except (LonelyCatError, OSError):
        return "rollback_failed"
    if report.problems:
        return "rollback_failed"
    _clean_up(transaction)
    return "conflict" if report.conflicts else "rolled_back"


def _clean_up(transaction: Transaction) -> None:
    try:
        transaction.clean_up()
    except (LonelyCatError, OSError):
        return  # a warning; recovery finishes it


def recover(filesystem: FileSystem, root: Path, recorded: set[str] | None = None) -> list[Recovered]:
    """Recover ``root``; ``recorded`` is the history of completed executions, which a COMMITTED result joins."""
    history = set() if recorded is None else recorded

    def record(found: Recovered) -> None:
        if found.outcome == "committed":
            history.add(found.execution_id)

    recovery = Recovery(filesystem, root, FENCE + 1, chunk=CHUNK, was_recorded=history.__contains__, record=record)
    return list(recovery.run())


@contextmanager
def writers(seed: int) -> Iterator[None]:
    """Let two threads write the new files of every change set, as of large ones, for every other ``seed``."""
    with pytest.MonkeyPatch.context() as patch:
        if seed % 2:
            patch.setattr(new_files, "SIDE_BY_SIDE_FROM", 2)
        yield


def in_dying_process(work: Callable[[], object]) -> bool:
    """Run ``work`` in a forked process; tell whether it was killed on the way (False: it came to its end)."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"the process ended with {code}"
    return code == KILLED


def clone(source: Path, target: Path) -> None:
    """Copy a tree with modes, links and hard links, so that one crash can be recovered from in many ways."""
    seen: dict[int, str] = {}

    def copy_directory(here: str, there: str) -> None:
        os.mkdir(there)
        with os.scandir(here) as entries:
            for entry in entries:
                place, status = f"{there}/{entry.name}", entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    copy_directory(entry.path, place)
                elif status.st_ino in seen:
                    os.link(seen[status.st_ino], place, follow_symlinks=False)
                else:
                    copy_file(entry.path, place, status)
                    seen[status.st_ino] = place
        os.chmod(there, stat.S_IMODE(os.stat(here).st_mode))

    def copy_file(here: str, there: str, status: os.stat_result) -> None:
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(here), there)
            return
        with open(here, "rb", buffering=0) as old, open(there, "wb", buffering=0) as new:
            if os.path.basename(there) == BALLAST:
                os.truncate(new.fileno(), status.st_size)
            else:
                new.write(old.readall())
            os.fchmod(new.fileno(), stat.S_IMODE(status.st_mode))

    copy_directory(str(source), str(target))


def leftovers(root: Path) -> list[str]:
    """Return the transaction directories that are left."""
    transactions = root / ".lonelycat" / "tx"
    return sorted(os.listdir(transactions)) if transactions.is_dir() else []


def quarantined(root: Path) -> list[bytes]:
    """Return the contents of everything in quarantine."""
    directory = root / ".lonelycat" / "quarantine"
    if not directory.is_dir():
        return []
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
