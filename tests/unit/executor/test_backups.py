"""Copies in place of links promise no less than links do, whatever the file system is and whoever works there too."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.crash.real_disks import KINDS, MS_BIND, Disk, in_own_mounts, mount
from tests.debian import need_root
from tests.unit.executor.transactions import begin, recover, stage_of

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import ConflictError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.recovery import RecoveryOutcome

NAMES = tuple(f"file-{number}" for number in range(5))
OLD = {name: name.encode() for name in NAMES}
UPDATES = tuple(FileChange.update(name, name.encode(), b"new " + name.encode()) for name in NAMES)
_CLONE_NEWUSER = 0x10000000
pytestmark = pytest.mark.usefixtures("either_backup")


@pytest.fixture
def workspace(root: Path) -> Path:
    _write_old(root)
    return root


def _write_old(root: Path) -> None:
    for name in NAMES:
        (root / name).write_bytes(OLD[name])


class Before(FileSystem):
    """Somebody does something right before the first call of a kind."""

    def __init__(self, call: str, act: Callable[[], None]) -> None:
        self._waiting: list[Callable[[], None]] = [act]
        real = getattr(super(), call)

        def acted(*arguments: object) -> object:
            while self._waiting:
                self._waiting.pop()()
            return real(*arguments)

        setattr(self, call, acted)


def bind(place: Path) -> None:
    """Mount a file on itself, as a container has it into which single files were mounted."""
    mount(str(place), place, "", flags=MS_BIND)


def become_root_of_a_user_namespace() -> None:
    """Leave every user outside of it but the one that this process is."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no user namespace can be made")
    for name, said in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
        Path("/proc/self", name).write_text(said)


def _held(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in NAMES}


def test_a_file_system_without_hard_links_refuses_before_anything_is_changed(workspace: Path) -> None:
    class Unlinkable(FileSystem):
        def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    with begin(workspace, Unlinkable()) as transaction:
        with pytest.raises(OSError, match="not permitted"):
            transaction.stage(UPDATES, {})
        transaction.abandon()
    assert _held(workspace) == OLD and list((workspace / ".lonelycat/tx").iterdir()) == []


@pytest.mark.parametrize("call", ["hard_link", "exchange"])
def test_a_file_that_another_is_mounted_on_is_left_alone_and_the_others_go_back(call: str, workspace: Path) -> None:
    """It can neither be exchanged nor linked, whether it is mounted on before the change or in its middle."""

    def work() -> tuple[list[str], list[str]]:
        with begin(workspace, Before(call, lambda: bind(workspace / NAMES[3]))) as transaction:
            try:
                transaction.stage(UPDATES, {})
                transaction.apply()
            except OSError as error:
                assert error.errno in (errno.EXDEV, errno.EBUSY)
            if not (stage_of(workspace) / "journal").exists():
                transaction.abandon()
                return [], []
            report = transaction.undo()
            return report.conflicts, report.problems

    assert in_own_mounts(work) == ([], [])
    assert _held(workspace) == OLD


def test_another_file_with_the_inode_of_the_old_one_is_not_taken_for_it(tmp_path: Path) -> None:
    """ext4 gives a number away again at once; who removes a file and writes it anew, as git does, gets the same."""

    def work() -> tuple[list[str], bytes, list[bytes]]:
        disk = Disk(KINDS["ext4"], tmp_path)
        try:
            root, theirs = disk.place, disk.place / NAMES[3]
            _write_old(root)

            def rewrite() -> None:
                number = theirs.stat().st_ino
                theirs.unlink()
                theirs.write_bytes(b"theirs")
                reused.append(theirs.stat().st_ino == number)

            reused: list[bool] = []
            with begin(root, Before("exchange", rewrite)) as transaction:
                transaction.stage(UPDATES, {})
                with pytest.raises(ConflictError):
                    transaction.apply()
                report = transaction.undo()
                transaction.clean_up()
            assert reused == [bool(transaction.intent.inodes)], "a link keeps the number in use, a copy does not"
            kept = [place.read_bytes() for place in (root / ".lonelycat/quarantine").iterdir()]
            return report.problems, theirs.read_bytes(), kept
        finally:
            disk.close()

    assert in_own_mounts(work) == ([], b"theirs", [OLD[NAMES[3]]])


@contextmanager
def _left(root: Path, *, applied: bool = True) -> Iterator[Path]:
    """Yield the stage of a transaction that nobody finishes."""
    with begin(root) as transaction:
        transaction.stage(UPDATES, {})
        if applied:
            transaction.apply()
    yield stage_of(root)


def test_a_path_that_holds_its_old_bytes_needs_neither_link_nor_copy(workspace: Path, either_backup: str) -> None:
    """A power cut may take the archive, or the links, and leave the journal; then nothing was applied."""
    with _left(workspace, applied=False) as stage:
        for lost in [stage / "old.tar"] if either_backup == "copied" else stage.glob("*.old"):
            lost.unlink()
    again = workspace / "again"
    again.write_bytes(OLD[NAMES[3]])
    again.rename(workspace / NAMES[3])  # as a restored backup has it: another inode
    assert recover(workspace).outcome is RecoveryOutcome.UNDONE
    assert _held(workspace) == OLD


def test_a_copy_that_cannot_be_made_is_told_and_made_the_next_time(workspace: Path) -> None:
    class Full(FileSystem):
        def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
            if name.endswith(".copy"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().create_file(directory, name, mode)

    with _left(workspace) as stage:
        for name in ("000001", "000003"):
            (stage / f"{name}.new").unlink()
    found = recover(workspace, Full())
    copied = (stage / "old.tar").exists()
    if copied:
        assert found.outcome is RecoveryOutcome.FAILED and found.undo is not None
        assert "old.tar: No space left on device" in str(found.undo["problems"])
        found = recover(workspace)
    assert found.outcome is RecoveryOutcome.UNDONE and _held(workspace) == OLD


def test_a_file_whose_owner_cannot_be_given_back_is_not_taken_away(workspace: Path) -> None:
    """Root of a user namespace may rename what belongs to a user outside of it, and can neither link nor make it."""
    changes = (*UPDATES, FileChange.delete("theirs", b"theirs"))

    def work() -> None:
        become_root_of_a_user_namespace()
        with begin(workspace) as transaction:
            try:
                transaction.stage(changes, {})
            except PermissionError:  # where hard links are protected, as they are by default
                transaction.abandon()
                return
            transaction.apply()
            assert transaction.undo().restored
            transaction.clean_up()

    need_root("giving a file to somebody else")
    theirs = workspace / "theirs"
    theirs.write_bytes(b"theirs")
    os.chown(theirs, 1234, 1234)
    in_own_mounts(work)
    assert _held(workspace) == OLD and theirs.read_bytes() == b"theirs" and theirs.stat().st_uid == 1234


def test_a_file_from_its_copy_is_open_to_nobody_else(workspace: Path) -> None:
    """Everything that is made in the workspace is open to one more user; the old files are not."""
    everyone = 0xFFFFFFFF
    entries = ((1, 7, everyone), (2, 7, 1234), (4, 5, everyone), (16, 7, everyone), (32, 5, everyone))
    handed_down = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(workspace, "system.posix_acl_default", handed_down)
    with _left(workspace) as stage:
        assert "system.posix_acl_access" in os.listxattr(workspace / NAMES[3]), "the new file is"
        (stage / "000003.new").unlink()
    assert recover(workspace).outcome is RecoveryOutcome.UNDONE and _held(workspace) == OLD
    assert [name for name in NAMES if "system.posix_acl_access" in os.listxattr(workspace / name)] == []


def test_a_recovery_that_died_with_the_wrong_file_linked_is_not_believed(workspace: Path, either_backup: str) -> None:
    class Races(FileSystem):
        def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            if to_name == "000003.old":
                (workspace / "theirs").write_bytes(b"theirs")
                (workspace / "theirs").rename(workspace / NAMES[3])
                super().hard_link(directory, name, to_directory, to_name)
                raise KeyboardInterrupt
            super().hard_link(directory, name, to_directory, to_name)

    with _left(workspace, applied=False):
        pass
    if either_backup == "copied":
        with pytest.raises(KeyboardInterrupt):
            recover(workspace, Races())
    else:
        (workspace / NAMES[3]).unlink()
        (workspace / NAMES[3]).write_bytes(b"theirs")
    found = recover(workspace)
    assert found.outcome is RecoveryOutcome.CONFLICT
    assert _held(workspace) == {**OLD, NAMES[3]: b"theirs"} and (workspace / NAMES[3]).stat().st_nlink == 1
    assert [place.read_bytes() for place in workspace.glob(".lonelycat/quarantine/*")] == [OLD[NAMES[3]]]


def _lose_what_was_kept(stage: Path) -> None:
    """Take the archive away, or the links, whichever the transaction has."""
    for lost in [*stage.glob("old.tar"), *stage.glob("*.old")]:
        lost.unlink()


def _write_into(path: Path) -> None:
    path.write_bytes(b"theirs")


def _replace(path: Path) -> None:
    path.with_name("theirs").write_bytes(b"theirs")
    path.with_name("theirs").rename(path)


def _replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _write_what_the_change_would(path: Path) -> None:
    path.write_bytes(b"new " + OLD[path.name])


OUTSIDERS = (_write_into, _replace, Path.unlink, _replace_by_a_directory, _write_what_the_change_would)


def _seen(path: Path) -> bytes | str | None:
    return "a directory" if path.is_dir() else path.read_bytes() if path.exists() else None


@pytest.mark.parametrize("act", OUTSIDERS)
@pytest.mark.parametrize("more", [FileChange.create("made/here", b"new"), FileChange.delete("gone", b"gone")])
def test_where_nothing_was_applied_no_old_file_is_needed(
    workspace: Path, act: Callable[[Path], None], more: FileChange
) -> None:
    (workspace / "gone").write_bytes(b"gone")
    with begin(workspace) as transaction:
        transaction.stage((*UPDATES, more), {})
    _lose_what_was_kept(stage_of(workspace))
    act(workspace / NAMES[3])
    theirs = _seen(workspace / NAMES[3])
    found = recover(workspace)
    assert (found.outcome, found.undo and found.undo["problems"]) == (RecoveryOutcome.CONFLICT, [])
    assert found.undo is not None and found.undo["conflicts"] == [NAMES[3]]
    assert _seen(workspace / NAMES[3]) == theirs, "what they made stays"
    assert {name: (workspace / name).read_bytes() for name in NAMES if name != NAMES[3]} == {
        name: data for name, data in OLD.items() if name != NAMES[3]
    }
    assert (workspace / "gone").read_bytes() == b"gone" and not (workspace / "made").exists()
    assert not stage_of(workspace).exists()


def _torn(root: Path) -> None:
    """One exchange reached the disk on one side only."""
    staged = stage_of(root) / "000002.new"
    (root / NAMES[1]).unlink()
    os.link(staged, root / NAMES[1])


def _created(root: Path) -> None:
    (stage_of(root) / "000000.new").rename(root / "made")


def _deleted(root: Path) -> None:
    (root / "gone").rename(stage_of(root) / "000006.new")


def _deleted_and_made_anew(root: Path) -> None:
    _replace(root / "gone")


def _unstaged(root: Path) -> None:
    (stage_of(root) / "000002.new").unlink()


def _another_is_staged(root: Path) -> None:
    (stage_of(root) / "000002.new").write_bytes(b"not what was staged")


@pytest.mark.parametrize("began", [_torn, _created, _deleted, _deleted_and_made_anew, _unstaged, _another_is_staged])
def test_where_something_may_have_been_applied_an_old_file_that_is_lost_is_told(
    workspace: Path, began: Callable[[Path], None]
) -> None:
    (workspace / "gone").write_bytes(b"gone")
    with begin(workspace) as transaction:
        transaction.stage((FileChange.create("made", b"new"), *UPDATES, FileChange.delete("gone", b"gone")), {})
    _lose_what_was_kept(stage_of(workspace))
    began(workspace)
    _replace(workspace / NAMES[3])
    found = recover(workspace)
    assert found.outcome is RecoveryOutcome.FAILED and found.undo is not None and found.undo["problems"]
    assert (workspace / NAMES[3]).read_bytes() == b"theirs" and stage_of(workspace).exists()
