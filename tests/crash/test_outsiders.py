"""(c) Somebody else edits between any two calls: what they wrote is in the tree or in quarantine, never lost.

And the paths that they left alone are all old or all new.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.driver import Dropped, drop, execute, leftovers, quarantined, recover
from tests.crash.layers import Hooked, Meddling
from tests.crash.real_disks import in_memory
from tests.crash.trees import File, Folder, Tree, case, materialise, snapshot
from tests.tally import counting

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.filesystem import FileSystem

pytestmark = pytest.mark.usefixtures("either_backup")
TOKEN = b"somebody else wrote this"


class Outsider:
    """Does one thing to one path, if that can be done at the moment."""

    def __init__(self, root: Path, path: str, action: str, equal: bytes | None, open_fd: int | None) -> None:
        self.place = root / path
        self.path = path
        self.action = action
        self.bytes = TOKEN if equal is None else equal
        self.wrote = False
        self.open_fd = open_fd
        self.too_late: Callable[[], bool] = lambda: False
        self.ours_is_there: Callable[[], bool] = lambda: False

    def __call__(self) -> None:
        if self.ours_is_there():
            return
        try:
            getattr(self, self.action)()
        except OSError:
            return  # nothing there to do it to

    def replace(self) -> None:
        other = self.place.with_name("outsider.tmp")
        other.write_bytes(self.bytes)
        try:
            other.rename(self.place)
        except OSError:
            other.unlink()
            raise
        self.wrote = True

    def write_in_place(self) -> None:
        fd = os.open(self.place, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        try:
            os.write(fd, self.bytes)
        finally:
            os.close(fd)
        self.wrote = True

    def write_through_an_old_descriptor(self) -> None:
        if self.open_fd is not None and not self.too_late():
            os.pwrite(self.open_fd, self.bytes, 0)
            os.ftruncate(self.open_fd, len(self.bytes))
            self.wrote = True

    def write_and_set_the_time_back(self) -> None:
        if self.open_fd is not None and not self.too_late():
            status = os.fstat(self.open_fd)
            os.pwrite(self.open_fd, self.bytes[: status.st_size], 0)
            os.utime(self.open_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
            self.wrote = status.st_size >= len(self.bytes)

    def delete(self) -> None:
        self.place.unlink()

    def chmod(self) -> None:
        if not self.place.is_symlink():
            self.place.chmod(0o751)

    def make_directory_there(self) -> None:
        self.place.mkdir()
        (self.place / "theirs").write_bytes(self.bytes)
        self.wrote = True

    def move_away(self) -> None:
        self.place.rename(self.place.with_name("moved-away"))

    def replace_the_directory_by_a_link(self) -> None:
        if self.place.parent.name != "root":
            self.place.parent.rename(self.place.parent.with_name("moved-directory"))
            self.place.parent.symlink_to("/nowhere")


ACTIONS = [name for name, value in vars(Outsider).items() if callable(value) and not name.startswith("_")]


def _touches(path: str, other: str) -> bool:
    return path == other or path.startswith(other + "/") or other.startswith(path + "/")


def _one(seed: int, base: Path, at: int, action: str, afterwards: bool, ending: str, rng: random.Random) -> None:
    old, changes, new = case(seed)
    root = base / "root"
    shutil.rmtree(root, ignore_errors=True)
    materialise(root, old)
    path = rng.choice([path for change in changes for path in change.paths])
    before, after = old.get(path), new.get(path)
    equal = after.data if action == "replace" and isinstance(after, File) and rng.random() < 0.3 else None
    fd = os.open(root / path, os.O_RDWR) if isinstance(before, File) else None
    try:
        outsider = Outsider(root, path, action, equal, fd)
        layer = Meddling(at, outsider, afterwards=afterwards)
        outsider.too_late = lambda: layer.swept
        # Bytes equal to ours, written over ours, cannot be told from ours; written before, they are theirs.
        outsider.ours_is_there = lambda: equal is not None and (root / path).name in layer.touched
        told = _executed(layer, root, changes, ending)
    finally:
        if fd is not None:
            os.close(fd)
    where = (
        f"{action} on {path!r} {'after' if afterwards else 'before'} call {at}, {ending}, told {told}, seed {seed}; "
        f"again with: python -m pytest tests/crash/test_outsiders.py -k any_two --seeds {seed}:{seed + 1}"
    )
    recover(FileSystem(), root)
    _check(root, old, new, outsider, told, where, partner=_partner(changes, path))


def _executed(layer: Hooked, root: Path, changes: tuple[FileChange, ...], ending: str) -> str:
    try:
        return execute(layer, root, changes, keep=ending != "undo", between=drop if ending == "die" else lambda: None)
    except Dropped:
        return "dropped"


def _partner(changes: tuple[FileChange, ...], path: str) -> str | None:
    """Return the other end of the rename that ``path`` is one end of, if it is."""
    ends = next((change.paths for change in changes if change.old_path and path in change.paths), (path,))
    return next((end for end in ends if end != path), None)


def _check(root: Path, old: Tree, new: Tree, outsider: Outsider, told: str, where: str, *, partner: str | None) -> None:
    found = snapshot(root)
    everything = [entry.data for entry in found.values() if isinstance(entry, File)] + quarantined(root)
    if outsider.wrote:
        assert any(outsider.bytes in data for data in everything), f"lost: {where}"
    assert told != "rollback_failed", where
    assert leftovers(root) == [], where
    kept = told == "completed"
    wanted = new if kept else old
    if outsider.action == "replace_the_directory_by_a_link":
        return  # the rest of that directory went with it
    for path in {*old, *new}:
        if _touches(path, outsider.path) or isinstance(old.get(path), Folder) or isinstance(new.get(path), Folder):
            continue
        there, expected = found.get(path), wanted.get(path)
        if path == partner and outsider.action == "chmod" and isinstance(there, File) and isinstance(expected, File):
            expected = replace(expected, mode=there.mode)  # what is moved keeps the rights that somebody gave it
        assert there == expected, f"{path!r}: {where}"


def _between_any_two(seed: int, base: Path, share: float) -> None:
    old, changes, _ = case(seed)
    materialise(base / "count", old)
    layer = Hooked()
    execute(layer, base / "count", changes, keep=False)
    rng = random.Random(seed)
    with counting("outsiders") as counts:
        for at in range(layer.calls):
            for afterwards in (False, True):
                for action in ACTIONS:
                    if rng.random() < share:
                        _one(seed, base, at, action, afterwards, rng.choice(("keep", "undo", "die")), rng)
                        counts["edits"] += 1
        assert counts["edits"] > 10


def test_an_outsider_between_any_two_calls(seed: int, tmp_path: Path) -> None:
    _between_any_two(seed, tmp_path, 0.04)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_an_outsider_between_any_two_calls(outsider_seed: int, tmp_path: Path) -> None:
    in_memory(tmp_path, lambda: _between_any_two(outsider_seed, tmp_path, 1.0))
