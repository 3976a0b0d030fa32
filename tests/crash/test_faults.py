"""(b) EIO and ENOSPC at every mutating call, once or lasting, before or after it took effect: never a mix.

What is told matches the tree: ``completed`` is the new one; ``refused`` and ``rolled_back`` are the old one;
``rollback_failed`` and ``indeterminate`` are what recovery makes of them, which is one of the two.
"""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from tests.crash.driver import Dropped, clone, drop, execute, leftovers, quarantined, recover, writers
from tests.crash.layers import Failing, Hooked
from tests.crash.trees import Tree, case, materialise, snapshot
from tests.tally import counting

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem

KINDS = {
    "EIO": {"code": errno.EIO},
    "EIO after it happened": {"code": errno.EIO, "late": True},
    "ENOSPC": {"code": errno.ENOSPC, "torn": True},
    "ENOSPC from then on": {"code": errno.ENOSPC, "stays": True, "torn": True},
}


def _again(seed: int) -> str:
    return f"again with: python -m pytest tests/crash/test_faults.py -k every_call --seeds {seed}:{seed + 1}"


def _check(root: Path, told: str, old: Tree, new: Tree, where: str) -> None:
    if told == "completed":
        assert snapshot(root) == new, where
    elif told in ("refused", "rolled_back"):
        assert snapshot(root) == old, where
    else:
        assert told in ("rollback_failed", "indeterminate"), where
    recovered = recover(FileSystem(), root)
    found = snapshot(root)
    assert found in (old, new), where
    if told in ("completed", "refused", "rolled_back"):
        assert found == (new if told == "completed" else old), where
    if told == "rollback_failed":
        assert found == old, where
    assert all(item.outcome in ("nothing_applied", "undone", "committed") for item in recovered), where
    assert leftovers(root) == [] and quarantined(root) == [], where


def _every_call(seed: int, base: Path, kinds: list[str]) -> None:
    with counting("faults") as counts, writers(seed):
        _fail_every_call(seed, base, kinds, counts)


def _fail_every_call(seed: int, base: Path, kinds: list[str], counts: Counter[str]) -> None:
    old, changes, new = case(seed)
    for keep in (True, False):
        root = base / "root"
        shutil.rmtree(root, ignore_errors=True)
        materialise(root, old)
        layer = Hooked()
        execute(layer, root, changes, keep=keep)
        for at, name in enumerate(layer.trace):
            for kind in kinds:
                shutil.rmtree(root)
                materialise(root, old)
                where = f"{kind} at call {at} ({name}), keep={keep}, seed {seed}; {_again(seed)}"
                try:
                    told = execute(Failing(at, **KINDS[kind]), root, changes, keep=keep)  # type: ignore[arg-type]
                except Exception as error:
                    raise AssertionError(f"raised {error!r}: {where}") from error
                _check(root, told, old, new, where)
                counts["faults"] += 1


def test_a_fault_at_every_call(seed: int, tmp_path: Path) -> None:
    kinds = list(KINDS)
    _every_call(seed, tmp_path, [kinds[seed % len(kinds)]])


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_a_fault_at_every_call(fault_seed: int, tmp_path: Path) -> None:
    _every_call(fault_seed, tmp_path, list(KINDS))


def test_a_fault_at_every_call_of_the_recovery(seed: int, tmp_path: Path) -> None:
    with counting("faults") as counts, writers(seed):
        _fail_every_call_of_the_recovery(seed, tmp_path, counts)


def _fail_every_call_of_the_recovery(seed: int, tmp_path: Path, counts: Counter[str]) -> None:
    kind = list(KINDS)[seed % len(KINDS)]
    old, changes, _ = case(seed)
    died, root, at = tmp_path / "died", tmp_path / "root", 0
    materialise(died, old)
    with pytest.raises(Dropped):
        execute(FileSystem(), died, changes, keep=True, between=drop)
    while True:
        shutil.rmtree(root, ignore_errors=True)
        clone(died, root)
        layer = Failing(at, **KINDS[kind])  # type: ignore[arg-type]
        with suppress(OSError, StateError):
            recover(layer, root)
        recover(FileSystem(), root)
        where = f"{kind} at call {at} of the recovery, seed {seed}"
        assert snapshot(root) == old, where
        assert leftovers(root) == [] and quarantined(root) == [], where
        counts["faults"] += 1
        if layer.calls <= at:
            return
        at += 1


def test_undo_on_a_full_disk_lives_on_the_ballast(tmp_path: Path) -> None:
    materialise(tmp_path, {})
    changes = (FileChange.create("a/b", b"x"),)

    class Full(Hooked):
        freed = full = False

        def before(self, number: int, name: str, arguments: tuple[object, ...]) -> None:
            if name == "unlink" and arguments[1] == "ballast":
                self.freed = True
            if self.full and not self.freed and name in ("write", "hard_link", "create_file", "make_directory"):
                raise OSError(errno.ENOSPC, "full")

    layer = Full()

    def fill() -> None:
        assert (tmp_path / ".lonelycat/tx/exec_test/ballast").stat().st_blocks * 512 >= 256 * 1024
        layer.full = True

    assert execute(layer, tmp_path, changes, keep=False, between=fill) == "rolled_back"
    assert layer.freed and snapshot(tmp_path) == {}
