"""An outsider who writes right after undo has looked, even twice: theirs stays. A conflict, not a failed rollback."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.driver import CHUNK, EXECUTION, FENCE, quarantined

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction
from lonelycat.executor.undo_report import UndoReport

LOOKS = range(1, 12)


class Watched(FileSystem):
    """After some looks at a name, somebody acts."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self.name = name
        self.act = act
        self.at: frozenset[int] = frozenset()
        self.looks = 0

    def _looked(self, name: str) -> None:
        if name == self.name and self.at:
            self.looks += 1
            if self.looks in self.at:
                self.act()

    def open_file(self, directory: int, name: str) -> int:
        try:
            return super().open_file(directory, name)
        finally:
            self._looked(name)

    def stat(self, directory: int, name: str) -> os.stat_result:
        try:
            return super().stat(directory, name)
        finally:
            self._looked(name)


def _undone(root: Path, layer: Watched, at: tuple[int, ...], changes: tuple[FileChange, ...]) -> UndoReport:
    with Transaction(layer, root, EXECUTION, FENCE, lambda _: [], CHUNK) as transaction:
        transaction.stage(changes, {})
        transaction.apply()
        layer.at = frozenset(at)
        report = transaction.undo()
        layer.at = frozenset()
        assert report.problems or transaction.clean_up() is not None
    return report


CHANGES = {
    "update": (FileChange.update("made/file", b"old", b"new"),),
    "delete": (FileChange.delete("made/file", b"old"), FileChange.create("made/other", b"new")),
    "create": (FileChange.update("other", b"old", b"new"), FileChange.create("made/file", b"new")),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_who_writes_between_two_looks_is_left_alone(kind: str, tmp_path: Path) -> None:
    for number, at in enumerate([*((first,) for first in LOOKS), *itertools.combinations(LOOKS, 2)]):
        _write_between(tmp_path / str(number), kind, at)


def _write_between(base: Path, kind: str, at: tuple[int, ...]) -> None:
    root = base / "root"
    (root / "made").mkdir(parents=True)
    for name in ("other", "made/file"):
        if (kind, name) != ("create", "made/file"):
            (root / name).write_bytes(b"old")
    written = 0

    def write() -> None:
        nonlocal written
        written += 1
        (base / "draft").write_bytes(b"theirs %d" % written)
        (base / "draft").rename(root / "made/file")

    report = _undone(root, Watched("file", write), at, CHANGES[kind])
    assert report.problems == [], at
    if written:
        last = b"theirs %d" % written
        there = root / "made/file"
        assert (there.exists() and there.read_bytes() == last) or last in quarantined(root), at


@pytest.mark.parametrize("at", LOOKS)
def test_who_replaces_a_directory_between_two_looks_is_left_alone(at: int, tmp_path: Path) -> None:
    """The directory was emptied by the change, so undo looks whether it is there again."""
    root = tmp_path / "root"
    (root / "made").mkdir(parents=True)
    (root / "made/file").write_bytes(b"old")

    def replace() -> None:
        if (root / "made").is_dir():
            (root / "made").rename(tmp_path / "moved")
        (root / "made").symlink_to(tmp_path)

    layer = Watched("made", replace)
    report = _undone(root, layer, (at,), (FileChange.delete("made/file", b"old"),))
    assert report.problems == []
    found = [place for place in (root / "made/file", tmp_path / "moved/file") if place.exists()]
    assert found or b"old" in quarantined(root)
