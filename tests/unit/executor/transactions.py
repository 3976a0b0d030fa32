"""Transactions without blobs, begun, and taken back by the recovery of somebody else."""

from __future__ import annotations

from pathlib import Path

from lonelycat.changes.changeset import BlobRef
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.recovery import Recovered, Recovery
from lonelycat.executor.transaction import Transaction


def no_blobs(_: BlobRef) -> list[bytes]:
    """Fail: every content is in the change itself."""
    raise AssertionError("no blobs here")


def begin(root: Path, filesystem: FileSystem | None = None) -> Transaction:
    """Return the transaction ``exec_t`` on ``root``; use it as a context."""
    return Transaction(filesystem or FileSystem(), root, "exec_t", 5, no_blobs)


def stage_of(root: Path) -> Path:
    """Return the directory of the transaction ``exec_t``."""
    return root / ".lonelycat/tx/exec_t"


def recover(root: Path, filesystem: FileSystem | None = None) -> Recovered:
    """Recover the one transaction that somebody left, and return what came of it."""
    recovery = Recovery(
        filesystem or FileSystem(), root, 6, chunk=4096, was_recorded=lambda _: False, record=lambda _: None
    )
    (found,) = recovery.run()
    return found
