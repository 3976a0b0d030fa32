"""What is found by listing a directory, on file systems as they are: undo and clean-up depend on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.crash.driver import CHUNK, EXECUTION, FENCE, execute, leftovers, no_blobs
from tests.crash.real_disks import KINDS, Disk, in_own_mounts
from tests.crash.trees import case, materialise, snapshot

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction


@pytest.mark.parametrize("kind", KINDS)
def test_a_listing_has_the_names_made_since_the_directory_was_opened(kind: str, tmp_path: Path) -> None:
    def names() -> tuple[list[str], list[str]]:
        disk = Disk(KINDS[kind], tmp_path)
        try:
            fs = FileSystem()
            with fs.closing(fs.open_root(disk.place)) as directory:
                for name in "abc":
                    fs.close(fs.create_file(directory, name))
                return sorted(set(fs.list(directory)) & set("abc")), sorted(set(fs.inodes(directory)) & set("abc"))
        finally:
            disk.close()

    assert in_own_mounts(names) == (["a", "b", "c"], ["a", "b", "c"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_to_a_replaced_file_is_kept(kind: str, tmp_path: Path) -> None:
    def kept() -> bytes:
        disk = Disk(KINDS[kind], tmp_path)
        try:
            root = disk.place / "workspace"
            root.mkdir()
            (root / "a").write_bytes(b"old")
            late = os.open(root / "a", os.O_WRONLY)
            changes = (FileChange.update("a", b"old", b"new"),)
            with Transaction(FileSystem(), root, EXECUTION, FENCE, no_blobs, CHUNK) as transaction:
                transaction.stage(changes, {"execution_id": EXECUTION})
                transaction.apply()
                os.pwrite(late, b"theirs", 0)
                os.close(late)
                transaction.commit({"result": {}})
                transaction.clean_up()
            return b"".join(path.read_bytes() for path in (root / ".lonelycat/quarantine").iterdir())
        finally:
            disk.close()

    assert in_own_mounts(kept) == b"theirs"


def _ends(kind: str, base: Path) -> list[tuple[str, bool, list[str]]]:
    """Return what was told of some transactions, whether the tree was right, and what they left behind."""
    disk = Disk(KINDS[kind], base)
    try:
        found = []
        for seed in range(6):
            for keep in (True, False):
                root = disk.place / f"{seed}-{keep}"
                old, changes, new = case(seed)
                materialise(root, old)
                told = execute(FileSystem(), root, changes, keep=keep)
                found.append((told, snapshot(root) == (new if keep else old), leftovers(root)))
        return found
    finally:
        disk.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_ends_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    expected = [("completed", True, []), ("rolled_back", True, [])] * 6
    assert in_own_mounts(lambda: _ends(kind, tmp_path)) == expected
