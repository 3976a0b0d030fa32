"""The file system in memory is held to the real one: the same calls on both give the same tree and the same errors."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.descriptors import mounted
from tests.crash.disk import Disk
from tests.crash.layers import MUTATING
from tests.crash.memory import MemoryFileSystem
from tests.crash.sessions import on_disk
from tests.crash.trees import case, materialise, snapshot

from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction

NAMES = ("a", "b", "c", "d")
PATHS = ("a", "b", "a/b", "b/a", "a/b/c", ".", "c/d")


class _Twins:
    """The same descriptors on both sides."""

    def __init__(self, root: Path) -> None:
        self.real, self.memory = FileSystem(), MemoryFileSystem(Disk.empty(os.geteuid(), os.getegid()))
        self.directories = [(self.real.open_root(root), self.memory.open_root(self.memory.root))]
        self.files: list[tuple[int, int]] = []

    def both(self, name: str, one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, Any]:
        """Make a call on both sides; return what each said, an error as its number."""
        said = []
        for filesystem, arguments in ((self.real, one), (self.memory, other)):
            try:
                said.append(getattr(filesystem, name)(*arguments))
            except OSError as error:
                said.append(("error", error.errno, type(error)))
        return said[0], said[1]

    def opened(self, said: tuple[Any, Any], into: list[tuple[int, int]]) -> tuple[Any, Any]:
        if isinstance(said[0], int) and isinstance(said[1], int):
            into.append(said)
            return "opened", "opened"
        return said

    def close(self) -> None:
        for real, memory in (*self.directories, *self.files):
            self.real.close(real)
            self.memory.close(memory)


def _shown(status: Any) -> Any:
    if isinstance(status, tuple) and status[:1] == ("error",):
        return status
    if stat.S_ISDIR(status.st_mode):
        return status.st_mode
    return status.st_mode, status.st_nlink, status.st_size, status.st_uid, status.st_gid


def _steps(twins: _Twins, rng: random.Random) -> dict[str, Callable[[], tuple[Any, Any]]]:
    def pick(among: list[tuple[int, int]]) -> tuple[int, int]:
        return rng.choice(among)

    def on_name(call: str, *more: Any) -> tuple[Any, Any]:
        (real, memory), name = pick(twins.directories), rng.choice(NAMES)
        return twins.both(call, (real, name, *more), (memory, name, *more))

    def on_two(call: str) -> tuple[Any, Any]:
        one, other = pick(twins.directories), pick(twins.directories)
        names = rng.choice(NAMES), rng.choice(NAMES)
        return twins.both(call, (one[0], names[0], other[0], names[1]), (one[1], names[0], other[1], names[1]))

    def on_file(call: str, *more: Any) -> tuple[Any, Any]:
        real, memory = pick(twins.files or twins.directories)
        return twins.both(call, (real, *more), (memory, *more))

    def on_directory(call: str, *more: Any) -> tuple[Any, Any]:
        real, memory = pick(twins.directories)
        return twins.both(call, (real, *more), (memory, *more))

    def link() -> tuple[Any, Any]:
        (real, memory), name, target = pick(twins.directories), rng.choice(NAMES), rng.choice((b"a", b"x", b""))
        return twins.both("make_link", (target, real, name), (target, memory, name))

    def beneath() -> tuple[Any, Any]:
        (real, memory), path = pick(twins.directories), rng.choice(PATHS)
        return twins.opened(twins.both("open_beneath", (real, path), (memory, path)), twins.directories)

    def status() -> tuple[Any, Any]:
        one, other = on_name("stat")
        return _shown(one), _shown(other)

    def of_descriptor() -> tuple[Any, Any]:
        real, memory = pick([*twins.files, *twins.directories])
        return _shown(os.fstat(real)), _shown(os.fstat(memory))

    def names() -> tuple[Any, Any]:
        real, memory = pick(twins.directories)
        return sorted(twins.real.list(real)), sorted(twins.memory.list(memory))

    return {
        "create_file": lambda: twins.opened(on_name("create_file", rng.choice((0o600, 0o666, 0o755))), twins.files),
        "open_append": lambda: twins.opened(on_name("open_append"), twins.files),
        "open_file": lambda: twins.opened(on_name("open_file"), twins.files),
        "write": lambda: on_file("write", rng.randbytes(rng.choice((0, 1, 20)))),
        "truncate": lambda: on_file("truncate", rng.choice((0, 3, 30))),
        "allocate": lambda: on_file("allocate", rng.choice((1, 40))),
        "set_mode": lambda: on_file("set_mode", rng.choice((0o600, 0o644, 0o755))),
        "set_mode of a directory": lambda: on_directory("set_mode", rng.choice((0o755, 0o2755))),
        "set_owner": lambda: on_file("set_owner", os.geteuid(), os.getegid()),
        "read": lambda: on_file("read", rng.choice((1, 100))),
        "make_link": link,
        "read_link": lambda: on_name("read_link"),
        "hard_link": lambda: on_two("hard_link"),
        "move": lambda: on_two("move"),
        "exchange": lambda: on_two("exchange"),
        "replace": lambda: on_two("replace"),
        "unlink": lambda: on_name("unlink"),
        "make_directory": lambda: on_name("make_directory", rng.choice((0o777, 0o700))),
        "remove_directory": lambda: on_name("remove_directory"),
        "open_beneath": beneath,
        "stat": status,
        "fstat": of_descriptor,
        "list": names,
        "fsync": lambda: on_file("fsync"),
        "syncfs": lambda: on_file("syncfs"),
    }


def _differential(seed: int, root: Path, length: int) -> None:
    root.mkdir()
    rng = random.Random(seed)
    with mounted():
        twins = _Twins(root)
        try:
            steps = _steps(twins, rng)
            # fsync and syncfs change nothing to compare and cost most
            weights = [0 if name in ("fsync", "syncfs") and rng.random() < 0.9 else 1 for name in steps]
            for number, name in enumerate(rng.choices(list(steps), weights, k=length)):
                real, memory = steps[name]()
                assert memory == real, f"call {number}, {name}: {memory} in memory, {real} on disk; seed {seed}"
                if number % 20 == 0:
                    assert twins.memory.disk.tree() == snapshot(root), f"after call {number}, seed {seed}"
            assert twins.memory.disk.tree() == snapshot(root), f"seed {seed}"
        finally:
            twins.close()


def test_the_same_calls_give_the_same_tree_and_the_same_errors(tmp_path: Path) -> None:
    for seed in range(40):
        _differential(seed, tmp_path / str(seed), 200)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_the_same_calls_give_the_same_tree_and_the_same_errors(tmp_path: Path) -> None:
    for seed in range(40, 1000):
        _differential(seed, tmp_path / str(seed), 300)


def test_it_has_every_call_of_the_layer() -> None:
    """One that is added to the layer and forgotten here would go to the real disk."""
    ours = vars(MemoryFileSystem)
    inherited = {"closing"}  # made of the others
    for name, value in vars(FileSystem).items():
        if callable(value) and not name.startswith("_") and name not in inherited:
            assert name in ours, name


def test_a_transaction_makes_the_same_tree_in_memory_as_on_the_disk(seed: int, tmp_path: Path) -> None:
    for number in range(seed * 10, seed * 10 + 10):
        old, changes, new = case(number)
        root = tmp_path / str(number)
        materialise(root, old)
        memory = MemoryFileSystem(on_disk(old))
        with mounted():
            for filesystem, place in ((FileSystem(), root), (memory, memory.root)):
                with Transaction(filesystem, place, "exec_same", 1, lambda reference: [], 1024) as transaction:
                    transaction.stage(changes, {})
                    transaction.apply()
                    transaction.commit({})
                    transaction.clean_up()
        assert memory.disk.tree() == snapshot(root) == new, f"seed {number}"
        recorded = {call.name for call in memory.calls}
        assert recorded <= set(MUTATING) and {"move", "fsync", "write"} <= recorded
