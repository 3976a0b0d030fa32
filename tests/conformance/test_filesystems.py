"""What every system's calls must do alike: the same results, and the same errno for the same mistake.

Run over Linux as it is, Linux whose openat2 is refused (ENOSYS of an old kernel, EPERM of a filter), and macOS with
stand-ins for what only macOS has (``tests/platforms.py``).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.platforms import PLATFORMS
from tests.tally import tally

from lonelycat.executor.filesystem import FileSystem

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18
_EXCHANGE = 2


@pytest.fixture(params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fs(platform: str, monkeypatch: pytest.MonkeyPatch) -> FileSystem:
    monkeypatch.setattr(FileSystem, "platform", PLATFORMS[platform]())
    return FileSystem()


@pytest.fixture
def root(tmp_path: Path, fs: FileSystem) -> Iterator[int]:
    """A directory ``root`` with something of each kind, beside it ``outside``; yields its descriptor."""
    place = tmp_path / "root"
    (place / "d" / "e").mkdir(parents=True)
    (tmp_path / "outside" / "e").mkdir(parents=True)
    (place / "file").write_bytes(b"file")
    (place / "other").write_bytes(b"other")
    (place / "link").symlink_to("d")
    (place / "d" / "out").symlink_to(tmp_path / "outside")
    (place / "dangling").symlink_to("absent")
    (place / "itself").symlink_to("itself")
    os.mkfifo(place / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(".", os.O_RDONLY)
        os.chdir(place)
        bound.bind("socket")
        os.fchdir(here)
        os.close(here)
    with fs.closing(fs.open_root(place)) as fd:
        yield fd


def _code(call: Callable[..., object], *arguments: object) -> str:
    """Return the name of the errno that the call fails with, or "" when it does not."""
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def _holds(place: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.lstat().st_ino, path.lstat().st_mode) for path in place.iterdir()}


# -- opening beneath the root ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["d/e", "d//e", "./d/e", "d/./e", "d/e/", "d/e/."])
def test_a_directory_is_opened_by_any_spelling(fs: FileSystem, root: int, tmp_path: Path, path: str) -> None:
    with fs.closing(fs.open_beneath(root, path)) as fd:
        assert os.path.samestat(os.fstat(fd), (tmp_path / "root/d/e").stat())
        assert fs.list(fd) == [] and not os.get_inheritable(fd)
    with fs.closing(fs.open_beneath(root, ".")) as fd:
        assert os.path.samestat(os.fstat(fd), os.fstat(root))


MISTAKES = {
    "..": "EXDEV",
    "d/..": "EXDEV",
    "d/../d": "EXDEV",
    "d/../../outside": "EXDEV",
    "../root/d": "EXDEV",
    "../root": "EXDEV",
    "absent/../d": "EXDEV",
    "/": "EXDEV",
    "/etc": "EXDEV",
    "": "ENOENT",
    "absent": "ENOENT",
    "absent/e": "ENOENT",
    "d/absent": "ENOENT",
    "dangling/e": "ELOOP",
    "itself/e": "ELOOP",
    "link/e": "ELOOP",
    "link/": "ELOOP",
    "link/.": "ELOOP",
    "d/out/e": "ELOOP",
    "link/absent": "ELOOP",
    "link": "ENOTDIR",
    "d/out": "ENOTDIR",
    "dangling": "ENOTDIR",
    "itself": "ENOTDIR",
    "file": "ENOTDIR",
    "file/": "ENOTDIR",
    "file/e": "ENOTDIR",
    "fifo": "ENOTDIR",
    "fifo/e": "ENOTDIR",
    "socket": "ENOTDIR",
    "d/" + "n" * 256: "ENAMETOOLONG",
}


def test_every_mistake_has_its_errno_and_leaves_no_descriptor(fs: FileSystem, root: int) -> None:
    before = os.listdir("/proc/self/fd")
    assert {path: _code(fs.open_beneath, root, path) for path in MISTAKES} == MISTAKES
    assert os.listdir("/proc/self/fd") == before


def test_directories_that_may_not_be_listed_may_be_passed_through(fs: FileSystem, root: int, tmp_path: Path) -> None:
    (tmp_path / "root/d").chmod(0o111)

    def look() -> str:
        os.setresuid(65534, 65534, 65534)
        return _code(lambda: fs.close(fs.open_beneath(root, "d/e")))

    tmp_path.chmod(0o755)
    (tmp_path / "root/d/e").chmod(0o755)
    assert (_in_child(look) if os.geteuid() == 0 else _code(lambda: fs.close(fs.open_beneath(root, "d/e")))) == ""
    (tmp_path / "root/d").chmod(0o755)


def _in_child(work: Callable[[], str]) -> str:
    """Return what ``work`` returns in a forked process, whose namespaces and rights it may change."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = work()
        except BaseException as error:  # noqa: BLE001 (the parent asserts on it)
            told = f"raised {error!r}"
        os.write(write, told.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def _mounted(source: Path | None, target: Path, look: Callable[[], str]) -> str:
    """Return what ``look`` says while a tmpfs, or ``source``, is mounted on ``target``, in a namespace of its own."""

    def work() -> str:
        namespaces = _CLONE_NEWNS | (_CLONE_NEWUSER if os.geteuid() else 0)
        steps = [
            lambda: _LIBC.unshare(namespaces),
            lambda: _LIBC.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None),
            lambda: _LIBC.mount(
                *(b"tmpfs", bytes(target), b"tmpfs", 0, None)
                if source is None
                else (bytes(source), bytes(target), None, _MS_BIND, None)
            ),
        ]
        for number, step in enumerate(steps):
            if step() != 0:
                return f"step {number}: {os.strerror(ctypes.get_errno())}"
        return look()

    return _in_child(work)


@pytest.mark.usefixtures("root")
def test_a_mount_inside_the_root_is_a_way_out(fs: FileSystem, tmp_path: Path) -> None:
    target = tmp_path / "root/d/e"

    def look() -> str:
        (target / "below").mkdir()
        root = fs.open_root(tmp_path / "root")  # again: a descriptor stays with the namespace it was opened in
        before = os.listdir("/proc/self/fd")
        codes = [_code(fs.open_beneath, root, path) for path in ("d/e", "d/e/below")]
        return " ".join([*codes, "closed" if os.listdir("/proc/self/fd") == before else "left open"])

    assert _mounted(None, target, look) == "EXDEV EXDEV closed"


@pytest.mark.usefixtures("root")
def test_over_the_edge_of_a_second_mount_of_the_same_file_system_nothing_moves(
    fs: FileSystem, platform: str, tmp_path: Path
) -> None:
    """The walk enters it, as it has the same device number, openat2 does not; no rename or link passes its edge."""

    def look() -> str:
        root = fs.open_root(tmp_path / "root")
        entered = _code(lambda: fs.close(fs.open_beneath(root, "d/e")))
        edge = os.open(tmp_path / "root/d/e", os.O_RDONLY)
        moved = (_code(fs.move, root, "file", edge, "new"), _code(fs.exchange, root, "file", edge, "inside"))
        return " ".join([entered or "entered", *moved, _code(fs.hard_link, root, "file", edge, "new")])

    (tmp_path / "outside/inside").write_bytes(b"")
    entered, *moved = _mounted(tmp_path / "outside", tmp_path / "root/d/e", look).split(" ")
    assert moved == ["EXDEV"] * 3
    assert entered == ("EXDEV" if platform == "linux" else "entered")


def test_a_directory_that_is_swapped_for_a_link_during_the_walk_never_leads_out(
    fs: FileSystem, root: int, tmp_path: Path
) -> None:
    """Two components are swapped for links that lead out, all the time, by another process."""
    place = tmp_path / "root"
    (place / "a/b/c").mkdir(parents=True)
    (tmp_path / "outside/b/c").mkdir(parents=True)
    (place / "trap").symlink_to(tmp_path / "outside")
    (place / "a/trap").symlink_to(tmp_path / "outside/b")
    inside = (place / "a/b/c").stat()
    above = os.open(place / "a", os.O_RDONLY)
    swapper = os.fork()
    if swapper == 0:
        while True:
            _LIBC.renameat2(root, b"a", root, b"trap", _EXCHANGE)
            _LIBC.renameat2(above, b"b", above, b"trap", _EXCHANGE)
    opened = refused = escaped = 0
    deadline = time.monotonic() + 60
    try:
        while (opened < 2000 or refused < 2000) and not escaped and time.monotonic() < deadline:
            try:
                fd = fs.open_beneath(root, "a/b/c")
            except OSError as error:
                assert error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EAGAIN), error
                refused += 1
                continue
            opened += 1
            escaped += not os.path.samestat(os.fstat(fd), inside)
            os.close(fd)
    finally:
        os.kill(swapper, 9)
        os.waitpid(swapper, 0)
        os.close(above)
    tally("opening", opened=opened, refused=refused, escaped=escaped)
    assert escaped == 0
    assert opened >= 2000 and refused >= 2000, f"no race: {opened} opened, {refused} refused"


# -- renaming ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", ["other", "d", "link", "dangling", "fifo", "file"])
def test_a_move_never_replaces(fs: FileSystem, root: int, tmp_path: Path, taken: str) -> None:
    before = _holds(tmp_path / "root")
    assert _code(fs.move, root, "file", root, taken) == "EEXIST"
    assert _holds(tmp_path / "root") == before


def test_a_move_takes_the_thing_itself_to_another_directory(fs: FileSystem, root: int, tmp_path: Path) -> None:
    before = _holds(tmp_path / "root")
    with fs.closing(fs.open_beneath(root, "d/e")) as there:
        for name in ("file", "dangling", "fifo", "link"):
            fs.move(root, name, there, name)
        assert _holds(tmp_path / "root/d/e") == {name: before[name] for name in ("file", "dangling", "fifo", "link")}
        assert _code(fs.move, root, "file", there, "new") == "ENOENT"
        assert _code(fs.move, root, "other", there, "n" * 256) == "ENAMETOOLONG"


def test_an_exchange_swaps_whatever_the_two_names_hold(fs: FileSystem, root: int, tmp_path: Path) -> None:
    before = _holds(tmp_path / "root")
    inside = tmp_path / "root/d/e/inside"
    inside.write_bytes(b"inside")
    was = inside.stat().st_ino
    with fs.closing(fs.open_beneath(root, "d/e")) as there:
        fs.exchange(there, "inside", root, "file")
    assert inside.read_bytes() == b"file" and inside.stat().st_ino == before["file"][0]
    assert (tmp_path / "root/file").read_bytes() == b"inside" and (tmp_path / "root/file").stat().st_ino == was
    fs.exchange(root, "other", root, "dangling")
    fs.exchange(root, "d", root, "fifo")
    after = _holds(tmp_path / "root")
    assert [after[name] for name in ("other", "dangling", "d", "fifo")] == [
        before[name] for name in ("dangling", "other", "fifo", "d")
    ]


def test_an_exchange_needs_both(fs: FileSystem, root: int, tmp_path: Path) -> None:
    before = _holds(tmp_path / "root")
    assert _code(fs.exchange, root, "file", root, "absent") == "ENOENT"
    assert _code(fs.exchange, root, "absent", root, "file") == "ENOENT"
    assert _holds(tmp_path / "root") == before


# -- the other calls ---------------------------------------------------------------------------------------------


def test_the_same_mistake_has_the_same_errno(fs: FileSystem, root: int) -> None:
    assert {
        "open a link": _code(fs.open_file, root, "link"),
        "open a dangling link": _code(fs.open_file, root, "dangling"),
        "open a socket": _code(fs.open_file, root, "socket"),
        "open nothing": _code(fs.open_file, root, "absent"),
        "create what is there": _code(fs.create_file, root, "file"),
        "create over a dangling link": _code(fs.create_file, root, "dangling"),
        "append to a link": _code(fs.open_append, root, "link"),
        "make a link that is there": _code(fs.make_link, b"x", root, "link"),
        "make a directory that is there": _code(fs.make_directory, root, "file"),
        "link to what is there": _code(fs.hard_link, root, "file", root, "other"),
        "link a directory": _code(fs.hard_link, root, "d", root, "new"),
        "unlink a directory": _code(fs.unlink, root, "d"),
        "unlink nothing": _code(fs.unlink, root, "absent"),
        "remove a full directory": _code(fs.remove_directory, root, "d"),
        "remove a file as a directory": _code(fs.remove_directory, root, "file"),
    } == {
        "open a link": "ELOOP",
        "open a dangling link": "ELOOP",
        "open a socket": "ENXIO",
        "open nothing": "ENOENT",
        "create what is there": "EEXIST",
        "create over a dangling link": "EEXIST",
        "append to a link": "ELOOP",
        "make a link that is there": "EEXIST",
        "make a directory that is there": "EEXIST",
        "link to what is there": "EEXIST",
        "link a directory": "EPERM",
        "unlink a directory": "EISDIR",
        "unlink nothing": "ENOENT",
        "remove a full directory": "ENOTEMPTY",
        "remove a file as a directory": "ENOTDIR",
    }


def test_a_link_itself_gets_a_second_name(fs: FileSystem, root: int, tmp_path: Path) -> None:
    fs.hard_link(root, "dangling", root, "second")
    assert (tmp_path / "root/second").lstat().st_ino == (tmp_path / "root/dangling").lstat().st_ino
    assert fs.read_link(root, "second") == b"absent"


def test_a_fifo_is_opened_without_waiting(fs: FileSystem, root: int) -> None:
    with fs.closing(fs.open_file(root, "fifo")) as fd:
        assert stat.S_ISFIFO(os.fstat(fd).st_mode)


def test_attributes_come_and_go(fs: FileSystem, root: int) -> None:
    with fs.closing(fs.create_file(root, "new")) as fd:
        assert fs.kept_attributes(fd) == ()
        values = {"user.a": b"1", "user.empty": b"", "user.long": bytes(range(256)) * 4}
        for name, value in values.items():
            fs.set_attribute(fd, name, value)
        assert {name: fs.get_attribute(fd, name) for name in fs.kept_attributes(fd)} == values
        assert _code(fs.get_attribute, fd, "user.none") == "ENODATA"


def test_allocated_space_is_taken_and_syncing_takes_files_and_directories(
    fs: FileSystem, root: int, tmp_path: Path
) -> None:
    with fs.closing(fs.create_file(root, "new")) as fd:
        fs.allocate(fd, 256 * 1024)
        fs.hand_over(fd)
        fs.fsync(fd)
    status = (tmp_path / "root/new").stat()
    assert status.st_size == 256 * 1024 <= status.st_blocks * 512
    fs.fsync(root)
    assert _code(fs.syncfs, root) == ("" if fs.syncs_whole else "ENOSYS")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027, 0])
def test_the_umask_is_seen_and_nothing_is_left_of_looking(
    fs: FileSystem, mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = os.umask(mask)
    try:
        assert fs.umask() == mask
    finally:
        assert os.umask(before) == mask
    assert list(tmp_path.iterdir()) == []
