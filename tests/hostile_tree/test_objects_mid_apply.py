"""An object of every kind takes a file's place, or changes the file, between the check and the change.

What is there stays or goes back, the other files are old again, and nothing hangs.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.crash.driver import execute, leftovers, recover
from tests.crash.layers import Hooked

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.filesystem import FileSystem

NAMES = ("app/a", "app/b", "other/c")
TARGET = "b"
pytestmark = pytest.mark.usefixtures("either_backup")
OLD = b"old"


class Meddler(Hooked):
    """Acts once, right before the target is exchanged with its new content or moved away."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act
        self.acted = False

    def before(self, number: int, name: str, arguments: tuple[object, ...]) -> None:
        if not self.acted and name in ("exchange", "move") and TARGET in arguments:
            self.acted = True
            self.act()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for name in NAMES:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(OLD)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/canary").write_bytes(b"alive")
    return made


@pytest.fixture
def undo_it() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _replaced(make: Callable[[Path], object]) -> Callable[[Path, ExitStack], object]:
    def act(place: Path, _: ExitStack) -> None:
        place.unlink()
        make(place)

    return act


def _socket(place: Path) -> None:
    here = Path.cwd()
    os.chdir(place.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.chdir(here)


def _immutable(place: Path, stack: ExitStack) -> None:
    subprocess.run(["chattr", "+i", place], check=True, capture_output=True)
    stack.callback(subprocess.run, ["chattr", "-i", place], check=True, capture_output=True)


def _covered(place: Path, stack: ExitStack) -> None:
    """Mount something over the file."""
    subprocess.run(["mount", "--bind", place.parents[2] / "outside/canary", place], check=True)
    stack.callback(_unmount, place)


def _directory_covered(place: Path, stack: ExitStack) -> None:
    """Mount something over the directory of the file."""
    subprocess.run(["mount", "--bind", place.parents[2] / "outside", place.parent], check=True)
    stack.callback(_unmount, place.parent)


def _unmount(place: Path) -> None:
    assert ctypes.CDLL(None).umount2(os.fsencode(place), 2) == 0


TAKES_ITS_PLACE: dict[str, Callable[[Path, ExitStack], object]] = {
    "socket": _replaced(_socket),
    "FIFO": _replaced(os.mkfifo),
    "null device": _replaced(lambda place: os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 3))),
    "block device": _replaced(lambda place: os.mknod(place, stat.S_IFBLK | 0o600, os.makedev(7, 200))),
    "link out": _replaced(lambda place: place.symlink_to(place.parents[2] / "outside/canary")),
    "link to itself": _replaced(lambda place: place.symlink_to(place.name)),
    "empty directory": _replaced(lambda place: place.mkdir()),
    "equal file": _replaced(lambda place: place.write_bytes(OLD) and place.chmod(0o600)),
}
CHANGES_IT: dict[str, Callable[[Path, ExitStack], object]] = {
    "another name": lambda place, _: os.link(place, place.with_name("another")),
    "setuid": lambda place, _: place.chmod(0o4755),
    "sticky": lambda place, _: place.chmod(0o1644),
    "immutable": _immutable,
    "a mount over it": _covered,
    "a mount over its directory": _directory_covered,
}


def _changes(operation: str) -> tuple[FileChange, ...]:
    made = [FileChange.update(name, OLD, b"new") for name in NAMES]
    if operation == "delete":
        made[1] = FileChange.delete(NAMES[1], OLD)
    return (*made, FileChange.create("app/d", b"new"))


def _kind(place: Path) -> tuple[object, ...]:
    status = place.lstat()
    content = os.readlink(place) if place.is_symlink() else place.read_bytes() if place.is_file() else None
    return status.st_ino, stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_rdev, content


@pytest.mark.parametrize("operation", ["update", "delete"])
@pytest.mark.parametrize("kind", TAKES_ITS_PLACE)
def test_what_takes_a_files_place_goes_back(kind: str, operation: str, root: Path, undo_it: ExitStack) -> None:
    place, found = root / NAMES[1], list[object]()

    def act() -> None:
        TAKES_ITS_PLACE[kind](place, undo_it)
        found.append(_kind(place))

    told = execute(Meddler(act), root, _changes(operation), keep=True)
    if kind == "equal file":  # the same bytes under git's same mode are what was expected, whoever wrote them
        assert told == "completed"
        return
    assert told == "conflict"
    assert [_kind(place)] == found
    _others_are_old(root)


@pytest.mark.parametrize("operation", ["update", "delete"])
@pytest.mark.parametrize("kind", CHANGES_IT)
def test_what_is_done_to_a_file_takes_nothing_with_it(
    kind: str, operation: str, root: Path, undo_it: ExitStack
) -> None:
    place, before = root / NAMES[1], (root / NAMES[1]).stat().st_ino
    told = execute(Meddler(lambda: CHANGES_IT[kind](place, undo_it)), root, _changes(operation), keep=True)
    undo_it.close()
    recover(FileSystem(), root)  # the backup of an immutable file is one more name of it, and can only go now
    assert told in ("conflict", "rolled_back"), told
    assert place.read_bytes() == OLD
    if kind not in ("a mount over it", "a mount over its directory"):
        assert place.stat().st_ino == before
    _others_are_old(root)


def _others_are_old(root: Path) -> None:
    assert (root / NAMES[0]).read_bytes() == (root / NAMES[2]).read_bytes() == OLD
    assert not (root / "app/d").exists()
    assert leftovers(root) == []
    outside = root.with_name("outside")
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"canary": b"alive"}
