"""What recovery makes of each thing that a dead executor, or somebody else, may have left."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.errors import ConflictError, StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import RecordType
from lonelycat.executor.recovery import Recovered, Recovery, RecoveryOutcome, pending_transactions
from lonelycat.executor.rollback import undo
from lonelycat.executor.transaction import Transaction

CHANGES = (FileChange.update("a", b"old", b"new"), FileChange.create("d/b", b"new"), FileChange.delete("e/c", b"old"))
IDENTITY: dict[str, object] = {"execution_id": "exec_t", "who": "ü"}


def _blobs(_: BlobRef) -> list[bytes]:
    return []


pytestmark = pytest.mark.usefixtures("either_backup")


@pytest.fixture
def workspace(root: Path) -> Path:
    (root / "a").write_bytes(b"old")
    (root / "e").mkdir()
    (root / "e/c").write_bytes(b"old")
    return root


@contextmanager
def _left(root: Path, name: str = "exec_t", fence: int = 5) -> Iterator[Transaction]:
    """A transaction that is staged and applied, and that nobody finishes."""
    with Transaction(FileSystem(), root, name, fence, _blobs) as transaction:
        transaction.stage(CHANGES, IDENTITY)
        transaction.apply()
        yield transaction


def _recover(
    root: Path, *, fence: int = 6, recorded: bool = False, filesystem: FileSystem | None = None
) -> tuple[list[Recovered], list[Recovered]]:
    told: list[Recovered] = []
    recovery = Recovery(
        filesystem or FileSystem(), root, fence, chunk=4096, was_recorded=lambda _: recorded, record=told.append
    )
    return list(recovery.run()), told


def _is_old(root: Path) -> bool:
    return (root / "a").read_bytes() == b"old" and not (root / "d").exists() and (root / "e/c").read_bytes() == b"old"


def _is_new(root: Path) -> bool:
    return (root / "a").read_bytes() == b"new" and (root / "d/b").read_bytes() == b"new" and not (root / "e").exists()


def _tx(root: Path) -> Path:
    return root / ".lonelycat/tx"


def test_nothing_is_pending_where_nothing_is(root: Path) -> None:
    assert pending_transactions(FileSystem(), root) == []
    assert not (root / ".lonelycat").exists()


def test_what_was_not_committed_is_undone_and_told(workspace: Path) -> None:
    with _left(workspace):
        pass
    assert pending_transactions(FileSystem(), workspace) == ["exec_t"] and _is_new(workspace)
    (found,), told = _recover(workspace)
    assert told == [found]
    assert (found.outcome, found.identity, found.restarts) == (RecoveryOutcome.UNDONE, IDENTITY, ())
    assert _is_old(workspace) and os.listdir(_tx(workspace)) == []
    assert _recover(workspace) == ([], [])


def test_what_was_committed_stays_and_is_told_with_its_body(workspace: Path) -> None:
    with _left(workspace) as transaction:
        transaction.commit({"result": 1})
    (found,), _ = _recover(workspace)
    assert (found.outcome, found.committed) == (RecoveryOutcome.COMMITTED, {"result": 1})
    assert _is_new(workspace) and os.listdir(_tx(workspace)) == []


def test_begun_restarts_are_told(workspace: Path) -> None:
    with _left(workspace) as transaction:
        transaction.note(RecordType.RESTARTS, {"services": ["web"]})
    (found,), _ = _recover(workspace)
    assert (found.restarts, found.outcome) == (("web",), RecoveryOutcome.UNDONE)


def test_without_a_journal_the_directory_just_goes(workspace: Path) -> None:
    (_tx(workspace) / "exec_x").mkdir(parents=True, mode=0o700)
    (workspace / ".lonelycat").chmod(0o700)
    _tx(workspace).chmod(0o700)
    (_tx(workspace) / "exec_x" / "000000.new").write_bytes(b"half")
    (_tx(workspace) / "exec_x" / "journal.draft").write_bytes(b"half")
    (found,), told = _recover(workspace)
    assert (found.outcome, found.identity) == (RecoveryOutcome.NOTHING_APPLIED, {}) and told == [found]
    assert os.listdir(_tx(workspace)) == [] and _is_old(workspace)


def test_a_finished_undo_is_not_repeated_but_swept(workspace: Path) -> None:
    with (workspace / "a").open("r+b"), _left(workspace) as transaction, (workspace / "d/b").open("r+b") as service:
        assert transaction.undo().restored
        service.write(b"LOG")  # to the file that undo took out, before anybody cleaned up
    (workspace / "a").write_bytes(b"a later edit")
    (found,), _ = _recover(workspace)
    assert found.outcome is RecoveryOutcome.UNDONE
    assert (workspace / "a").read_bytes() == b"a later edit"
    ((path, place),) = found.kept
    assert (workspace / "a").stat().st_nlink == 1, "a second name would make it untouchable"
    assert path == "d/b" and (workspace / place).read_bytes() == b"LOG"


def test_an_undo_that_had_problems_is_tried_again(workspace: Path) -> None:
    class Sick(FileSystem):
        def exchange(self, *arguments: object) -> None:
            raise OSError(5, "I/O error")

    with _left(workspace):
        pass
    for _ in range(2):
        (found,), told = _recover(workspace, filesystem=Sick())
        assert found.outcome is RecoveryOutcome.FAILED and told == [found]
        assert found.undo is not None and "a" in str(found.undo["problems"])
        assert pending_transactions(FileSystem(), workspace) == ["exec_t"]
    assert not (workspace / "d").exists() and (workspace / "e/c").exists(), "the other paths are back"
    assert not (workspace / ".lonelycat/quarantine").exists()
    (found,), _ = _recover(workspace)
    assert found.outcome is RecoveryOutcome.UNDONE and _is_old(workspace)
    assert (workspace / "a").stat().st_nlink == 1


def test_what_somebody_else_changed_meanwhile_stays_and_the_old_is_kept(workspace: Path) -> None:
    with _left(workspace):
        pass
    (workspace / "a").write_bytes(b"theirs")
    (workspace / "e").mkdir()
    (workspace / "e/c").write_bytes(b"theirs")
    (workspace / "d/more").write_bytes(b"theirs")
    (found,), _ = _recover(workspace)
    assert found.outcome is RecoveryOutcome.CONFLICT
    assert (workspace / "a").read_bytes() == (workspace / "e/c").read_bytes() == b"theirs"
    assert os.listdir(workspace / "d") == ["more"]
    kept = [place.read_bytes() for place in (workspace / ".lonelycat/quarantine").iterdir()]
    assert kept == [b"old", b"old"]


def test_a_file_with_our_very_bytes_made_before_ours_came_is_left(workspace: Path) -> None:
    class Late(FileSystem):
        def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            if to_name == "b":
                (workspace / "d/b").write_bytes(b"new")
            super().move(directory, name, to_directory, to_name)

    with Transaction(Late(), workspace, "exec_t", 5, _blobs) as transaction:
        transaction.stage(CHANGES, IDENTITY)
        with pytest.raises(Exception, match="FILE_EXISTS"):
            transaction.apply()
    (found,), _ = _recover(workspace)
    assert found.outcome is RecoveryOutcome.CONFLICT and (workspace / "d/b").read_bytes() == b"new"


@pytest.mark.parametrize("path", ["a", "d/b"])
def test_an_edit_right_before_undo_takes_ours_out_stays_in_its_place(path: str, workspace: Path) -> None:
    class Races(FileSystem):
        def _before(self, name: str) -> None:
            if name == path.rpartition("/")[2] and (workspace / path).read_bytes() == b"new":
                (workspace / "theirs").write_bytes(b"theirs")
                (workspace / "theirs").rename(workspace / path)

        def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            self._before(to_name)
            super().exchange(directory, name, to_directory, to_name)

        def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            self._before(name)
            super().move(directory, name, to_directory, to_name)

    with _left(workspace):
        pass
    (found,), _ = _recover(workspace, filesystem=Races())
    assert found.outcome is RecoveryOutcome.CONFLICT and (workspace / path).read_bytes() == b"theirs"


def test_an_edit_to_our_very_bytes_made_before_ours_came_is_left(workspace: Path) -> None:
    class Stops(FileSystem):
        def exchange(self, *arguments: object) -> None:
            (workspace / "theirs").write_bytes(b"new")
            (workspace / "theirs").rename(workspace / "a")
            raise OSError(5, "I/O error")

    with Transaction(Stops(), workspace, "exec_t", 5, _blobs) as transaction:
        transaction.stage(CHANGES, IDENTITY)
        with pytest.raises(OSError, match="I/O"):
            transaction.apply()
    inode = (workspace / "a").stat().st_ino
    (found,), _ = _recover(workspace)
    assert found.outcome is RecoveryOutcome.CONFLICT
    assert (workspace / "a").stat().st_ino == inode and not (workspace / "d").exists()


@pytest.mark.parametrize("content", [b"theirs", b"new"])
def test_an_old_file_that_was_written_in_place_keeps_its_one_name(
    content: bytes, workspace: Path, either_backup: str
) -> None:
    class Stops(FileSystem):
        def exchange(self, *arguments: object) -> None:
            (workspace / "a").write_bytes(content)
            raise OSError(5, "I/O error")

    with Transaction(Stops(), workspace, "exec_t", 5, _blobs) as transaction:
        transaction.stage(CHANGES, IDENTITY)
        with pytest.raises(OSError, match="I/O"):
            transaction.apply()
    (found,), _ = _recover(workspace)
    assert found.outcome is RecoveryOutcome.CONFLICT and (workspace / "a").read_bytes() == content
    kept = [place.read_bytes() for place in workspace.glob(".lonelycat/quarantine/*")]
    assert (workspace / "a").stat().st_nlink == 1 and kept == ([b"old"] if either_backup == "copied" else [])


@pytest.mark.parametrize("at", [0, 6, 40, -1])
def test_a_damaged_journal_is_set_aside_with_all_backups(at: int, workspace: Path) -> None:
    with _left(workspace):
        pass
    journal = _tx(workspace) / "exec_t/journal"
    data = bytearray(journal.read_bytes())
    data[at] ^= 0x40
    journal.write_bytes(data)
    (found,), told = _recover(workspace)
    assert found.outcome is RecoveryOutcome.DAMAGED and told == [found]
    place = workspace / ".lonelycat/quarantine/exec_t.transaction"
    assert str(place.relative_to(workspace)) in found.message
    assert b"old" in [each.read_bytes() for each in place.iterdir()]
    assert _is_new(workspace) and os.listdir(_tx(workspace)) == []


def test_a_damaged_journal_is_recorded_before_it_is_moved(workspace: Path) -> None:
    with _left(workspace):
        pass
    (_tx(workspace) / "exec_t/journal").write_bytes(b"garbage")
    there: list[bool] = []
    recovery = Recovery(
        FileSystem(),
        workspace,
        6,
        chunk=4096,
        was_recorded=lambda _: False,
        record=lambda _: there.append((_tx(workspace) / "exec_t").exists()),
    )
    list(recovery.run())
    assert there == [True]


def test_a_second_damaged_transaction_of_the_same_name_finds_a_place(workspace: Path) -> None:
    for _ in range(2):
        (_tx(workspace) / "exec_t").mkdir(parents=True)
        (workspace / ".lonelycat").chmod(0o700)
        _tx(workspace).chmod(0o700)
        (_tx(workspace) / "exec_t/journal").write_bytes(b"garbage")
        (found,), _ = _recover(workspace)
        assert found.outcome is RecoveryOutcome.DAMAGED
    assert len(os.listdir(workspace / ".lonelycat/quarantine")) == 2


@pytest.mark.parametrize("make", ["file", "link", "fifo"])
def test_something_else_among_the_transactions_is_set_aside(make: str, workspace: Path) -> None:
    with _left(workspace, "exec_z"):
        pass
    stray = _tx(workspace) / "exec_stray"
    if make == "file":
        stray.write_bytes(b"")
    elif make == "link":
        stray.symlink_to("exec_z")
    else:
        os.mkfifo(stray)
    found, _ = _recover(workspace)
    assert [(each.execution_id, str(each.outcome)) for each in found] == [
        ("exec_stray", "damaged"),
        ("exec_z", "undone"),
    ]
    assert _is_old(workspace) and os.listdir(_tx(workspace)) == []


def test_a_journal_of_another_version_is_left_for_that_version(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lonelycat.executor.layout import Intent

    real = Intent.to_body
    with monkeypatch.context() as patch:
        patch.setattr(Intent, "to_body", lambda self: {**real(self), "version": 3})
        with _left(workspace):
            pass
    with pytest.raises(StateError, match="JOURNAL_VERSION"):
        _recover(workspace)
    assert pending_transactions(FileSystem(), workspace) == ["exec_t"] and _is_new(workspace)


def test_a_journal_under_a_newer_lock_is_refused(workspace: Path) -> None:
    with _left(workspace, fence=9):
        pass
    with pytest.raises(StateError, match="FENCE_STALE"):
        _recover(workspace, fence=8)
    assert pending_transactions(FileSystem(), workspace) == ["exec_t"]
    (found,), _ = _recover(workspace, fence=9)
    assert found.outcome is RecoveryOutcome.UNDONE


def test_a_failing_record_keeps_the_transaction(workspace: Path) -> None:
    with _left(workspace) as transaction:
        transaction.commit({})

    def fail(_: Recovered) -> None:
        raise StateError("DATABASE", "no database", "")

    recovery = Recovery(FileSystem(), workspace, 6, chunk=4096, was_recorded=lambda _: False, record=fail)
    with pytest.raises(StateError, match="no database"):
        list(recovery.run())
    assert pending_transactions(FileSystem(), workspace) == ["exec_t"]


def test_many_undos_cut_short_are_no_conflict(workspace: Path) -> None:
    class Dies(FileSystem):
        def exchange(self, *arguments: object) -> None:
            raise KeyboardInterrupt

    with _left(workspace):
        pass
    for _ in range(12):
        with pytest.raises(KeyboardInterrupt):
            _recover(workspace, filesystem=Dies())
    (found,), _ = _recover(workspace)
    assert found.outcome is RecoveryOutcome.UNDONE and _is_old(workspace)


def test_a_root_that_is_replaced_before_the_tree_is_opened_is_not_worked_in(workspace: Path) -> None:
    """The transaction directory would lie in one, and the files that it speaks of in the other."""
    twin = workspace.with_name("twin")
    shutil.copytree(workspace, twin)
    with Transaction(FileSystem(), workspace, "exec_t", 5, lambda _: []) as transaction:
        workspace.rename(workspace.with_name("away"))
        twin.rename(workspace)
        with pytest.raises(ConflictError, match="ROOT_REPLACED"):
            transaction.stage((FileChange.create("new.txt", b"new"),), {})
        transaction.abandon()
    assert pending_transactions(FileSystem(), workspace) == []
    assert pending_transactions(FileSystem(), workspace.with_name("away")) == []


def test_recovery_does_not_work_in_another_root_than_the_one_it_read(workspace: Path) -> None:
    with _left(workspace):
        pass
    twin = workspace.with_name("twin")
    shutil.copytree(workspace, twin)

    class Replaces(FileSystem):
        def list(self, directory: int) -> list[str]:
            names = super().list(directory)
            if "exec_t" in names and twin.exists():
                workspace.rename(workspace.with_name("away"))
                twin.rename(workspace)
            return names

    before = sorted(os.listdir(workspace))
    recovery = Recovery(Replaces(), workspace, 6, chunk=4096, was_recorded=lambda _: False, record=lambda _: None)
    with pytest.raises(ConflictError, match="ROOT_REPLACED"):
        list(recovery.run())
    assert sorted(os.listdir(workspace)) == before and _is_new(workspace)
    assert pending_transactions(FileSystem(), workspace.with_name("away")) == ["exec_t"]


@pytest.mark.parametrize("lost", [("000000.old",), ("000001.old", "000002.old"), None])
def test_a_journal_that_outlived_its_backups_belongs_to_a_transaction_that_never_began(
    lost: tuple[str, ...] | None, root: Path, workspace: Path
) -> None:
    """INTENT's name and the names of the backups become durable together, so a power cut may leave the first alone."""
    with Transaction(FileSystem(), root, "exec_t", 5, _blobs) as transaction:
        transaction.stage(CHANGES, IDENTITY)
    for backup in (root / ".lonelycat/tx/exec_t").glob("*.old"):
        if lost is None or backup.name in lost:
            backup.unlink()
    (found,), _ = _recover(root)
    assert found.outcome is RecoveryOutcome.UNDONE and _is_old(root)
    assert not (root / ".lonelycat/quarantine").exists() and pending_transactions(FileSystem(), root) == []


def test_a_directory_that_undo_makes_again_is_durable_before_it_has_its_place_and_there_before_it_is_filled(
    root: Path, workspace: Path
) -> None:
    """Otherwise a power cut leaves it with a mode of ours, or filled in the stage, which cannot be removed."""
    done: list[str] = []

    class Watching(FileSystem):
        def set_mode(self, fd: int, mode: int) -> None:
            done.append(f"mode of {os.fstat(fd).st_ino}")
            super().set_mode(fd, mode)

        def fsync(self, fd: int) -> None:
            done.append(f"fsync of {os.fstat(fd).st_ino}")
            super().fsync(fd)

        def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            done.append(f"move of {self.stat(directory, name).st_ino}")
            super().move(directory, name, to_directory, to_name)

        def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            done.append(f"link in {os.fstat(to_directory).st_ino}")
            super().hard_link(directory, name, to_directory, to_name)

        def write(self, fd: int, data: bytes) -> None:
            done.append("says so" if b'"type":"undone"' in data else "write")
            super().write(fd, data)

    with _left(root):
        pass
    assert not (root / "e").exists()
    stage = f"fsync of {(root / '.lonelycat/tx/exec_t').stat().st_ino}"
    _recover(root, filesystem=Watching())
    made = (root / "e").stat().st_ino
    above = f"fsync of {root.stat().st_ino}"
    order = [what for what in done if what.endswith(f" {made}") or what == above]
    assert order[:5] == [f"mode of {made}", f"fsync of {made}", f"move of {made}", above, f"link in {made}"]
    assert done.index(f"link in {made}") < done.index(stage) < done.index("says so")  # it has left the stage for good


def test_a_free_name_is_found_without_making_up_all_of_them(root: Path, workspace: Path) -> None:
    """Undo asks for one at every path."""
    looked: list[str] = []

    class Watching(FileSystem):
        def stat(self, directory: int, name: str) -> os.stat_result:
            looked.append(name)
            return super().stat(directory, name)

    with Transaction(FileSystem(), root, "exec_t", 5, _blobs, chunk=4096) as transaction:
        transaction.stage(CHANGES, IDENTITY)
        transaction.apply()
        tracemalloc.start()
        try:
            undo(Watching(), transaction.tree, transaction._stage, transaction.intent, "exec_t")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "000001.undo" in looked and peak < 400_000, peak


def test_a_directory_that_somebody_takes_away_once_undo_made_it_again_is_a_conflict(workspace: Path) -> None:
    """It was back: that it is gone is somebody else's doing, and nothing that another undo could mend."""
    (workspace / "full").mkdir()
    (workspace / "full/file").write_bytes(b"old")
    changes = (FileChange.delete("full/file", b"old"), FileChange.create("full", b"now a file"))

    class Taking(FileSystem):
        def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
            super().hard_link(directory, name, to_directory, to_name)
            if to_name == "file":
                (workspace / "full").rename(workspace / "away")

    with Transaction(FileSystem(), workspace, "exec_t", 5, _blobs) as transaction:
        transaction.stage(changes, IDENTITY)
        transaction.apply()
        report = undo(Taking(), transaction.tree, transaction._stage, transaction.intent, "exec_t")
    assert report.problems == [] and report.conflicts == ["full"] and not report.restored
    assert (workspace / "away/file").read_bytes() == b"old" and not (workspace / "full").exists()
