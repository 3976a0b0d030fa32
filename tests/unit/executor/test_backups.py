"""Copies in place of links promise no less than links do, whatever the file system is and whoever works there too."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction

NAMES = tuple(f"file-{number}" for number in range(5))
UPDATES = tuple(FileChange.update(name, name.encode(), b"new " + name.encode()) for name in NAMES)
pytestmark = pytest.mark.usefixtures("either_backup")


def _no_blobs(_: BlobRef) -> list[bytes]:
    raise AssertionError("no blobs here")


@pytest.fixture
def workspace(root: Path) -> Path:
    for name in NAMES:
        (root / name).write_bytes(name.encode())
    return root


@contextmanager
def _begun(root: Path, filesystem: FileSystem | None = None) -> Iterator[Transaction]:
    with Transaction(filesystem or FileSystem(), root, "exec_t", 5, _no_blobs) as transaction:
        yield transaction


def _held(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in NAMES}


OLD = {name: name.encode() for name in NAMES}


def test_a_file_system_without_hard_links_refuses_before_anything_is_changed(workspace: Path) -> None:
    class Unlinkable(FileSystem):
        def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    with _begun(workspace, Unlinkable()) as transaction:
        with pytest.raises(OSError, match="not permitted"):
            transaction.stage(UPDATES, {})
        transaction.abandon()
    assert _held(workspace) == OLD and list((workspace / ".lonelycat/tx").iterdir()) == []
