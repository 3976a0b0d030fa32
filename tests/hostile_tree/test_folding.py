"""A file system that takes several names for one: nothing protected is reached, and nothing is half done or lost.

The lock refuses such a mount, which comes through FUSE, because another host may be behind it. What lies below the
lock (names, tree, transactions, undo, recovery) is tested on it directly.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.crash.driver import Dropped, drop, execute, recover
from tests.crash.trees import File, case, materialise, snapshot
from tests.hostile_tree.shim import FOLDS, MAGIC
from tests.tally import tally

from lonelycat.changes.changeset import FileChange
from lonelycat.changes.paths import check_names, check_path, is_protected
from lonelycat.errors import PathError, StateError
from lonelycat.executor.execution_lock import LockManager
from lonelycat.executor.filesystem import FileSystem
from lonelycat.platforms.linux import LinuxCalls

_MNT_DETACH = 2
CASES = 100


@contextmanager
def _mounted(base: Path, fold: str) -> Iterator[Path]:
    place = base / f"mounted-{fold}"
    place.mkdir()
    command = [sys.executable, "-m", "tests.hostile_tree.shim", str(place), fold]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root) as shim:
        assert shim.stdout is not None and shim.stderr is not None
        assert shim.stdout.readline() == "ready\n", f"not mounted (it takes root and /dev/fuse): {shim.stderr.read()}"
        try:
            yield place
        finally:
            assert ctypes.CDLL(None).umount2(os.fsencode(place), _MNT_DETACH) == 0
            assert shim.wait(30) == 0, shim.stderr.read()


@pytest.fixture(params=FOLDS)
def fold(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def mounted(fold: str, tmp_path: Path) -> Iterator[Path]:
    with _mounted(tmp_path, fold) as place:
        yield place


@pytest.fixture
def all_folded(tmp_path: Path) -> Iterator[Path]:
    with _mounted(tmp_path, "all") as place:
        yield place


def _same(root: Path, one: str, other: str) -> bool:
    return (root / other).exists() and os.path.samefile(root / one, root / other)


def test_the_lock_is_refused_on_what_may_be_shared(all_folded: Path) -> None:
    fd = os.open(all_folded, os.O_RDONLY)
    assert LinuxCalls().file_system_type(fd) == MAGIC
    os.close(fd)
    with pytest.raises(StateError, match="network"), LockManager(all_folded, 0).lock_execution("exec_a", "plan_a"):
        raise AssertionError("held")


# -- names -----------------------------------------------------------------------------------------------------------

ALIASES = [
    ".GIT/config", ".git/CONFIG", ".Git/Config", ".g\u200cit/config", ".git\u200d/config", "\ufeff.git/config",
    ".gi\u206at/config", ".GIT/conf\u200big", ".ｇｉｔ/config", ".LonelyCat/tx/x", ".lonelycat\u200c/tx/x",
]  # fmt: skip


def test_what_this_file_system_takes_for_a_protected_name_is_refused(all_folded: Path) -> None:
    for directory in (".git", ".lonelycat/tx"):
        (all_folded / directory).mkdir(parents=True)
    (all_folded / ".git/config").write_text("[core]\n")
    (all_folded / ".lonelycat/tx/x").write_text("journal\n")
    reached = [alias for alias in ALIASES if (all_folded / alias).exists()]
    assert len(reached) >= 8, "the file system folds"
    for alias in ALIASES:
        assert _refused(alias), ascii(alias)


def _refused(path: str) -> bool:
    try:
        check_path(path)
    except PathError:
        return True
    return is_protected(path)


@pytest.mark.parametrize("name", [".git", ".lonelycat"])
def test_no_character_slips_a_protected_name_past(name: str) -> None:
    """Every code point, put in at every place or taking every letter's: what folds to the name is refused."""
    slipped, folded = [], 0
    keys = {rule: FOLDS[rule](name) for rule in FOLDS}
    for point in (*range(0x20, 0xD800), *range(0xE000, 0x110000)):
        sign = chr(point)
        for at in range(len(name) + 1):
            for written in (name[:at] + sign + name[at:], name[:at] + sign + name[at + 1 :]):
                if written != name and any(FOLDS[rule](written) == keys[rule] for rule in FOLDS):
                    folded += 1
                    if not _refused(f"{written}/config"):
                        slipped.append(written)
        if point == 0x2FFF:
            break  # what folds lies below; the rest is looked at letter by letter
    for point in range(0x3000, 0x110000):
        if not 0xD800 <= point < 0xE000 and FOLDS["all"](chr(point)) in {"", *name}:
            folded += 1
            if not _refused(name.replace(FOLDS["all"](chr(point)) or "g", chr(point), 1) + "/config"):
                slipped.append(chr(point))
    assert folded > 20
    assert slipped == [], [ascii(written) for written in slipped]


TWINS = {
    "case": ("read.md", "READ.md"),
    "form": (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")),
    "all": ("straße", "STRASSE"),
}


def test_twins_of_one_change_set_are_refused(fold: str) -> None:
    with pytest.raises(PathError, match="PATH_TWIN"):
        check_names(TWINS[fold])


# -- transactions ----------------------------------------------------------------------------------------------------


def test_the_twin_of_what_is_there_is_a_conflict_and_not_overwritten(fold: str, mounted: Path) -> None:
    one, other = TWINS[fold]
    (mounted / one).write_bytes(b"theirs")
    assert _same(mounted, one, other)
    assert execute(FileSystem(), mounted, (FileChange.create(other, b"ours"),), keep=True) == "refused"
    assert snapshot(mounted) == {one: File(b"theirs")}


@pytest.mark.parametrize("keep", [True, False])
def test_an_update_by_its_twins_name_changes_the_one_file(fold: str, keep: bool, mounted: Path) -> None:
    one, other = TWINS[fold]
    (mounted / one).write_bytes(b"old")
    told = execute(FileSystem(), mounted, (FileChange.update(other, b"old", b"new"),), keep=keep)
    assert told == ("completed" if keep else "rolled_back")
    assert snapshot(mounted) == {one: File(b"new" if keep else b"old")}


@pytest.mark.parametrize("keep", [True, False])
def test_a_deletion_by_its_twins_name_comes_back(fold: str, keep: bool, mounted: Path) -> None:
    one, other = TWINS[fold]
    (mounted / one).write_bytes(b"old")
    told = execute(FileSystem(), mounted, (FileChange.delete(other, b"old"),), keep=keep)
    assert told == ("completed" if keep else "rolled_back")
    assert [entry.data for entry in snapshot(mounted).values()] == ([] if keep else [b"old"])  # type: ignore[union-attr]  # files


@pytest.mark.parametrize("keep", [True, False])
def test_a_file_below_the_twin_of_a_directory(fold: str, keep: bool, mounted: Path) -> None:
    one, other = TWINS[fold]
    (mounted / one).mkdir()
    (mounted / one / "there").write_bytes(b"theirs")
    told = execute(FileSystem(), mounted, (FileChange.create(f"{other}/new", b"ours"),), keep=keep)
    assert told == ("completed" if keep else "rolled_back")
    found = snapshot(mounted)
    assert found[f"{one}/there"] == File(b"theirs")
    assert (f"{one}/new" in found) is keep


def _every_case(root: Path, fold: str, cases: range) -> int:
    done = 0
    for seed in cases:
        old, changes, new = case(seed)
        if any(len({FOLDS[fold](path) for path in tree}) < len(tree) for tree in (old, new, {**old, **new})):
            continue  # not one that can be on such a file system
        done += 1
        for ending, wanted in (("keep", new), ("undo", old), ("die", old)):
            place = root / f"{seed}.{ending}"
            materialise(place, old)
            where = f"seed {seed}, {ending}"
            if ending == "die":
                with pytest.raises(Dropped):
                    execute(FileSystem(), place, changes, keep=True, between=drop)
                recover(FileSystem(), place)
            else:
                told = execute(FileSystem(), place, changes, keep=ending == "keep")
                assert told == {"keep": "completed", "undo": "rolled_back"}[ending], where
            assert snapshot(place) == wanted, where
    tally("folding", transactions=3 * done)
    return done


def test_all_or_nothing(fold: str, mounted: Path) -> None:
    assert _every_case(mounted, fold, range(CASES // 10)) > 0


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_all_or_nothing(fold: str, mounted: Path) -> None:
    assert _every_case(mounted, fold, range(CASES)) > CASES / 2
