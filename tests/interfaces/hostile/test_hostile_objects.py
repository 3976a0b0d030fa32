"""What lies in the workspace is hostile: links, devices, other names, mounts, swaps under the executor's hands."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.interfaces.hostile.siege import BY, Answer, Siege, created, draft, ended, sha, updated, whole
from tests.patience import until

from lonelycat.executor.filesystem import FileSystem

OLD = b"old\n"
REPLACED = {"old_hash": sha(OLD), "old_mode": "100644", "new_hash": sha(b"evil\n"), "new_mode": "100644"}


@pytest.fixture
def ground(siege: Siege) -> Siege:
    return siege.begin()


def _run(siege: Siege, *changes: dict[str, object]) -> Answer:
    return siege.cli("run", "--changeset", "-", *BY, stdin=json.dumps({"changes": changes}).encode())


def _update(path: str, **more: object) -> dict[str, object]:
    """An update that states the bytes it expects, so that nothing is read before the executor is at work."""
    return draft("update", path, **{**REPLACED, **more})


# -- links ----------------------------------------


@pytest.mark.parametrize("target", ["outside", "inside", "dangling", "loop"])
@pytest.mark.parametrize("operation", ["create", "update", "delete", "rename to", "rename from"])
@pytest.mark.parametrize("deep", [False, True], ids=["in the link", "below it"])
def test_a_directory_that_is_a_link_is_refused(ground: Siege, target: str, operation: str, deep: bool) -> None:
    evil = ground.base / "workspace-evil"  # not inside, though its name begins with the workspace's
    (evil / "sub").mkdir(parents=True)
    for place in (evil, evil / "sub", ground.root / "app"):
        (place / "there").write_bytes(OLD)
    where = {"outside": evil, "inside": ground.root / "app", "dangling": "/nowhere/at/all", "loop": "link"}
    (ground.root / "link").symlink_to(where[target])
    path = "link/sub/there" if deep else "link/there"
    at_rest = {key: value for key, value in REPLACED.items() if key.startswith("old")}
    change = {
        "create": lambda: draft("create", path + "2"),
        "update": lambda: _update(path),
        "delete": lambda: draft("delete", path, **at_rest),
        "rename to": lambda: draft("rename", path + "2", old_path="app/settings.txt"),
        "rename from": lambda: draft("rename", "app/taken", old_path=path, **{**at_rest, "new_hash": sha(OLD)}),
    }[operation]()
    tree, beside = ground.tree(), sorted(evil.rglob("*"))
    ground.refused(_run(ground, change), "PATH_THROUGH_LINK", {4}, "link")
    assert ground.tree() == tree
    assert sorted(evil.rglob("*")) == beside
    assert (evil / "there").read_bytes() == OLD
    assert ground.leftovers() == []


@pytest.mark.parametrize("operation", ["create", "update", "delete"])
def test_a_file_that_is_a_link_is_not_written_through(ground: Siege, operation: str) -> None:
    (ground.root / "final").symlink_to(ground.outside / "canary")
    content = sha(b"alive\n")
    change = {
        "create": draft("create", "final"),
        "update": _update("final", old_hash=content),
        "delete": draft("delete", "final", old_hash=content, old_mode="100644"),
    }[operation]
    tree = ground.tree()
    ground.refused(_run(ground, change), {"FILE_EXISTS", "FILE_CHANGED", "MODE_CHANGED"}, {4, 5}, "final")
    assert ground.tree() == tree


def test_a_link_itself_can_be_replaced_and_what_it_points_to_stays(ground: Siege) -> None:
    target = os.fsencode(ground.outside / "canary")
    (ground.root / "final").symlink_to(ground.outside / "canary")
    done = _run(ground, _update("final", old_hash=sha(target), old_mode="120000"))
    assert done.exit == 0, done
    assert not (ground.root / "final").is_symlink()
    assert (ground.root / "final").read_bytes() == b"evil\n"
    assert (ground.outside / "canary").read_text() == "alive\n"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc", "../.git/config", "../.lonelycat/keys", "../.env"])
def test_a_link_that_leads_out_or_to_what_is_guarded_is_denied(ground: Siege, target: str) -> None:
    tree = ground.tree()
    done = _run(ground, draft("create", "docs/link", content={"text": target}, new_mode="120000"))
    ground.refused(done, {"SYMLINK_ESCAPES", "SYMLINK_TO_PROTECTED", "SYMLINK_TO_FORBIDDEN"}, {4}, "docs/link")
    assert ground.tree() == tree


# -- objects that are no files ----------------------------------------


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the address of a socket is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


OBJECTS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "socket": _socket,
    "null device": lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "block device": lambda path: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 200)),
    "terminal device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(5, 0)),
}


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("operation", ["update", "delete", "create", "rename", "patch", "draft that is filled in"])
def test_what_is_no_file_is_refused_without_hanging(ground: Siege, kind: str, operation: str) -> None:
    OBJECTS[kind](ground.root / "app/thing")
    at_rest = {"old_hash": sha(OLD), "old_mode": "100644"}
    tree = ground.tree()
    if operation == "patch":
        text = b"--- a/app/thing\n+++ b/app/thing\n@@ -1 +1 @@\n-old\n+evil\n"
        done = ground.finish(ground.start("run", "--patch", ground.file("a.patch", text), *BY))
    else:
        change = {
            "update": _update("app/thing"),
            "delete": draft("delete", "app/thing", **at_rest),
            "create": draft("create", "app/thing"),
            "rename": draft("rename", "app/new", old_path="app/thing", **at_rest, new_hash=sha(OLD)),
            "draft that is filled in": draft("update", "app/thing"),
        }[operation]
        done = _run(ground, change)
    ground.refused(done, {"OBJECT_NOT_A_FILE"}, {4}, "app/thing")
    assert ground.tree() == tree


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_a_file_with_another_name_is_refused(ground: Siege, operation: str) -> None:
    os.link(ground.root / "app/settings.txt", ground.outside / "other")
    tree = ground.tree()
    at_rest = {"old_hash": sha(OLD), "old_mode": "100644"}
    change = _update("app/settings.txt") if operation == "update" else draft("delete", "app/settings.txt", **at_rest)
    ground.refused(_run(ground, change), "OBJECT_HARD_LINKED", {4}, "app/settings.txt")
    assert ground.tree() == tree
    assert (ground.outside / "other").read_bytes() == OLD


@pytest.mark.parametrize("bits", [stat.S_ISUID, stat.S_ISGID, stat.S_ISVTX], ids=["setuid", "setgid", "sticky"])
def test_special_bits_are_refused(ground: Siege, bits: int) -> None:
    (ground.root / "app/settings.txt").chmod(0o755 | bits)
    tree = ground.tree()
    done = _run(ground, _update("app/settings.txt", old_mode="100755", new_mode="100755"))
    ground.refused(done, "OBJECT_SPECIAL_BITS", {4}, "app/settings.txt")
    assert ground.tree() == tree


def test_a_directory_where_a_file_is_meant_is_a_conflict(ground: Siege) -> None:
    tree = ground.tree()
    deletion = draft("delete", "app", old_hash=sha(OLD), old_mode="100644")
    for change in (_update("app"), deletion, draft("create", "app")):
        ground.refused(_run(ground, change), {"PATH_IS_DIRECTORY", "FILE_EXISTS"}, {5}, "app")
    assert ground.tree() == tree


def test_a_file_where_a_directory_is_meant_is_a_conflict(ground: Siege) -> None:
    tree = ground.tree()
    done = _run(ground, draft("create", "readme.md/below/it"))
    ground.refused(done, "PATH_NOT_DIRECTORY", {5}, "readme.md/below")
    assert ground.tree() == tree


# -- immutable files and mounts ----------------------------------------


@pytest.fixture
def immutable(ground: Siege) -> Iterator[Path]:
    path = ground.root / "app/fixed.txt"
    path.write_bytes(OLD)
    subprocess.run(["chattr", "+i", path], check=True, capture_output=True)
    yield path
    subprocess.run(["chattr", "-i", path], check=True, capture_output=True)


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_an_immutable_file_takes_nothing_with_it(ground: Siege, immutable: Path, operation: str) -> None:
    change = _update("app/fixed.txt")
    if operation == "delete":
        change = draft("delete", "app/fixed.txt", old_hash=sha(OLD), old_mode="100644")
    before = ground.contents()
    done = _run(ground, draft("create", "app/a.txt"), change, _update("app/settings.txt"))
    ground.refused(done, "NO_RIGHTS", {4, 6})
    assert ground.contents() == before
    assert ground.leftovers() == []


@pytest.fixture
def mounted(ground: Siege) -> Iterator[Siege]:
    (ground.root / "mounted").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", ground.root / "mounted"], check=True)
    (ground.root / "mounted/there").write_bytes(OLD)
    yield ground
    subprocess.run(["umount", "-l", ground.root / "mounted"], check=True)


@pytest.mark.parametrize("path", ["mounted/new", "mounted/sub/new", "mounted/there"])
def test_a_mount_inside_is_not_entered(mounted: Siege, path: str) -> None:
    tree = mounted.tree()
    change = _update(path) if path.endswith("there") else draft("create", path)
    mounted.refused(_run(mounted, change), {"PATH_LEAVES_WORKSPACE", "OBJECT_ON_ANOTHER_MOUNT"}, {4}, "mounted")
    assert mounted.tree() == tree


@pytest.fixture
def bound(ground: Siege) -> Iterator[Siege]:
    subprocess.run(["mount", "--bind", ground.outside / "canary", ground.root / "readme.md"], check=True)
    yield ground
    subprocess.run(["umount", "-l", ground.root / "readme.md"], check=True)


def test_a_file_that_is_a_mount_is_not_replaced(bound: Siege) -> None:
    tree = bound.tree()
    done = _run(bound, _update("readme.md", old_hash=sha(b"alive\n")))
    assert done.exit in (4, 6), done
    assert done.facts["hint"], done
    assert bound.tree() == tree
    assert (bound.outside / "canary").read_text() == "alive\n"


# -- swaps under the executor's hands ----------------------------------------


def _swapping(monkeypatch: pytest.MonkeyPatch, call: str, swap: Callable[[], None], when: int = 1) -> None:
    """Let somebody else do ``swap`` right before the executor's ``when``-th ``call``."""
    real, calls = getattr(FileSystem, call), []

    def swapped(self: FileSystem, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == when:
            swap()
        return real(self, *arguments)

    monkeypatch.setattr(FileSystem, call, swapped)


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_directory_swapped_for_a_link_while_applying(
    ground: Siege, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    def swap() -> None:
        (ground.root / "app").rename(ground.root / "moved")
        (ground.root / "app").symlink_to(ground.outside)

    ground.write({"app/b.txt": OLD, "app/c.txt": OLD})
    outside = sorted(ground.outside.rglob("*"))
    _swapping(monkeypatch, "exchange", swap, when)
    done = _run(ground, _update("app/settings.txt"), _update("app/b.txt"), _update("app/c.txt"))
    ground.refused(done, {"DIRECTORY_CHANGED", "PATH_THROUGH_LINK"}, {5}, "app")
    assert sorted(ground.outside.rglob("*")) == outside
    assert (ground.root / "app").is_symlink()
    for name in ("settings.txt", "b.txt", "c.txt"):
        assert (ground.root / "moved" / name).read_bytes() == OLD
    assert ground.leftovers() == []


@pytest.mark.parametrize("when", [1, 2])
def test_content_swapped_after_the_check_is_a_conflict_and_kept(
    ground: Siege, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    ground.write({"app/b.txt": OLD})
    names = ["app/settings.txt", "app/b.txt"]
    _swapping(monkeypatch, "exchange", lambda: ground.write(dict.fromkeys(names, b"mine\n")), when)
    done = _run(ground, *map(_update, names))
    ground.refused(done, "FILE_CHANGED", {5}, "app/")
    for name in names:
        assert (ground.root / name).read_bytes() == b"mine\n", done
    assert ground.leftovers() == []


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "other file"])
def test_a_file_swapped_for_another_object_is_a_conflict_and_kept(
    ground: Siege, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = ground.root / "app/settings.txt"

    def swap() -> None:
        path.unlink()
        if kind == "link":
            path.symlink_to(ground.outside / "canary")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
            (path / "inside").write_bytes(b"mine\n")
        else:
            path.write_bytes(b"mine\n")

    _swapping(monkeypatch, "exchange", swap)
    done = _run(ground, _update("app/settings.txt"))
    ground.refused(done, "FILE_CHANGED", {5}, "app/settings.txt")
    found = path.lstat().st_mode
    if kind == "link":
        assert os.readlink(path) == str(ground.outside / "canary")
    elif kind == "fifo":
        assert stat.S_ISFIFO(found)
    elif kind == "directory":
        assert (path / "inside").read_bytes() == b"mine\n"
    else:
        assert path.read_bytes() == b"mine\n"
    assert (ground.outside / "canary").read_text() == "alive\n"


def test_a_file_that_appears_where_one_is_created_is_a_conflict_and_kept(
    ground: Siege, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FileSystem.move

    def move(self: FileSystem, directory: int, name: str, to: int, to_name: str) -> None:
        if to_name == "new.txt":
            ground.write({"app/new.txt": b"mine\n"})
        real(self, directory, name, to, to_name)

    monkeypatch.setattr(FileSystem, "move", move)
    done = _run(ground, draft("create", "app/new.txt"), _update("app/settings.txt"))
    ground.refused(done, "FILE_EXISTS", {5}, "app/new.txt")
    assert (ground.root / "app/new.txt").read_bytes() == b"mine\n"
    assert (ground.root / "app/settings.txt").read_bytes() == OLD


def test_the_root_replaced_while_it_runs_is_a_conflict(siege: Siege) -> None:
    move = f"os.rename({str(siege.root)!r}, {str(siege.root)!r} + '-moved'); os.mkdir({str(siege.root)!r})"
    siege.policy["verification"]["look"]["argv"] = siege.argv(move)
    siege.begin()
    done = siege.process("run", "--changeset", siege.file("d.json", {"changes": [_update("app/settings.txt")]}), *BY)
    siege.refused(done, {"ROOT_REPLACED"}, {5, 7}, "workspace")
    assert list(siege.root.iterdir()) == [] or [item.name for item in siege.root.iterdir()] == [".lonelycat"]
    assert (siege.base / "workspace-moved/app/settings.txt").read_bytes() == OLD


def test_a_directory_swapped_during_verification_is_a_conflict(siege: Siege) -> None:
    swap = f"os.rename('app', 'moved'); os.symlink({str(siege.outside)!r}, 'app')"
    siege.policy["verification"]["look"]["argv"] = siege.argv(swap)
    siege.begin()
    outside = sorted(siege.outside.rglob("*"))
    done = siege.process("run", "--changeset", siege.file("d.json", {"changes": [_update("app/settings.txt")]}), *BY)
    siege.refused(done, "DIRECTORY_CHANGED", {5}, "app")
    assert sorted(siege.outside.rglob("*")) == outside
    assert (siege.root / "moved/settings.txt").read_bytes() == OLD


def test_a_program_that_still_writes_to_the_old_file_is_told_of_and_its_bytes_are_kept(siege: Siege) -> None:
    wait = "(notes / 'applied').touch()\nwhile not (notes / 'go').exists(): time.sleep(0.005)"
    siege.policy["verification"]["look"]["argv"] = siege.argv(wait)
    siege.begin()
    with (siege.root / "app/settings.txt").open("ab", buffering=0) as writer:
        document = siege.file("d.json", {"changes": [_update("app/settings.txt")]})
        process = siege.start("run", "--changeset", document, *BY)
        try:
            until((siege.notes / "applied").exists, "the verification")
            writer.write(b"late\n")
            (siege.notes / "go").touch()
            done = siege.finish(process)
        finally:
            ended([process])
    assert done.exit == 0, done
    assert any("app/settings.txt" in warning for warning in done.facts["warnings"]), done
    assert (siege.root / "app/settings.txt").read_bytes() == b"evil\n"
    kept = [path for path in (siege.root / ".lonelycat/quarantine").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in kept] == [b"old\nlate\n"]


# -- bytes ----------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"a\r\nb\r\n", b"\xef\xbb\xbfbom\r\n", b"none", b"", b"\xff\x00bin\x00", b"\r", b"mixed\r\nb\nc\r", b"\x00"],
    ids=["crlf", "bom", "no newline", "empty", "binary", "cr", "mixed", "nul"],
)
def test_bytes_are_kept_exactly_and_come_back_exactly(ground: Siege, data: bytes) -> None:
    import base64

    ground.write({"odd": data})
    content = {"base64": base64.b64encode(data[::-1] + b"\r\nx").decode()}
    change = draft("update", "odd", content=content)
    done = _run(ground, change)
    assert done.exit == 0, done
    assert (ground.root / "odd").read_bytes() == data[::-1] + b"\r\nx"
    back = ground.cli("revert", done.facts["execution_id"], "--by", "human")
    assert back.exit in (0, 3), back
    assert ground.cli("execute", back.facts["plan_id"]).exit == 0
    assert (ground.root / "odd").read_bytes() == data


def test_a_name_that_is_not_utf8_is_kept_exactly(ground: Siege) -> None:
    before = ground.contents()
    done = _run(ground, draft("create", '"caf\\351/\\377.txt"'))
    assert done.exit == 0, done
    assert os.listdir(os.fsencode(ground.root / os.fsdecode(b"caf\xe9"))) == [b"\xff.txt"]
    assert done.facts["files_changed"] in (['"caf\\351/\\377.txt"'], [os.fsdecode(b"caf\xe9/\xff.txt")])
    back = ground.cli("revert", done.facts["execution_id"], "--by", "human")
    assert ground.cli("execute", back.facts["plan_id"]).exit == 0, back
    assert ground.contents() == before


def test_a_complete_change_set_whose_content_is_not_what_its_hash_says(ground: Siege) -> None:
    tree = ground.tree()
    for change in (
        {**created("app/x"), "content": {"text": "other\n"}},
        {**updated("app/settings.txt", OLD), "content": {"text": "other\n"}},
    ):
        done = ground.cli("run", *ground.documents(whole(change)))
        ground.refused(done, {"CHECKSUM_MISMATCH"}, {4})
    assert ground.tree() == tree
