"""What only macOS does, by stand-ins: its durability, its other errnos, its volumes."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tests.platforms import MacLibrary, StatFs, full_sync

from lonelycat.durable import make_durable
from lonelycat.platforms.linux import LinuxCalls
from lonelycat.platforms.macos import MacCalls


@pytest.fixture
def fd(tmp_path: Path) -> Any:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    yield descriptor
    os.close(descriptor)


class _Watched:
    """Notes what is synced, and how."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refuses: int | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.refuses = refuses
        monkeypatch.setattr(os, "fsync", lambda fd: self.calls.append(("fsync", fd)))

    def control(self, fd: int, command: int) -> int:
        assert command == 51
        self.calls.append(("F_FULLFSYNC", fd))
        if self.refuses is not None:
            raise OSError(self.refuses, os.strerror(self.refuses))
        return 0


def test_a_sync_goes_through_to_the_medium(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = _Watched(monkeypatch)
    MacCalls(MacLibrary(), watched.control).fsync(fd)
    assert watched.calls == [("F_FULLFSYNC", fd)]


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOTTY, errno.EINVAL])
def test_a_volume_without_full_sync_gets_a_plain_one(fd: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = _Watched(monkeypatch, refuses=code)
    MacCalls(MacLibrary(), watched.control).fsync(fd)
    assert watched.calls == [("F_FULLFSYNC", fd), ("fsync", fd)]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EBADF, errno.EINTR])
def test_a_failed_sync_is_told_and_not_tried_again(fd: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = _Watched(monkeypatch, refuses=code)
    with pytest.raises(OSError) as caught:
        MacCalls(MacLibrary(), watched.control).fsync(fd)
    assert caught.value.errno == code and watched.calls == [("F_FULLFSYNC", fd)]


class _Noted:
    """The calls of a barrier, noted."""

    def __init__(self, *, syncs_whole: bool) -> None:
        self.syncs_whole = syncs_whole
        self.calls: list[tuple[str, int]] = []

    def syncfs(self, fd: int) -> None:
        self.calls.append(("syncfs", fd))

    def hand_over(self, fd: int) -> None:
        self.calls.append(("hand_over", fd))

    def fsync(self, fd: int) -> None:
        self.calls.append(("fsync", fd))


def test_a_barrier_is_one_call_or_hands_over_each_and_then_syncs() -> None:
    whole, each = _Noted(syncs_whole=True), _Noted(syncs_whole=False)
    make_durable(whole, 9, lambda: pytest.fail("asked although all is synced"))
    make_durable(each, 9, lambda: iter((1, 2, 3)))
    assert whole.calls == [("syncfs", 9)]
    assert each.calls == [("hand_over", 1), ("hand_over", 2), ("hand_over", 3), ("fsync", 9)]


def test_both_systems_say_truly_whether_they_sync_a_whole_file_system(fd: int) -> None:
    assert LinuxCalls().syncs_whole and not MacCalls(MacLibrary(), full_sync).syncs_whole
    LinuxCalls().syncfs(fd)
    with pytest.raises(OSError) as caught:
        MacCalls(MacLibrary(), full_sync).syncfs(fd)
    assert caught.value.errno == errno.ENOSYS


def test_a_directory_that_is_unlinked_and_a_socket_that_is_opened_are_told_as_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"")
    directory = os.open(tmp_path, os.O_RDONLY)
    calls, real = MacCalls(MacLibrary(), full_sync), os.open

    def unlink(name: str, *, dir_fd: int) -> None:
        raise PermissionError(errno.EPERM, "as macOS says of directories", name)

    def open_(name: str, flags: int, *, dir_fd: int) -> int:
        raise OSError(errno.EOPNOTSUPP, "as macOS says of sockets", name)

    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(os, "open", open_)
    with pytest.raises(IsADirectoryError):
        calls.unlink("directory", dir_fd=directory)
    with pytest.raises(PermissionError):
        calls.unlink("file", dir_fd=directory)
    with pytest.raises(OSError) as caught:
        calls.open("socket", os.O_RDONLY, dir_fd=directory)
    assert caught.value.errno == errno.ENXIO
    monkeypatch.setattr(os, "open", real)
    os.close(directory)


def test_a_last_link_is_enotdir_whatever_the_system_says_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("absent")
    root, real = os.open(tmp_path, os.O_RDONLY), os.open

    def open_(name: str, flags: int, *, dir_fd: int) -> int:
        try:
            return real(name, flags, dir_fd=dir_fd)
        except NotADirectoryError as error:
            raise OSError(errno.ELOOP, "as macOS says of links", name) from error

    monkeypatch.setattr(os, "open", open_)
    for path, wanted in (("link", errno.ENOTDIR), ("link/x", errno.ELOOP)):
        with pytest.raises(OSError) as caught:
            MacCalls(MacLibrary(), full_sync).open_beneath(root, path)
        assert caught.value.errno == wanted
    monkeypatch.setattr(os, "open", real)
    os.close(root)


def test_a_rename_that_the_volume_does_not_know_is_told(tmp_path: Path) -> None:
    class Old(MacLibrary):
        def _rename(self, *_: object) -> int:
            raise OSError(errno.ENOTSUP, "")

    (tmp_path / "a").write_bytes(b"")
    root = os.open(tmp_path, os.O_RDONLY)
    for call in (MacCalls(Old(), full_sync).move, MacCalls(Old(), full_sync).exchange):
        with pytest.raises(OSError) as caught:
            call(root, "a", root, "b")
        assert caught.value.errno == errno.ENOTSUP
    os.close(root)
    assert os.listdir(tmp_path) == ["a"]


def test_a_volume_counts_as_local_only_when_it_says_so(fd: int) -> None:
    assert ctypes.sizeof(StatFs) == 2168
    assert not MacCalls(MacLibrary(local=True), full_sync).is_remote(fd)
    assert MacCalls(MacLibrary(local=False), full_sync).is_remote(fd)
    assert MacCalls(MacLibrary(local=True), full_sync).is_remote(-1)


def test_an_attribute_that_grows_while_it_is_read_is_read_again(fd: int) -> None:
    class Growing(MacLibrary):
        asked = 0

        def _get(self, fd: int, name: bytes, buffer: Any, size: int, position: int, options: int) -> int:
            self.asked += 1
            if self.asked == 2:
                os.setxattr(fd, name, b"x" * 1000)
            return super()._get(fd, name, buffer, size, position, options)

    os.setxattr(fd, "user.a", b"x")
    assert MacCalls(Growing(), full_sync).get_attribute(fd, "user.a") == b"x" * 1000


def test_attributes_that_only_the_system_sets_are_not_carried_over() -> None:
    calls = MacCalls(MacLibrary(), full_sync)
    assert [calls.keeps_attribute(name) for name in ("com.apple.provenance", "com.apple.FinderInfo", "user.a")] == [
        False,
        True,
        True,
    ]
