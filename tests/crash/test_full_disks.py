"""(h) The disk is full for real, from any call of a transaction on: small ext4, btrfs and tmpfs file systems.

Somebody else takes all that is free right before the call. The change is then refused, rolled back or completed, and
the tree says the same while the disk is still full. When the space is given back nothing is lost and the change can be
made.

Undo lives on the ballast. It fails only where that cannot help, and then recovery ends it once there is room: the
ballast itself was taken between its release and its use; or what is short is not space but names, which every link
takes one of on tmpfs, and which a small btrfs with mixed block groups sets aside by the megabyte.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.crash.driver import execute, leftovers, quarantined, recover
from tests.crash.layers import Hooked
from tests.crash.real_disks import KINDS, MIB, Disk, in_own_mounts, mount, unmount
from tests.crash.trees import Tree, case, difference, materialise, snapshot
from tests.tally import counting

from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.layout import BALLAST

BTRFS = replace(KINDS["btrfs"], options="")
SMALL = {
    "ext4": replace(KINDS["ext4"], make=(*KINDS["ext4"].make, "-N", "512", "-J", "size=1"), bytes=5 * MIB),
    "btrfs": replace(BTRFS, make=BTRFS.make[:-1], bytes=112 * MIB),
    "btrfs_mixed": replace(BTRFS, bytes=16 * MIB),
}
PLACES = (*SMALL, "tmpfs", "tmpfs_names")
SHORT_OF_NAMES = ("btrfs_mixed", "tmpfs_names")
STRIDES = {"btrfs": 2, "btrfs_mixed": 4}
"""How far apart the calls are in the long run, where it takes a while to be sure that a disk is full."""
NAMES = 400
"""How many empty files are tried to use up the room for names."""
SLICE = 17
"""How far apart the calls are in the slice."""


@contextmanager
def small_disk(name: str, base: Path) -> Iterator[Path]:
    """Yield a place on a small file system."""
    if name.startswith("tmpfs"):
        place = base / "mounted"
        place.mkdir()
        mount("tmpfs", place, "tmpfs", f"size=1m,nr_inodes={300 if name in SHORT_OF_NAMES else 3000}")
        try:
            yield place
        finally:
            unmount(place)
        return
    disk = Disk(SMALL[name], base)
    try:
        yield disk.place
    finally:
        disk.close()


def fill(place: Path) -> None:
    """Take everything that is free at ``place``."""
    filler = place / "filler"
    filler.mkdir()
    fd = os.open(filler / "data", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        end = iter(range(0, 1 << 40, MIB))
        _until_full(lambda: os.posix_fallocate(fd, next(end), MIB), 1 << 20)
        os.lseek(fd, 0, os.SEEK_END)
        for size in (64 * 1024, 4096, 1):
            _until_full(lambda size=size: os.write(fd, b"\xa5" * size), MIB)  # type: ignore[misc]
        with suppress(OSError):
            os.fsync(fd)  # what was promised and is not there yet
    finally:
        os.close(fd)
    names = iter(range(NAMES))
    _until_full(lambda: os.close(os.open(filler / f"name-{next(names)}", os.O_WRONLY | os.O_CREAT, 0o600)), NAMES)


def _until_full(take: Any, most: int) -> None:
    try:
        for _ in range(most):
            take()
    except OSError as error:
        assert error.errno in (errno.ENOSPC, errno.EDQUOT), error


class Filling(Hooked):
    """The disk is filled before call ``at``."""

    def __init__(self, at: int, place: Path) -> None:
        super().__init__()
        self._at = at
        self._place = place
        self._freed = False
        self.took_the_ballast = False

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == self._at:
            fill(self._place)
            self.took_the_ballast = self._freed

    def after(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        self._freed = self._freed or (name == "unlink" and arguments[1] == BALLAST)


class Bench:
    """One case on one small disk."""

    def __init__(self, place: Path, seed: int, *, keep: bool, undo_may_fail: bool) -> None:
        self._undo_may_fail = undo_may_fail
        self.old, self.changes, self.new = case(seed)
        self.place, self.root, self.keep = place, place / "workspace", keep

    def fresh(self) -> None:
        for left in (self.root, self.place / "filler"):
            shutil.rmtree(left, ignore_errors=True)
        materialise(self.root, self.old)

    def calls(self) -> list[str]:
        self.fresh()
        layer = Hooked()
        assert execute(layer, self.root, self.changes, keep=self.keep) == ("completed" if self.keep else "rolled_back")
        return layer.trace

    def fill_at(self, at: int) -> str:
        """Fill the disk before call ``at``; return what the executor told."""
        self.fresh()
        layer = Filling(at, self.place)
        told = execute(layer, self.root, self.changes, keep=self.keep)
        failed = told == "rollback_failed"
        if failed:
            assert layer.took_the_ballast or self._undo_may_fail, "undo failed"
        else:
            assert told in ("refused", "rolled_back", "completed", "indeterminate"), told
        allowed = {"completed": [self.new], "indeterminate": [self.old, self.new]}.get(told, [self.old])
        if not failed:
            self._check(allowed)
        with suppress(LonelyCatError, OSError):  # it may find no room for its own notes
            recover(FileSystem(), self.root)
        if not failed:
            self._check(allowed)
        shutil.rmtree(self.place / "filler", ignore_errors=True)
        recover(FileSystem(), self.root)
        self._check(allowed)
        assert leftovers(self.root) == [] and quarantined(self.root) == []
        if snapshot(self.root) == self.old:
            assert execute(FileSystem(), self.root, self.changes, keep=True) == "completed"
        self._check([self.new])
        return told

    def _check(self, allowed: list[Tree]) -> None:
        found = snapshot(self.root)
        assert found in allowed, difference(found, allowed[-1])


def _fill_everywhere(name: str, seed: int, base: Path, stride: int) -> Counter[str]:
    """Fill the disk before every ``stride``-th call; return how often each end was told."""
    ends: Counter[str] = Counter()
    with counting("disk-full") as counts, small_disk(name, base) as place:
        for keep in (True, False):
            bench = Bench(place, seed, keep=keep, undo_may_fail=name in SHORT_OF_NAMES)
            trace = bench.calls()
            for at in range(seed % stride, len(trace), stride):
                try:
                    ends[bench.fill_at(at)] += 1
                except (AssertionError, LonelyCatError, OSError) as error:
                    again = f"python -m pytest tests/crash/test_full_disks.py -k {name} --seeds {seed}:{seed + 1}"
                    where = f"{name} full before call {at} ({trace[at]}), keep={keep}, seed {seed}"
                    raise AssertionError(f"{error}\n{where}; again with: {again}") from error
                counts[name] += 1
    return ends


@pytest.mark.parametrize("name", [name for name in PLACES if name != "btrfs_mixed"])
def test_full_from_any_call_on(name: str, tmp_path: Path) -> None:
    ends = in_own_mounts(lambda: _fill_everywhere(name, 0, tmp_path, SLICE))
    assert len(ends) > 1, ends


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", PLACES)
def test_long_full_from_every_call_on(name: str, full_seed: int, tmp_path: Path) -> None:
    ends = in_own_mounts(lambda: _fill_everywhere(name, full_seed, tmp_path, STRIDES.get(name, 1)))
    assert {"refused", "rolled_back", "completed"} <= set(ends), ends
    assert name in SHORT_OF_NAMES or ends["rolled_back"] > 5, ends
