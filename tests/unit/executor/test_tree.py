"""Every kind of object that can stand in a change's way, without hanging, without following, without guessing."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.changes.digest import sha256_hex
from lonelycat.errors import ConflictError, LonelyCatError, RefusedError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.operations import Identity
from lonelycat.executor.transaction import Transaction
from lonelycat.executor.tree import PinnedTree

OLD, NEW = b"old", b"new"


def _blobs(_: BlobRef) -> list[bytes]:
    return []


@pytest.fixture
def tree(root: Path, filesystem: FileSystem) -> Iterator[PinnedTree]:
    with PinnedTree(filesystem, root, 4096) as pinned:
        yield pinned


def _fifo(place: Path) -> None:
    os.mkfifo(place)


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(place))


def _device(place: Path) -> None:
    os.mknod(place, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero: endless, if it were read


def _hard_linked(place: Path) -> None:
    place.write_bytes(OLD)
    os.link(place, place.with_name("second-name"))


def _setuid(place: Path) -> None:
    place.write_bytes(OLD)
    place.chmod(0o4755)


def _linked_link(place: Path) -> None:
    place.symlink_to("anywhere")
    os.link(place, place.with_name("second-link"), follow_symlinks=False)


OBJECTS = {
    "OBJECT_NOT_A_FILE": (_fifo, _socket, _device),
    "OBJECT_HARD_LINKED": (_hard_linked, _linked_link),
    "OBJECT_SPECIAL_BITS": (_setuid,),
}


@pytest.mark.parametrize(("code", "make"), [(code, make) for code, makes in OBJECTS.items() for make in makes])
def test_objects_that_cannot_be_part_of_a_transaction(
    code: str, make: Callable[[Path], None], tree: PinnedTree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    make(root / "x")
    with pytest.raises(RefusedError) as caught:
        tree.look("x")
    assert caught.value.code == code and "x" in caught.value.message and caught.value.hint


def test_a_final_link_is_looked_at_not_followed(tree: PinnedTree, root: Path) -> None:
    (root / "target").write_bytes(OLD)
    (root / "x").symlink_to("target")
    found = tree.look("x")
    assert found is not None and found.identity.is_link


@pytest.mark.parametrize("target", ["/etc", "../elsewhere", "inside"])
def test_a_link_on_the_way_is_refused(target: str, tree: PinnedTree, root: Path) -> None:
    (root / "inside/sub").mkdir(parents=True)
    (root.parent / "elsewhere").mkdir()
    (root / "way").symlink_to(target)
    for path in ("way/hostname", "way/sub/x"):
        with pytest.raises(RefusedError, match="PATH_THROUGH_LINK"):
            tree.look(path)


def test_a_file_on_the_way_and_a_directory_at_the_end_are_conflicts(tree: PinnedTree, root: Path) -> None:
    (root / "file").write_bytes(OLD)
    (root / "directory").mkdir()
    with pytest.raises(ConflictError, match="PATH_NOT_DIRECTORY"):
        tree.look("file/x")
    with pytest.raises(ConflictError, match="PATH_IS_DIRECTORY"):
        tree.look("directory")
    assert tree.look("directory/absent") is None and tree.look("absent/x") is None


def test_a_directory_that_became_another_is_a_conflict(root: Path, filesystem: FileSystem) -> None:
    (root / "d").mkdir()
    with PinnedTree(filesystem, root, 4096) as tree:
        tree.directory("d")
        tree.check_pins()
        (root / "d").rename(root / "old-d")
        (root / "d").mkdir()
        with pytest.raises(ConflictError, match="DIRECTORY_CHANGED"):
            tree.check_pins()
        tree.forget("d")
        tree.check_pins()
        tree.directory("d")


def test_a_replaced_root_is_a_conflict(root: Path, tree: PinnedTree) -> None:
    root.rename(root.with_name("moved"))
    with pytest.raises(ConflictError, match="ROOT_REPLACED"):
        tree.check_pins()
    root.mkdir()
    with pytest.raises(ConflictError, match="ROOT_REPLACED"):
        tree.check_pins()


def test_many_directories_do_not_use_up_descriptors(root: Path, tree: PinnedTree) -> None:
    for number in range(400):
        (root / f"d{number}").mkdir()
        (root / f"d{number}" / "f").write_bytes(OLD)
    before = len(os.listdir("/proc/self/fd"))
    assert all(tree.look(f"d{number}/f") for number in range(400))
    assert len(os.listdir("/proc/self/fd")) - before <= 257
    tree.check_pins()


# -- in the middle of a transaction ----------------------------------------------------------------------------------


class _Acting(FileSystem):
    """Lets somebody act right before the first exchange or move into or out of the tree."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def _before(self) -> None:
        act, self.act = self.act, lambda: None
        act()

    def exchange(self, *arguments: object) -> None:
        self._before()
        super().exchange(*arguments)  # type: ignore[arg-type]


def _update(root: Path, filesystem: FileSystem, path: str = "d/x") -> tuple[LonelyCatError | OSError | None, list[str]]:
    """Update ``path`` and roll back whatever happens; return what stopped it and the warnings."""
    with Transaction(filesystem, root, "exec_t", 1, _blobs) as transaction:
        transaction.stage((FileChange.update(path, OLD, NEW),), {})
        error: LonelyCatError | OSError | None = None
        try:
            transaction.apply()
        except (LonelyCatError, OSError) as caught:
            error = caught
        report = transaction.undo()
        assert report.problems == []
        return error, [*report.conflicts, *transaction.clean_up()]


@pytest.fixture
def file(root: Path) -> Path:
    place = root / "d" / "x"
    place.parent.mkdir()
    place.write_bytes(OLD)
    return place


def test_a_directory_swapped_for_a_link_mid_apply_does_not_lead_out(root: Path, file: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(OLD)

    def swap() -> None:
        file.parent.rename(root / "away")
        (root / "d").symlink_to(outside)

    error, _ = _update(root, _Acting(swap))
    assert isinstance(error, ConflictError) and error.code == "DIRECTORY_CHANGED"
    assert (outside / "x").read_bytes() == OLD and (root / "away" / "x").read_bytes() == OLD
    assert os.listdir(outside) == ["x"]


def test_content_swapped_after_the_check_is_put_back(root: Path, file: Path) -> None:
    def swap() -> None:
        other = file.with_name("other")
        other.write_bytes(b"theirs")
        other.rename(file)

    error, conflicts = _update(root, _Acting(swap))
    assert isinstance(error, ConflictError) and error.code == "FILE_CHANGED"
    assert file.read_bytes() == b"theirs" and conflicts == ["d/x"]
    assert not (root / ".lonelycat/tx/exec_t").exists()


def test_the_root_replaced_mid_run_keeps_the_old_root_whole(root: Path, file: Path) -> None:
    def swap() -> None:
        root.rename(root.with_name("moved"))
        root.mkdir()

    error, _ = _update(root, _Acting(swap))
    assert isinstance(error, ConflictError) and error.code == "ROOT_REPLACED"
    assert (root.with_name("moved") / "d" / "x").read_bytes() == OLD
    assert os.listdir(root) == []


def test_a_writer_with_the_old_file_open_is_warned_of_and_keeps_its_data(root: Path, file: Path) -> None:
    with file.open("r+b") as writer, Transaction(FileSystem(), root, "exec_t", 1, _blobs) as transaction:
        transaction.stage((FileChange.update("d/x", OLD, NEW),), {})
        transaction.apply()
        transaction.commit({})
        writer.write(b"late")
        writer.flush()
        (warning,) = transaction.clean_up()
    assert file.read_bytes() == NEW and "d/x" in warning
    (kept,) = (root / ".lonelycat/quarantine").iterdir()
    assert kept.read_bytes() == b"late" and kept.name in warning


def test_an_immutable_file_is_refused_or_rolled_back_with_all_others(
    root: Path, file: Path, either_backup: str
) -> None:
    (root / "a").write_bytes(OLD)
    changes = (FileChange.update("a", OLD, NEW), FileChange.update("d/x", OLD, NEW))
    subprocess.run(["chattr", "+i", str(file)], check=True)
    try:
        with Transaction(FileSystem(), root, "exec_t", 1, _blobs) as transaction:
            if either_backup == "linked":
                with pytest.raises(PermissionError):
                    transaction.stage(changes, {})
                transaction.abandon()
            else:
                transaction.stage(changes, {})
                with pytest.raises(PermissionError):
                    transaction.apply()
                assert (root / "a").read_bytes() == NEW
                assert transaction.undo().restored
                assert transaction.clean_up() == ()
    finally:
        subprocess.run(["chattr", "-i", str(file)], check=True)
    assert (root / "a").read_bytes() == OLD and file.read_bytes() == OLD
    assert os.listdir(root / ".lonelycat/tx") == []


def test_a_file_made_immutable_mid_run_is_rolled_back_with_all_others(root: Path, file: Path) -> None:
    (root / "a").write_bytes(OLD)

    class Freezing(FileSystem):
        def exchange(self, *arguments: object) -> None:
            if arguments[3] == "x":
                subprocess.run(["chattr", "+i", str(file)], check=True)
            super().exchange(*arguments)  # type: ignore[arg-type]

    try:
        with Transaction(Freezing(), root, "exec_t", 1, _blobs) as transaction:
            transaction.stage((FileChange.update("a", OLD, NEW), FileChange.update("d/x", OLD, NEW)), {})
            with pytest.raises(PermissionError):
                transaction.apply()
            assert (root / "a").read_bytes() == NEW
            assert transaction.undo().restored
    finally:
        subprocess.run(["chattr", "-i", str(file)], check=True)
    assert (root / "a").read_bytes() == OLD and file.read_bytes() == OLD


MOUNTED = textwrap.dedent(
    """
    import os, subprocess, sys
    from pathlib import Path
    from lonelycat.changes.changeset import FileChange
    from lonelycat.errors import LonelyCatError
    from lonelycat.executor.filesystem import FileSystem
    from lonelycat.executor.tree import PinnedTree
    from lonelycat.executor.transaction import Transaction
    root = Path(sys.argv[1])
    (root / "tmpfs").mkdir(); (root / "bind").mkdir(); (root / "real").mkdir()
    (root / "real" / "x").write_bytes(b"old"); (root / "file").write_bytes(b"old")
    (root / "other").write_bytes(b"old")
    for options in (["-t", "tmpfs", "none", "tmpfs"], ["--bind", "real", "bind"], ["--bind", "/dev/null", "file"]):
        subprocess.run(["mount", *options], cwd=root, check=True)
    subprocess.run(["mount", "--bind", "real/x", "other"], cwd=root, check=True)
    (root / "tmpfs" / "x").write_bytes(b"old")
    for path in ("tmpfs/x", "bind/x", "file", "other"):
        with Transaction(FileSystem(), root, "exec_t", 1, lambda ref: []) as transaction:
            try:
                transaction.stage((FileChange.update(path, b"old", b"new"),), {})
            except LonelyCatError as error:
                print(path, error.code)
            except OSError as error:
                print(path, error.errno)
            transaction.abandon()
    """
)


def test_mounts_inside_the_workspace_are_refused(root: Path) -> None:
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-c", MOUNTED, str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [
        "tmpfs/x PATH_LEAVES_WORKSPACE",
        "bind/x PATH_LEAVES_WORKSPACE",
        "file OBJECT_NOT_A_FILE",
        "other 18",  # EXDEV, which the pipeline tells as OBJECT_ON_ANOTHER_MOUNT
    ]


class _Restless(FileSystem):
    """Somebody puts another file or link at the name, each time between two calls of one look."""

    def __init__(self, place: Path, before: str, *, times: int) -> None:
        self.place = place
        self.before = before
        self.left = times

    def _act(self, call: str) -> None:
        if call == self.before and self.left:
            self.left -= 1
            draft = self.place.with_name("draft")
            if self.place.is_symlink():
                draft.write_bytes(OLD)
            else:
                draft.symlink_to("elsewhere")
            draft.replace(self.place)

    def stat(self, directory: int, name: str) -> os.stat_result:
        self._act("stat")
        return super().stat(directory, name)

    def read_link(self, directory: int, name: str) -> bytes:
        self._act("read_link")
        return super().read_link(directory, name)


@pytest.mark.parametrize("before", ["stat", "read_link"])
def test_a_link_that_becomes_a_file_while_it_is_looked_at_is_looked_at_again(tmp_path: Path, before: str) -> None:
    """It is neither absent nor an error of the disk."""
    place = tmp_path / "name"
    place.symlink_to("elsewhere")
    with PinnedTree(_Restless(place, before, times=1), tmp_path, 4096) as tree:
        found = tree.look("name")
    assert found is not None and found.identity == Identity(sha256_hex(OLD), "100644")


def test_what_never_stays_the_same_for_one_look_is_a_conflict(tmp_path: Path) -> None:
    place = tmp_path / "name"
    place.symlink_to("elsewhere")

    class Never(_Restless):
        def open_file(self, directory: int, name: str) -> int:
            self._act("open_file")
            raise OSError(errno.ELOOP, "it was a link when it was opened")

    with (
        PinnedTree(Never(place, "read_link", times=1_000), tmp_path, 4096) as tree,
        pytest.raises(ConflictError) as caught,
    ):
        tree.look("name")
    assert caught.value.code == "PATH_NEVER_STILL"
