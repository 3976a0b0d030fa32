"""An outsider who writes right after undo has looked, even twice: theirs stays. A conflict, not a failed rollback."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.driver import CHUNK, EXECUTION, FENCE, quarantined

from lonelycat.changes.changeset import FileChange
from lonelycat.executor import rollback
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction
from lonelycat.executor.undo_report import UndoReport

pytestmark = pytest.mark.usefixtures("either_backup")
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


class Moving(FileSystem):
    """Somebody acts right before one exchange."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.armed = False

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        if self.armed:
            self.armed = False
            self.act()
        super().exchange(directory, name, to_directory, to_name)


def test_an_old_file_that_comes_back_into_the_stage_is_kept(tmp_path: Path) -> None:
    """Undo gives an outsider's file back, and gets by the same exchange the old one that another had moved away."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"old")

    def bring_back() -> None:
        (root / "elsewhere").rename(root / "file")

    layer = Moving(bring_back)
    with Transaction(layer, root, EXECUTION, FENCE, lambda _: [], CHUNK) as transaction:
        transaction.stage((FileChange.update("file", b"old", b"new"),), {})
        transaction.apply()
        (staged,) = (root / ".lonelycat/tx").glob("*/*.new")
        staged.rename(root / "elsewhere")
        staged.write_bytes(b"theirs")
        layer.armed = True
        report = transaction.undo()
        assert (report.problems, report.conflicts) == ([], ["file"])
        transaction.clean_up()
    assert not layer.armed
    assert (root / "file").read_bytes() == b"theirs"
    assert quarantined(root) == [b"old"]


CHANGES_IN_PLACE = {
    "update": (FileChange.update("kept/file", b"old", b"new"),),
    "delete": (FileChange.delete("kept/file", b"old"),),
}


@pytest.mark.parametrize("change", CHANGES_IN_PLACE)
@pytest.mark.parametrize("times", [1, 2])
def test_who_puts_ours_back_after_undo_has_verified_makes_no_failed_rollback(
    change: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was the change's own doing is taken back once more, as often as somebody does it again."""
    root = tmp_path / "root"
    (root / "kept").mkdir(parents=True)
    (root / "kept/other").write_bytes(b"other")
    (root / "kept/file").write_bytes(b"old")
    changes = CHANGES_IN_PLACE[change]
    real, looks = rollback.look_again, itertools.count(1)

    def meddled(*arguments: Any) -> Any:
        if next(looks) <= times:
            if change == "delete":
                (root / "kept/file").rename(tmp_path / f"taken{times}")
            else:
                (tmp_path / "ours").write_bytes(b"new")
                (tmp_path / "ours").rename(root / "kept/file")
        return real(*arguments)

    monkeypatch.setattr(rollback, "look_again", meddled)
    with Transaction(FileSystem(), root, EXECUTION, FENCE, lambda _: [], CHUNK) as transaction:
        transaction.stage(changes, {})
        transaction.apply()
        report = transaction.undo()
        assert report.problems == []
        transaction.clean_up()
    assert (root / "kept/file").read_bytes() == b"old"
