"""Small old files of a large change set are copied into one archive; undo gets every one of them back from there."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.executor.transactions import begin, no_blobs, recover, stage_of

from lonelycat.changes.changeset import FileChange
from lonelycat.executor import old_copies, staging
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import read_journal
from lonelycat.executor.recovery import RecoveryOutcome
from lonelycat.executor.staging import SYNC_WHOLE_FROM
from lonelycat.executor.transaction import Transaction

CONTENTS = {
    "empty": b"",
    "binary": bytes(range(256)) * 3,
    "one block": b"x" * 512,
    "a block and a byte": b"y" * 513,
    "as large as it gets": b"z" * old_copies.FILE_BYTES,
    "d/e/deep": b"deep\n",
    "\udcff\udcfe": b"a name that is no text",
    "run": b"#!/bin/sh\n",
    "private": b"secret\n",
}
MODES = {"run": 0o755, "private": 0o600}
UPDATES = tuple(
    FileChange.update(
        path,
        data,
        data + b"+",
        old_mode="100755" if path == "run" else "100644",
        new_mode="100755" if path == "run" else "100644",
    )
    for path, data in CONTENTS.items()
)


@pytest.fixture
def workspace(root: Path) -> Path:
    for path, data in CONTENTS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        (root / path).chmod(MODES.get(path, 0o644))
    return root


@contextmanager
def _staged(root: Path, *changes: FileChange, filesystem: FileSystem | None = None) -> Iterator[Transaction]:
    with begin(root, filesystem) as transaction:
        transaction.stage(changes, {})
        yield transaction


def _apply(root: Path, *changes: FileChange) -> None:
    """Leave a transaction that is applied and that nobody finishes."""
    with _staged(root, *changes) as transaction:
        transaction.apply()


def _is_old(root: Path) -> bool:
    return all(
        (root / path).read_bytes() == data
        and stat.S_IMODE((root / path).stat().st_mode) == MODES.get(path, 0o644)
        and (root / path).stat().st_nlink == 1
        for path, data in CONTENTS.items()
    )


def _numbered(root: Path, suffix: str) -> list[str]:
    return sorted(name for name in os.listdir(stage_of(root)) if name.endswith(suffix))


def _tear(root: Path, path: str) -> None:
    """Leave what a power cut may of the exchange for ``path``: one side of it, and so the old file nowhere."""
    number = list(CONTENTS).index(path)
    staged = stage_of(root) / f"{number:06d}.new"
    staged.unlink()
    os.link(root / path, staged)


# -- what is copied --------------------------------------------------------------------------------------------------


def test_a_person_can_unpack_the_archive_with_tar(workspace: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    with _staged(workspace, *UPDATES):
        archive = stage_of(workspace) / "old.tar"
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600, "it holds what private files hold"
        subprocess.run(["tar", "--extract", "--preserve-permissions", "--file", archive], cwd=unpacked, check=True)
        assert _numbered(workspace, ".old") == []
    assert _is_old(unpacked)
    for path in CONTENTS:
        assert int((unpacked / path).stat().st_mtime) == int((workspace / path).stat().st_mtime)


def test_python_reads_it_without_leniency(workspace: Path) -> None:
    with (
        _staged(workspace, *UPDATES),
        tarfile.open(stage_of(workspace) / "old.tar", "r:", errorlevel=2) as archive,
    ):
        assert {member.name: member.size for member in archive} == {p: len(d) for p, d in CONTENTS.items()}


def test_a_small_change_set_has_links_and_no_archive(workspace: Path) -> None:
    with _staged(workspace, *UPDATES[: SYNC_WHOLE_FROM - 1]):
        assert len(_numbered(workspace, ".old")) == SYNC_WHOLE_FROM - 1
        assert not (stage_of(workspace) / "old.tar").exists()
        contents = read_journal(FileSystem(), os.open(stage_of(workspace), os.O_RDONLY))
    assert contents is not None and contents.intent.body["version"] == 1, "earlier versions can recover it"


def test_a_version_that_knows_no_copies_is_kept_from_undoing(workspace: Path) -> None:
    with _staged(workspace, *UPDATES):
        contents = read_journal(FileSystem(), os.open(stage_of(workspace), os.O_RDONLY))
    assert contents is not None and contents.intent.body["version"] == 2


def test_what_a_copy_cannot_stand_for_is_linked(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_name = "long/" + "n" * 96
    sizes = {
        "large": old_copies.FILE_BYTES + 1,
        "larger": staging.SmallContents.FILE_BYTES + 1,
        "huge": 2 * 1024**2 + 1,
    }
    more = {
        **{path: b"l" * size for path, size in sizes.items()},
        long_name: b"long",
        "marked": b"marked",
        "moves": b"moves",
    }
    (workspace / "long").mkdir()
    for path, data in more.items():
        (workspace / path).write_bytes(data)
    os.setxattr(workspace / "marked", "user.mark", b"1")
    (workspace / "link").symlink_to("empty")
    changes = (
        *(FileChange.update(path, more[path], b"new") for path in (*sizes, long_name, "marked")),
        FileChange.rename("moves", "moved", b"moves"),
        FileChange.update("link", b"empty", b"run", old_mode="120000", new_mode="120000"),
    )
    with _staged(workspace, *UPDATES, *changes) as transaction:
        wanted = {
            operation.backup_name
            for operation in transaction.intent.operations
            if operation.old is not None and operation.path not in CONTENTS
        }
        assert len(wanted) == 7 and set(_numbered(workspace, ".old")) == wanted
    recover(workspace)
    # whose owner this process could not give back
    monkeypatch.setattr(old_copies.os, "geteuid", lambda: 12345)
    with _staged(workspace, *UPDATES):
        assert len(_numbered(workspace, ".old")) == len(UPDATES)


def test_a_file_that_is_read_in_parts_is_linked(workspace: Path) -> None:
    """With parts that are smaller than a small file, none of them is taken for all of it."""
    with Transaction(FileSystem(), workspace, "exec_t", 5, no_blobs, chunk=512) as transaction:
        transaction.stage(UPDATES, {})
        linked = set(_numbered(workspace, ".old"))
        long = {f"{number:06d}.old" for number, data in enumerate(CONTENTS.values()) if len(data) > 512}
        assert long <= linked and len(linked) < len(UPDATES)
        transaction.apply()
        assert transaction.undo().restored
        transaction.clean_up()
    assert _is_old(workspace)


def test_the_evidence_reads_copies_that_are_not_held_in_memory(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging.SmallContents, "TOTAL_BYTES", 600)
    read: dict[str, tuple[bytes | None, bytes | None, bytes]] = {}

    def look() -> None:
        for operation in transaction.intent.operations:
            size = len(CONTENTS[operation.path])
            read[operation.path] = (
                transaction.old_content(operation, size),
                transaction.old_content(operation, size - 1) if size else None,
                b"".join(transaction.old_chunks(operation)),
            )

    with begin(workspace) as transaction:
        transaction.stage(UPDATES, {}, look)
    assert read == {path: (data, None, data) for path, data in CONTENTS.items()}


def test_the_ballast_covers_the_names_that_undo_makes(workspace: Path) -> None:
    sizes = []
    for changes in (UPDATES[: SYNC_WHOLE_FROM - 1], UPDATES):
        with _staged(workspace, *changes) as transaction:
            status = (stage_of(workspace) / "ballast").stat()
            sizes.append(status.st_size)
            assert status.st_blocks * 512 >= status.st_size, "reserved, not only promised"
            transaction.undo()
            transaction.clean_up()
    assert sizes[1] - sizes[0] == len(UPDATES) * staging.ENTRY_BYTES
    assert 8 + len("000000.old") + 8 + len("000000.undo") <= staging.ENTRY_BYTES, "two entries of a directory"


def test_a_full_disk_while_copying_is_a_refusal_that_leaves_nothing(workspace: Path) -> None:
    class Full(FileSystem):
        def write(self, fd: int, data: bytes) -> None:
            if data[257:262] == b"ustar":
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write(fd, data)

    before = len(os.listdir("/proc/self/fd"))
    with begin(workspace, Full()) as transaction:
        with pytest.raises(OSError, match="No space"):
            transaction.stage(UPDATES, {})
        transaction.abandon()
    assert len(os.listdir("/proc/self/fd")) == before and _is_old(workspace)
    assert not stage_of(workspace).exists()


# -- undo ------------------------------------------------------------------------------------------------------------


def test_undo_puts_the_old_files_themselves_back(workspace: Path) -> None:
    inodes = {path: (workspace / path).stat().st_ino for path in CONTENTS}
    with _staged(workspace, *UPDATES) as transaction:
        transaction.apply()
        assert transaction.undo().restored
        assert transaction.clean_up() == ()
    assert _is_old(workspace) and {path: (workspace / path).stat().st_ino for path in CONTENTS} == inodes


@pytest.mark.parametrize("torn", [("empty",), ("private", "run", "\udcff\udcfe"), tuple(CONTENTS)])
def test_an_exchange_that_reached_the_disk_on_one_side_is_undone_from_the_copy(
    torn: tuple[str, ...], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = {path: (os.geteuid(), os.getegid()) for path in CONTENTS}
    if os.geteuid() == 0:
        monkeypatch.setattr(old_copies.os, "getgroups", lambda: [4321])
        os.chown(workspace / "private", 0, 4321)
        owners["private"] = (0, 4321)
    _apply(workspace, *UPDATES)
    for path in torn:
        _tear(workspace, path)
    (stage_of(workspace) / "000000.copy").write_bytes(b"what a recovery that died left")
    found = recover(workspace)
    assert found.outcome is RecoveryOutcome.UNDONE, found
    assert _is_old(workspace) and not stage_of(workspace).exists()
    assert {
        path: (status.st_uid, status.st_gid) for path in CONTENTS for status in [(workspace / path).stat()]
    } == owners


def test_a_deletion_that_reached_the_disk_on_one_side_is_undone_from_the_copy(workspace: Path) -> None:
    (workspace / "goes").write_bytes(b"goes")
    _apply(workspace, FileChange.delete("goes", b"goes"), *UPDATES)
    (number,) = (name for name in _numbered(workspace, ".new") if (stage_of(workspace) / name).read_bytes() == b"goes")
    (stage_of(workspace) / number).unlink()
    assert recover(workspace).outcome is RecoveryOutcome.UNDONE
    assert (workspace / "goes").read_bytes() == b"goes" and _is_old(workspace)


@pytest.mark.parametrize("damage", ["data", "header", "cut", "something else"])
def test_a_damaged_copy_that_is_needed_is_never_put_back(damage: str, workspace: Path) -> None:
    _apply(workspace, *UPDATES)
    _tear(workspace, "binary")
    archive = stage_of(workspace) / "old.tar"
    whole = archive.read_bytes()
    at = whole.index(b"binary\0")
    damaged = bytearray(whole)
    if damage == "data":
        damaged[at + 512 + 5] ^= 1
    elif damage == "header":
        damaged[at + 130] ^= 1
    elif damage == "cut":
        del damaged[at + 600 :]
    else:
        damaged[:] = b"not an archive at all" * 40
    archive.write_bytes(damaged)
    found = recover(workspace)
    assert found.outcome is RecoveryOutcome.FAILED and found.undo is not None
    assert "the old binary is gone, and its copy in old.tar is damaged" in str(found.undo["problems"])
    assert (workspace / "binary").read_bytes() == CONTENTS["binary"] + b"+", "not a mix of both"
    archive.write_bytes(whole)
    assert recover(workspace).outcome is RecoveryOutcome.UNDONE and _is_old(workspace)


def test_a_damaged_copy_that_is_not_needed_does_not_matter(workspace: Path) -> None:
    _apply(workspace, *UPDATES)
    (stage_of(workspace) / "old.tar").write_bytes(b"rotten")
    assert recover(workspace).outcome is RecoveryOutcome.UNDONE and _is_old(workspace)


def test_undo_cut_short_at_every_call_goes_on_where_it_was(workspace: Path) -> None:
    class Stops(FileSystem):
        left = 0

        def _count(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

        def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            self._count()
            super().hard_link(directory, name, to_directory, to_name)

        def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            self._count()
            super().move(directory, name, to_directory, to_name)

        def fsync(self, fd: int) -> None:
            self._count()
            super().fsync(fd)

    _apply(workspace, *UPDATES)
    _tear(workspace, "run")
    _tear(workspace, "d/e/deep")
    stopped = 0
    for number in range(200):
        sick = Stops()
        sick.left = number
        try:
            found = recover(workspace, sick)
        except KeyboardInterrupt:
            stopped += 1
        else:
            break
    assert found.outcome is RecoveryOutcome.UNDONE and _is_old(workspace) and stopped > 3


def test_a_file_that_is_put_in_place_of_the_old_one_while_it_is_linked_is_not_taken_for_it(workspace: Path) -> None:
    class Races(FileSystem):
        raced = False

        def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            if to_name == "000001.old" and not self.raced:
                self.raced = True
                (workspace / "theirs").write_bytes(b"theirs")
                (workspace / "theirs").rename(workspace / "binary")
            super().hard_link(directory, name, to_directory, to_name)

    with _staged(workspace, *UPDATES):
        pass  # died before anything was applied: the old files are in the tree
    found = recover(workspace, Races())
    assert found.outcome is RecoveryOutcome.CONFLICT
    assert (workspace / "binary").read_bytes() == b"theirs" and (workspace / "binary").stat().st_nlink == 1
    kept = [place.read_bytes() for place in (workspace / ".lonelycat/quarantine").iterdir()]
    assert kept == [CONTENTS["binary"]]


def test_a_file_that_got_a_second_name_meanwhile_is_a_conflict(workspace: Path) -> None:
    with _staged(workspace, *UPDATES) as transaction:
        os.link(workspace / "binary", workspace / "again")
        with pytest.raises(Exception, match="binary"):
            transaction.apply()
        transaction.undo()
        transaction.clean_up()
    assert (workspace / "again").read_bytes() == (workspace / "binary").read_bytes() == CONTENTS["binary"]
