"""Staging refuses what is not what was approved, carries over what git does not track, and touches nothing."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.unit.executor.transactions import no_blobs

from lonelycat.changes.changeset import EXECUTABLE, REGULAR, SYMLINK, BlobRef, FileChange
from lonelycat.changes.digest import sha256_hex
from lonelycat.errors import ConflictError, LonelyCatError, RefusedError
from lonelycat.executor import new_files
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction

NOBODY = 0xFFFFFFFF
Blobs = Callable[[BlobRef], Iterable[bytes]]


def _stage(root: Path, *changes: FileChange, filesystem: FileSystem | None = None, blobs: Blobs = no_blobs) -> None:
    with Transaction(filesystem or FileSystem(), root, "exec_t", 1, blobs) as transaction:
        try:
            transaction.stage(changes, {})
        finally:
            transaction.abandon()


def _run(root: Path, *changes: FileChange, blobs: Blobs = no_blobs) -> None:
    with Transaction(FileSystem(), root, "exec_t", 1, blobs) as transaction:
        transaction.stage(changes, {})
        transaction.apply()
        transaction.commit({})
        assert transaction.clean_up() == ()


def _undone(root: Path, *changes: FileChange) -> None:
    with Transaction(FileSystem(), root, "exec_t", 1, no_blobs) as transaction:
        transaction.stage(changes, {})
        transaction.apply()
        report = transaction.undo()
        assert report.restored, report
        transaction.clean_up()


# -- the base --------------------------------------------------------------------------------------------------------


def test_every_difference_is_named(root: Path) -> None:
    (root / "changed").write_bytes(b"other")
    (root / "mode").write_bytes(b"old")
    (root / "mode").chmod(0o755)
    (root / "exists").write_bytes(b"")
    (root / "directory").mkdir()
    with pytest.raises(ConflictError) as caught:
        _stage(
            root,
            FileChange.update("changed", b"old", b"new"),
            FileChange.update("mode", b"old", b"new"),
            FileChange.create("exists", b"new"),
            FileChange.delete("missing", b"old"),
            FileChange.create("directory", b"new"),
        )
    found = {item["path"]: item["code"] for item in caught.value.details["conflicts"]}  # type: ignore[attr-defined]
    assert found == {
        "changed": "FILE_CHANGED",
        "mode": "MODE_CHANGED",
        "exists": "FILE_EXISTS",
        "missing": "FILE_MISSING",
        "directory": "PATH_IS_DIRECTORY",
    }
    assert os.listdir(root / ".lonelycat/tx") == []


def test_a_directory_with_unknown_files_does_not_make_room(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/known").write_bytes(b"1")
    (root / "d/unknown").write_bytes(b"2")
    with Transaction(FileSystem(), root, "exec_t", 1, no_blobs) as transaction:
        transaction.stage((FileChange.delete("d/known", b"1"), FileChange.create("d", b"3")), {})
        with pytest.raises(ConflictError, match="DIRECTORY_NOT_EMPTY"):
            transaction.apply()
        assert transaction.undo().restored
    assert (root / "d/known").read_bytes() == b"1" and (root / "d/unknown").read_bytes() == b"2"


# -- contents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("served", "size"),
    [([b"ne"], 3), ([b"new", b"!"], 3), ([], 3), ([b"xxx"], 3), ([b"new"], 2), ([b"new"], 4)],
    ids=["short", "long", "empty", "wrong", "size below", "size above"],
)
def test_a_blob_that_is_not_what_was_approved_is_refused(served: list[bytes], size: int, root: Path) -> None:
    reference = BlobRef(sha256=sha256_hex(b"new"), size=size)
    with pytest.raises(RefusedError, match="CHECKSUM_MISMATCH"):
        _stage(root, FileChange.create("a", reference), blobs=lambda _: served)
    assert os.listdir(root) == [".lonelycat"] and os.listdir(root / ".lonelycat/tx") == []


def test_a_blob_comes_in_chunks(root: Path) -> None:
    reference = BlobRef(sha256=sha256_hex(b"new"), size=3)
    _run(root, FileChange.create("a", reference), blobs=lambda _: iter([b"n", b"", b"ew"]))
    assert (root / "a").read_bytes() == b"new"


def test_inline_bytes_that_do_not_have_their_hash_are_refused(root: Path) -> None:
    forged = FileChange.create("a", b"approved").model_copy(update={"content": b"forged"})
    with pytest.raises(RefusedError, match="CHECKSUM_MISMATCH"):
        _stage(root, forged)


def test_a_source_that_changes_while_it_is_copied_is_a_conflict_not_tampering(root: Path) -> None:
    (root / "a").write_bytes(b"old")

    class Writes(FileSystem):
        def hard_link(self, *arguments: object) -> None:
            super().hard_link(*arguments)  # type: ignore[arg-type]

        def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
            if name.endswith(".new"):
                (root / "a").write_bytes(b"changed")
            return super().create_file(directory, name, mode)

    with pytest.raises(ConflictError, match="FILE_CHANGED"):
        _stage(root, FileChange.rename("a", "b", b"old"), filesystem=Writes())


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 4096])
def test_an_impossible_link_target_is_refused(target: bytes, root: Path) -> None:
    with pytest.raises(RefusedError, match="LINK_TARGET"):
        _stage(root, FileChange.create("a", target, mode=SYMLINK))


def test_a_file_changed_between_look_and_backup_is_a_conflict(root: Path) -> None:
    (root / "a").write_bytes(b"old")

    class Swaps(FileSystem):
        def hard_link(self, *arguments: object) -> None:
            (root / "t").write_bytes(b"old")
            (root / "t").rename(root / "a")
            super().hard_link(*arguments)  # type: ignore[arg-type]

    with pytest.raises(ConflictError, match="FILE_CHANGED"):
        _stage(root, FileChange.update("a", b"old", b"new"), filesystem=Swaps())


@pytest.mark.parametrize("call", ["create_file", "write", "allocate", "hard_link", "fsync", "set_mode", "move"])
def test_no_space_while_staging_leaves_nothing(call: str, root: Path) -> None:
    (root / "a").write_bytes(b"old")
    (root / "a").chmod(0o666)  # more than the umask lets a new file have, so that its mode has to be set

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    filesystem = FileSystem()
    with Transaction(filesystem, root, "exec_t", 1, no_blobs) as transaction:
        setattr(filesystem, call, full)
        with pytest.raises(OSError, match="full"):
            transaction.stage((FileChange.update("a", b"old", b"new"),), {})
        transaction.abandon()
    assert (root / "a").read_bytes() == b"old" and (root / "a").stat().st_nlink == 1
    assert os.listdir(root / ".lonelycat/tx") == []


def test_abandoning_what_cannot_be_removed_leaves_it_to_recovery(root: Path) -> None:
    class Stuck(FileSystem):
        def unlink(self, directory: int, name: str) -> None:
            raise OSError(errno.EIO, "stuck")

    _stage(root, FileChange.create("a", b"new"), filesystem=Stuck())
    assert os.listdir(root / ".lonelycat/tx") == ["exec_t"] and not (root / "a").exists()


# -- what git does not track -----------------------------------------------------------------------------------------


@pytest.fixture
def owned(root: Path) -> Path:
    """A file with owner, mode, attributes and an access list of its own."""
    place = root / "a"
    place.write_bytes(b"old")
    place.chmod(0o640)
    os.chown(place, 1234, 2345)
    os.setxattr(place, "user.note", b"\x00kept")
    entries = ((0x01, 6, NOBODY), (0x02, 4, 1000), (0x04, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY))
    access = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)  # user 1000 may read
    os.setxattr(place, "system.posix_acl_access", access)
    return place


def _facts(place: Path) -> tuple[object, ...]:
    status = place.stat()
    attributes = {name: os.getxattr(place, name) for name in os.listxattr(place)}
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, attributes


def test_an_update_carries_over_owner_mode_and_attributes(root: Path, owned: Path) -> None:
    before = _facts(owned)
    _run(root, FileChange.update("a", b"old", b"new"))
    assert owned.read_bytes() == b"new" and _facts(owned) == before


def test_a_file_keeps_its_group_where_a_new_one_gets_the_directorys(root: Path) -> None:
    """As after ``chgrp -R`` and ``chmod -R g+s`` on a shared checkout, or on a file system mounted with ``grpid``."""
    (root / "a").write_bytes(b"old")
    _run(root, FileChange.create("b", b"b"))
    os.chown(root / ".lonelycat/tx", -1, 2345)
    (root / ".lonelycat/tx").chmod(0o2700)
    _run(root, FileChange.update("a", b"old", b"new"))
    assert (root / "a").read_bytes() == b"new" and (root / "a").stat().st_gid == os.getegid()


@pytest.mark.parametrize("new_content", [None, b"edited"])
def test_a_rename_carries_over_owner_mode_and_attributes(new_content: bytes | None, root: Path, owned: Path) -> None:
    before = _facts(owned)
    _run(root, FileChange.rename("a", "d/b", b"old", new_content=new_content))
    assert _facts(root / "d/b") == before and not owned.exists()
    assert (root / "d/b").read_bytes() == (new_content or b"old")


def test_undo_brings_the_very_file_back(root: Path, owned: Path) -> None:
    before, inode = _facts(owned), owned.stat().st_ino
    _undone(root, FileChange.update("a", b"old", b"new"))
    assert (_facts(owned), owned.stat().st_ino, owned.stat().st_nlink) == (before, inode, 1)


@pytest.mark.parametrize(
    ("before", "executable"), [(0o640, 0o750), (0o600, 0o700), (0o644, 0o755), (0o444, 0o555), (0o244, 0o355)]
)
def test_the_executable_bit_goes_where_the_read_bits_are(before: int, executable: int, root: Path) -> None:
    (root / "a").write_bytes(b"old")
    (root / "a").chmod(before)
    _undone(root, FileChange.update("a", b"old", b"old", new_mode=EXECUTABLE))
    assert stat.S_IMODE((root / "a").stat().st_mode) == before
    _run(root, FileChange.update("a", b"old", b"old", new_mode=EXECUTABLE))
    assert stat.S_IMODE((root / "a").stat().st_mode) == executable
    _run(root, FileChange.update("a", b"old", b"old", old_mode=EXECUTABLE, new_mode=REGULAR))
    assert stat.S_IMODE((root / "a").stat().st_mode) == executable & ~0o111


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o177, 0o111, 0o777, 0])
def test_a_new_file_follows_the_umask_but_keeps_its_owners_bits(
    umask: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_files, "process_umask", lambda: umask)
    changes = (FileChange.create("x", b"1", mode=EXECUTABLE), FileChange.create("r", b"1"))
    _undone(root, *changes)
    assert os.listdir(root) == [".lonelycat"]
    _run(root, *changes)
    assert stat.S_IMODE((root / "x").stat().st_mode) == 0o777 & ~umask | 0o700
    assert stat.S_IMODE((root / "r").stat().st_mode) == 0o666 & ~umask | 0o600


def test_the_umask_is_read_and_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    new_files.process_umask.cache_clear()
    before = os.umask(0o027)
    try:
        assert new_files.process_umask() == 0o027
    finally:
        os.umask(before)
        new_files.process_umask.cache_clear()


@pytest.mark.parametrize(("code", "raises"), [(errno.ENOTSUP, False), (errno.EPERM, False), (errno.ENOSPC, True)])
def test_attributes_are_left_out_only_where_they_cannot_be_kept(
    code: int, raises: bool, root: Path, owned: Path
) -> None:
    class Refuses(FileSystem):
        def set_attribute(self, fd: int, name: str, value: bytes) -> None:
            raise OSError(code, os.strerror(code))

    with Transaction(Refuses(), root, "exec_t", 1, no_blobs) as transaction:
        change = FileChange.update("a", b"old", b"new")
        if raises:
            with pytest.raises(OSError, match="space"):
                transaction.stage((change,), {})
        else:
            transaction.stage((change,), {})
        transaction.abandon()


def test_a_directory_that_undo_makes_again_has_its_mode_and_owner(root: Path) -> None:
    (root / "p/d").mkdir(parents=True)
    (root / "p/d/x").write_bytes(b"1")
    os.chown(root / "p/d", 1234, 2345)
    (root / "p/d").chmod(0o2771)
    for change in ((FileChange.delete("p/d/x", b"1"),), (FileChange.rename("p/d/x", "p/d", b"1"),)):
        _undone(root, *change)
        status = (root / "p/d").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o2771, 1234, 2345)
        assert (root / "p/d/x").read_bytes() == b"1"


def test_a_transaction_that_is_not_staged_says_so(root: Path) -> None:
    with Transaction(FileSystem(), root, "exec_t", 1, no_blobs) as transaction:
        for use in (lambda: transaction.intent, lambda: transaction.tree, transaction.apply, transaction.undo):
            with pytest.raises(LonelyCatError, match="NOT_STAGED"):
                use()
        transaction.abandon()
