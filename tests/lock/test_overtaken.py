"""A resumed zombie: stopped at any call, its lock lost, its work dealt with by the next executor, and woken up again.

The kernel does not take an flock from a living process, so the zombie gives its own up before it stops. From then on
everything is real: the next executor takes the lock, recovers, executes changes of its own to the same paths and
records them. What the zombie does after that must change nothing that anybody looks at.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground, Proposed
from tests.crash.layers import Hooked
from tests.tally import tally

from lonelycat import FileChange
from lonelycat.executor.execution_lock import LockManager
from lonelycat.lifecycle import Status

HERE = "tests/lock/test_overtaken.py"
ZOMBIES = [
    FileChange.update("app/settings.txt", "old\n", "the zombie's\n"),
    FileChange.create("made/by/zombie.txt", "the zombie's\n"),
    FileChange.delete("gone/now.txt", "here\n"),
]
THE_NEXT = [
    FileChange.update("app/settings.txt", "old\n", "the next one's\n"),
    FileChange.create("made/by/next.txt", "the next one's\n"),
]
AFTER_A_COMMIT = [FileChange.create("docs/next.txt", "the next one's\n")]


class Zombie(Hooked):
    """Before its ``at``-th call under the lock, the process loses its lock and stops."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__()
        self.root = root
        self.at = at
        self.under_the_lock = -1
        self.names: list[str] = []

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if self.under_the_lock >= 0:
            self.names.append(name)
            if self.under_the_lock == self.at:
                _lose_every_lock(self.root)
                os.kill(os.getpid(), signal.SIGSTOP)
            self.under_the_lock += 1
        elif name == "write" and b'"execution_id"' in arguments[1]:
            self.under_the_lock = 0


def _lose_every_lock(root: Path) -> None:
    locked = {str(root), *(str(root / ".lonelycat/locks" / name) for name in ("guard", "children"))}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}") in locked:
                fcntl.flock(int(number), fcntl.LOCK_UN)


@dataclass
class Scene:
    """A workspace as it was before, and the two change sets that are about to meet in it."""

    ground: Ground
    before: Path
    zombies: Proposed
    next: Proposed
    after_a_commit: Proposed

    def reset(self) -> None:
        """Put the workspace back to what it was before."""
        shutil.rmtree(self.ground.root)
        shutil.copytree(self.before, self.ground.root, symlinks=True)

    def what_counts(self) -> dict[str, object]:
        """Return the tree, the state that executors share, and the records."""
        state = self.ground.root / ".lonelycat"
        cat = self.ground.cat()
        return {
            "tree": self.ground.tree(),
            "fence": (state / "locks/fence").read_bytes(),
            "transactions": self.ground.leftovers(),
            "quarantine": sorted(os.listdir(state / "quarantine")) if (state / "quarantine").is_dir() else [],
            "history": [(row.result.execution_id, row.result.status) for row in cat.log(limit=100)],
            "audit": [record["hash"] for record in cat.audit_export()],
            "frozen": cat.status().frozen,
        }


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    ground = Ground(tmp_path)
    ground.policy["executor"]["require_health_checks_for_risk"] = []
    ground.begin({"app/settings.txt": "old\n", "gone/now.txt": "here\n"})
    proposals = [ground.judge(changes) for changes in (ZOMBIES, THE_NEXT, AFTER_A_COMMIT)]
    ground.cat().status()
    shutil.copytree(ground.root, tmp_path / "before", symlinks=True)
    return Scene(ground, tmp_path / "before", *proposals)


def _rise(scene: Scene, layer: Zombie, fails: bool) -> int:
    """Fork the zombie; return its pid once it has stopped or ended."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if fails:
            layer.fsync = _disk_fails_once(layer)  # type: ignore[method-assign]
        scene.ground.execute_wired(scene.zombies, filesystem=layer)
        status = 0
    finally:
        os._exit(status)


def _disk_fails_once(layer: Zombie) -> Callable[[int], None]:
    """Return an fsync that fails once the changes are in the tree, so that the zombie is on its way back."""
    failed = False
    real = layer.fsync

    def fsync(fd: int) -> None:
        nonlocal failed
        if not failed and os.readlink(f"/proc/self/fd/{fd}").endswith("/app"):
            failed = True
            raise OSError(5, "the disk fails")
        real(fd)

    return fsync


def _meet(scene: Scene, at: int, fails: bool) -> bool:
    """Let them meet with the zombie stopped at call ``at``; tell whether there was such a call."""
    scene.reset()
    zombie = _rise(scene, Zombie(scene.ground.root, at), fails)
    _, status = os.waitpid(zombie, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        assert os.waitstatus_to_exitcode(status) == 0
        return False
    again = f"again with: python -m pytest {HERE} -k 'a_zombie and not long' --from {at}"
    try:
        kept = _the_next_one(scene)
        before = scene.what_counts()
    finally:
        os.kill(zombie, signal.SIGCONT)
        _, status = os.waitpid(zombie, 0)
    assert os.waitstatus_to_exitcode(status) == 0, again
    after = scene.what_counts()
    different = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    tally("lock", zombies=1, violations=int(bool(different)))
    assert not different, f"stopped at call {at}, kept {kept}; {again}: {different}"
    with LockManager(scene.ground.root, 0).lock_execution("exec_last", "plan_last"):
        pass
    return True


def _the_next_one(scene: Scene) -> bool:
    """Take over and execute; tell whether the zombie had passed its commit point."""
    result = scene.ground.execute_wired(scene.next)
    kept = result.status is Status.CONFLICT
    if kept:
        result = scene.ground.execute_wired(scene.after_a_commit)
    assert result.status is Status.COMPLETED, result
    return kept


def _everywhere(scene: Scene, calls: range, only: int | None, fails: bool) -> None:
    for at in calls if only is None else (only,):
        if not _meet(scene, at, fails):
            assert at > 40 or only is not None, f"the execution was over after {at} calls"
            return
    assert only is not None, "it never came to its end"


@pytest.mark.parametrize("fails", [False, True], ids=["on-its-way", "on-its-way-back"])
def test_a_zombie_changes_nothing(scene: Scene, only: int | None, fails: bool) -> None:
    _everywhere(scene, range(5 if fails else 2, 200, 13), only, fails)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("fails", [False, True], ids=["on-its-way", "on-its-way-back"])
def test_long_a_zombie_changes_nothing_wherever_it_was_stopped(scene: Scene, only: int | None, fails: bool) -> None:
    _everywhere(scene, range(200), only, fails)
