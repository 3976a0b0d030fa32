"""What the executor expects of a file system, asked of each kind that it is said to work on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.crash.driver import execute, leftovers
from tests.crash.real_disks import KINDS, Disk, in_own_mounts
from tests.crash.trees import case, materialise, snapshot

from lonelycat.executor.filesystem import FileSystem


def _names_made_later(kind: str, base: Path) -> list[set[str]]:
    """Return what an open directory is seen to hold, by each way of listing, after names were made in it."""
    disk, filesystem = Disk(KINDS[kind], base), FileSystem()
    try:
        seen: list[set[str]] = []
        for way in (filesystem.list, filesystem.inodes):
            place = disk.place / way.__name__
            place.mkdir()
            directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            for name in ("one", "two"):
                (place / name).touch()
                seen.append(set(way(directory)))
            os.close(directory)
        return seen
    finally:
        disk.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_directory_is_listed_as_it_is(kind: str, tmp_path: Path) -> None:
    assert in_own_mounts(lambda: _names_made_later(kind, tmp_path)) == [{"one"}, {"one", "two"}] * 2


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
