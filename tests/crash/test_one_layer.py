"""What the harness rests on: nothing changes the disk beside the hooked calls, and what is told durable was synced."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.crash.driver import Dropped, drop, execute, recover
from tests.crash.layers import MUTATING, Hooked
from tests.crash.trees import case, materialise, snapshot

import lonelycat.executor
from lonelycat.executor.filesystem import FileSystem

ROOM = Path(next(iter(lonelycat.executor.__path__)))
CHANGERS = frozenset(
    {
        "write",
        "pwrite",
        "writev",
        "mkdir",
        "makedirs",
        "rmdir",
        "removedirs",
        "unlink",
        "remove",
        "rename",
        "renames",
        "replace",
        "link",
        "symlink",
        "truncate",
        "ftruncate",
        "chmod",
        "fchmod",
        "lchmod",
        "chown",
        "fchown",
        "lchown",
        "utime",
        "setxattr",
        "removexattr",
        "mknod",
        "mkfifo",
        "fsync",
        "fdatasync",
        "sync",
        "posix_fallocate",
        "sendfile",
        "copy_file_range",
        "copy",
        "copy2",
        "copyfile",
        "copytree",
        "move",
        "rmtree",
    }
)
HINTS = frozenset({"open_append", "spread"})
"""Calls of the layer that change no content, name or permission."""
_WITH_AND_WITHOUT_SYNCFS = pytest.mark.parametrize("platform", ["linux", "macos"], indirect=True)


def test_every_changing_method_of_the_layer_is_hooked() -> None:
    source = inspect.getsource(FileSystem)
    changing = source[source.index("# -- changing") :]
    methods = ast.walk(ast.parse("class X:\n    " + changing))
    names = {node.name for node in methods if isinstance(node, ast.FunctionDef)}
    assert {name for name in names if not name.startswith("_")} == set(MUTATING) | HINTS


def test_nothing_but_the_layer_knows_what_systems_call() -> None:
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lonelycat.platforms"):
                assert path.name in ("filesystem.py", "__init__.py"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("module", sorted(path.name for path in ROOM.glob("*.py") if path.name != "filesystem.py"))
def test_no_module_of_the_executor_changes_the_disk_by_itself(module: str) -> None:
    for node in ast.walk(ast.parse((ROOM / module).read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("os", "shutil"):
            assert node.attr not in CHANGERS, f"{module}:{node.lineno} calls {node.value.id}.{node.attr}"


class _Ledger(Hooked):
    """Keeps what was changed and not yet synced: files by inode, directories by inode."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.dirty: dict[int, str] = {}
        self.handed_over: dict[int, str] = {}
        """What the drive was given and may still hold in its own memory; an fsync makes it write all of that out."""
        self.at_frames: list[tuple[bytes, dict[int, str]]] = []

    def after(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "syncfs":
            self.dirty.clear()
        elif name == "hand_over":
            inode = os.fstat(arguments[0]).st_ino
            if inode in self.dirty:
                self.handed_over[inode] = self.dirty.pop(inode)
        elif name == "fsync":
            self.dirty.pop(os.fstat(arguments[0]).st_ino, None)
            self.handed_over.clear()
        elif name in ("write", "truncate", "allocate", "set_mode", "set_owner", "set_attribute"):
            self._mark(arguments[0], name)
        elif name in ("move", "exchange", "replace"):
            self._mark(arguments[0], name)
            self._mark(arguments[2], name)
        elif name == "hard_link":
            self._mark(arguments[2], name)
        elif name == "make_link":
            self._mark(arguments[1], name)
        elif name in ("create_file", "unlink", "make_directory", "remove_directory"):
            self._mark(arguments[0], name)

    def _mark(self, fd: int, why: str) -> None:
        place = os.readlink(f"/proc/self/fd/{fd}")
        if not place.endswith("(deleted)"):
            self.dirty[os.fstat(fd).st_ino] = f"{why} in {place}"

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if name != "write":
            return
        for frame in (b'"type":"committed"', b'"type":"undone"'):
            if frame in arguments[1]:
                unsynced = {**self.dirty, **self.handed_over}
                self.at_frames.append((frame, {n: what for n, what in unsynced.items() if self._is_there(n, what)}))

    def _is_there(self, inode: int, what: str) -> bool:
        place = Path(what.split(" in ", 1)[1])  # what was removed since needs not be durable
        return place.exists() and place.stat().st_ino == inode

    def unsynced(self) -> list[str]:
        """Return what of the tree was not durable when the frame that says so was written."""
        ((_, dirty),) = self.at_frames
        return [what for what in dirty.values() if "/.lonelycat" not in what]


@_WITH_AND_WITHOUT_SYNCFS
@pytest.mark.parametrize("keep", [True, False])
def test_the_tree_is_durable_before_the_journal_says_so(seed: int, keep: bool, tmp_path: Path) -> None:
    for number in range(seed * 25, seed * 25 + 25):
        old, changes, _ = case(number)
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        materialise(root, old)
        ledger = _Ledger(root)
        execute(ledger, root, changes, keep=keep)
        assert ledger.unsynced() == [], f"seed {number}"


@_WITH_AND_WITHOUT_SYNCFS
def test_a_recovered_tree_is_durable_before_the_journal_says_so(seed: int, tmp_path: Path) -> None:
    for number in range(seed * 25, seed * 25 + 25):
        old, changes, _ = case(number)
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        materialise(root, old)
        with pytest.raises(Dropped):
            execute(FileSystem(), root, changes, keep=True, between=drop)
        ledger = _Ledger(root)
        recover(ledger, root)
        assert snapshot(root) == old
        assert ledger.unsynced() == [], f"seed {number}"


@_WITH_AND_WITHOUT_SYNCFS
def test_everything_staged_is_durable_before_the_tree_is_touched(seed: int, tmp_path: Path) -> None:
    class Stops(_Ledger):
        staged: list[str] | None = None

        def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
            intent_is_there = "move" in self.trace[:-1]
            if intent_is_there and self.staged is None and name not in ("hand_over", "fsync", "syncfs"):
                self.staged = [*self.dirty.values(), *self.handed_over.values()]

    for number in range(seed * 25, seed * 25 + 25):
        old, changes, _ = case(number)
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        materialise(root, old)
        layer = Stops(root)
        execute(layer, root, changes, keep=True)
        # The ballast is only a reserve, and the state's own .gitignore a courtesy.
        staged = layer.staged if layer.staged is not None else ["never"]
        left = [what for what in staged if not what.endswith(("ballast", ".gitignore"))]
        assert left == [], f"seed {number}"
