"""The same deaths and faults with the calls of other systems: a walk instead of openat2, no syncfs.

Short here; ``python -m pytest tests/crash --platform walking`` (or ``macos``) runs the whole harness that way.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from tests.crash.driver import execute, in_dying_process, leftovers, quarantined, recover
from tests.crash.layers import Failing, Hooked, Killed
from tests.crash.trees import case, materialise, snapshot
from tests.tally import tally

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.filesystem import FileSystem

OTHERS = pytest.mark.parametrize("platform", ["walking", "macos"], indirect=True)


def _again(seed: int) -> str:
    return (
        f"again with: python -m pytest tests/crash/test_other_platforms.py -k at_every_call --seeds {seed}:{seed + 1}"
    )


def _trace(root: Path, seed: int, *, keep: bool) -> list[str]:
    old, changes, new = case(seed)
    shutil.rmtree(root, ignore_errors=True)
    materialise(root, old)
    layer = Hooked()
    assert execute(layer, root, changes, keep=keep) == ("completed" if keep else "rolled_back")
    assert snapshot(root) == (new if keep else old)
    return layer.trace


@OTHERS
@pytest.mark.parametrize("keep", [True, False])
def test_dying_or_failing_at_every_call_leaves_the_old_tree_or_the_new(
    platform: str, seed: int, keep: bool, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    old, changes, new = case(seed)
    trace = _trace(root, seed, keep=keep)
    assert ("syncfs" in trace) <= (platform != "macos"), "a system without syncfs was asked for it"
    for at, name in enumerate(trace):
        shutil.rmtree(root)
        materialise(root, old)
        fails = (at + seed) % 2 == 0
        if fails:
            execute(Failing(at, errno.EIO), root, changes, keep=keep)
        else:
            assert in_dying_process(lambda at=at: execute(Killed(at), root, changes, keep=keep))  # type: ignore[misc]
        recover(FileSystem(), root)
        where = (
            f"{platform}: {'EIO' if fails else 'died'} at call {at} ({name}), keep={keep}, seed {seed}; {_again(seed)}"
        )
        assert snapshot(root) in (old, new), where
        assert leftovers(root) == [] and quarantined(root) == [], where
    tally("platforms", calls=len(trace), violations=0)


@OTHERS
def test_a_transaction_of_many_files_costs_one_flush_of_the_drive_at_each_barrier(
    platform: str, tmp_path: Path
) -> None:
    """Where there is no syncfs, each file is handed over, and the drive is told to write out as often as with it."""
    (tmp_path / "d").mkdir()
    for number in range(50):
        (tmp_path / f"d/{number}").write_bytes(b"old")
    changes = [FileChange.update(f"d/{number}", b"old", b"new") for number in range(50)]
    layer = Hooked()
    execute(layer, tmp_path, (*changes, *(FileChange.create(f"new/{n}", b"new") for n in range(50))), keep=True)
    assert layer.trace.count("hand_over") == (0 if platform == "walking" else 100 + len(("", "d", "new")))
    barriers = [name for name in layer.trace if name in ("fsync", "syncfs")]
    assert len(barriers) <= 9, barriers
