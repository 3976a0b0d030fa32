"""The state directory is a plain, private directory of ours, or it is refused."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.state_directory import open_state_directory


def _open(root: Path, name: str = "tx") -> None:
    os.close(open_state_directory(FileSystem(), root, name))


def _refused(root: Path) -> StateError:
    with pytest.raises(StateError) as caught:
        _open(root)
    assert caught.value.code == "STATE_DIRECTORY_UNSAFE" and caught.value.hint
    return caught.value


def test_it_is_made_private_and_ignores_itself(root: Path) -> None:
    before = os.umask(0)
    try:
        _open(root)
    finally:
        os.umask(before)
    for place in (root / ".lonelycat", root / ".lonelycat/tx"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert (root / ".lonelycat/.gitignore").read_bytes() == b"*\n"
    _open(root)


def test_what_is_there_is_kept(root: Path) -> None:
    (root / ".lonelycat").mkdir(mode=0o700)
    (root / ".lonelycat/.gitignore").write_bytes(b"mine\n")
    _open(root)
    assert (root / ".lonelycat/.gitignore").read_bytes() == b"mine\n"


@pytest.mark.parametrize("name", [".lonelycat", ".lonelycat/tx"])
def test_a_link_in_its_place_leads_nowhere(name: str, root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    (elsewhere / "tx").mkdir(parents=True)
    (root / name).parent.mkdir(mode=0o700, exist_ok=True)
    (root / name).symlink_to(elsewhere)
    _refused(root)
    assert os.listdir(elsewhere) == ["tx"] and os.listdir(elsewhere / "tx") == []


@pytest.mark.parametrize("name", [".lonelycat", ".lonelycat/tx"])
def test_a_file_in_its_place_is_refused(name: str, root: Path) -> None:
    (root / name).parent.mkdir(mode=0o700, exist_ok=True)
    (root / name).write_bytes(b"")
    _refused(root)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
@pytest.mark.parametrize("name", [".lonelycat", ".lonelycat/tx"])
def test_one_that_others_can_write_is_refused(name: str, mode: int, root: Path) -> None:
    _open(root)
    (root / name).chmod(mode)
    assert name in _refused(root).message
    (root / name).chmod(0o700)
    _open(root)


@pytest.mark.parametrize("name", [".lonelycat", ".lonelycat/tx"])
def test_one_of_somebody_else_is_refused(name: str, root: Path) -> None:
    _open(root)
    os.chown(root / name, 12345, 12345)
    assert name in _refused(root).message


def test_refusing_leaks_no_descriptors(root: Path) -> None:
    _open(root)
    (root / ".lonelycat/tx").chmod(0o777)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        _refused(root)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("look", [1, 2])
def test_one_that_cannot_be_looked_at_is_refused(look: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _open(root)
    real, looks = os.fstat, [0]

    def failing(fd: int) -> os.stat_result:
        looks[0] += 1
        if looks[0] == look:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd)

    monkeypatch.setattr(os, "fstat", failing)
    assert os.strerror(errno.EIO) in _refused(root).message


def test_it_can_be_opened_below_a_descriptor(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY)
    try:
        root.rename(root.with_name("moved"))
        os.close(open_state_directory(FileSystem(), fd, "tx"))
        os.fstat(fd)
    finally:
        os.close(fd)
    assert (root.with_name("moved") / ".lonelycat/tx").is_dir() and not root.exists()


class _Watching(FileSystem):
    """Notes the directories that are made durable; dies at the first, if it is to."""

    def __init__(self, *, dies: bool = False) -> None:
        self.dies = dies
        self.durable: list[int] = []

    def fsync(self, fd: int) -> None:
        if self.dies:
            raise KeyboardInterrupt
        self.durable.append(os.fstat(fd).st_ino)
        super().fsync(fd)


@pytest.mark.parametrize("left", ["nothing", "a state directory that somebody else made", "one whose maker died"])
def test_what_is_opened_is_durable_whoever_made_it(left: str, root: Path) -> None:
    """Else a power cut takes the transactions away with the directory they lie in, and leaves the tree half new."""
    state = root / ".lonelycat"
    if left.startswith("a state"):
        state.mkdir(mode=0o700)
    elif left.startswith("one whose"):
        with pytest.raises(KeyboardInterrupt):
            open_state_directory(_Watching(dies=True), root, "tx")
        assert (state / "tx").is_dir()
    watching = _Watching()
    os.close(open_state_directory(watching, root, "tx"))
    assert watching.durable == [root.stat().st_ino, state.stat().st_ino]
    assert stat.S_IMODE((state / "tx").stat().st_mode) == 0o700
    again = _Watching()
    os.close(open_state_directory(again, root, "tx"))
    assert again.durable == []
