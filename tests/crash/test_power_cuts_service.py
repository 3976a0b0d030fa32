"""(g) The power is cut under the whole service: files, database, receipts and keys on one real disk.

After each cut and recovery the tree is the old or the new one, and everything that was told before the power went is
still so: a stored proposal, a recorded result, a kept change. History agrees with the tree, and the audit log is whole.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from tests.acceptance.ground import Ground
from tests.crash.driver import Dropped
from tests.crash.real_disks import KINDS, Disk, in_own_mounts
from tests.crash.test_power_cuts import PowerCut, SuddenCut
from tests.tally import counting

from lonelycat import ExecutionResult, FileChange
from lonelycat.errors import LonelyCatError
from lonelycat.lifecycle import Status
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.service import LonelyCat
from lonelycat.settings import Settings

PATHS = tuple(f"d{n % 3}/file{n}" for n in range(8))
CALLS = 130
"""More than an execution of these change sets makes of the executor's own."""
MICROSECONDS = 30_000
"""About as long as an execution takes."""
CUTS, LONG_CUTS = 3, 18


class Life:
    """One workspace on one disk."""

    def __init__(self, disk: Disk, rng: random.Random) -> None:
        self.disk, self.rng = disk, rng
        self.ground = Ground(disk.place)
        self.ground.policy["executor"]["require_verification_for_risk"] = []
        del self.ground.policy["verification"]
        self.model = {path: b"old\n" for path in PATHS[::2]}
        self.ground.write(self.model)
        self.ground.write_policy()
        self.number = 0
        os.sync()

    def tree(self) -> dict[str, bytes]:
        return {path: data for path, (kind, _, data) in self.ground.tree().items() if kind == "file" and path in PATHS}

    def one_execution(self) -> str:
        """Propose, execute into a power cut, recover, compare; return what happened."""
        self.number += 1
        changes, new = self._changes()
        plan_id = self.ground.keep(changes).plan.id
        layer = self._layer()
        result = None
        with layer, suppress(Dropped, LonelyCatError):  # a cut can come before there is a result
            result = self._execute(layer, plan_id)
            result = result if layer.is_heard else None
        layer.cut()
        self.disk.power_on()
        told = "nothing" if result is None else str(result.status)
        story = f"{len(changes)} changes, {layer.said}, told {told}"
        self._compare(plan_id, new, result)
        return story

    def _changes(self) -> tuple[Sequence[FileChange], dict[str, bytes]]:
        new, changes = dict(self.model), []
        for path in self.rng.sample(PATHS, self.rng.choice((1, 3, 8))):
            old, data = self.model.get(path), f"{path} {self.number}\n".encode()
            if old is None:
                changes.append(FileChange.create(path, data))
            elif self.rng.random() < 0.3:
                changes.append(FileChange.delete(path, old))
                del new[path]
                continue
            else:
                changes.append(FileChange.update(path, old, data))
            new[path] = data
        return changes, new

    def _layer(self) -> PowerCut:
        how = self.rng.choice(self.disk.kind.cuts)
        if how != "image" and self.rng.random() < 0.5:
            return SuddenCut(self.disk, self.rng.randrange(MICROSECONDS), how)
        lives_on = how != "image" and self.rng.random() < 0.5
        return PowerCut(self.disk, self.rng.randrange(CALLS), how, lives_on=lives_on)

    def _execute(self, layer: PowerCut, plan_id: str) -> ExecutionResult:
        return LonelyCat(Wiring(Settings.for_workspace(self.ground.root), filesystem=layer)).execute(plan_id)

    def _compare(self, plan_id: str, new: dict[str, bytes], result: ExecutionResult | None) -> None:
        cat = self.ground.cat()
        assert cat.proposal(plan_id).plan.id == plan_id
        told = None if result is None else result.status
        if result is not None and told is Status.COMPLETED and not result.warnings:
            assert [row.result.status for row in cat.log(plan_id=plan_id)] == [Status.COMPLETED]
        cat.recover()
        found = self.tree()
        assert found in (self.model, new), found
        rows = [row for row in cat.log(plan_id=plan_id, limit=100) if row.result.status is Status.COMPLETED]
        assert len(rows) == (found == new), rows
        if told is not None and told is not Status.INDETERMINATE and told is not Status.ROLLBACK_FAILED:
            assert found == (new if told is Status.COMPLETED else self.model)
        self.ground.assert_sound()
        self.model = found


def _live(kind: str, seed: int, base: Path, cuts: int) -> int:
    disk, stories = Disk(KINDS[kind], base), list[str]()
    try:
        with counting("power-cuts") as counts:
            life = Life(disk, random.Random(f"service {kind} {seed}"))
            for _ in range(cuts):
                stories.append(life.one_execution())
                counts[f"{kind}_under_the_service"] += 1
    except Exception as error:
        again = f"python -m pytest tests/crash/test_power_cuts_service.py -k {kind} --seeds {seed}:{seed + 1}"
        told = "\n  ".join(stories)
        raise AssertionError(f"{error}\nafter {len(stories)} cuts:\n  {told}\nagain with: {again}") from error
    finally:
        disk.close()
    return len(stories)


@pytest.mark.parametrize("kind", KINDS)
def test_power_cuts_under_the_service(kind: str, tmp_path: Path) -> None:
    assert in_own_mounts(lambda: _live(kind, 0, tmp_path, CUTS)) == CUTS


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_long_power_cuts_under_the_service(kind: str, service_seed: int, tmp_path: Path) -> None:
    assert in_own_mounts(lambda: _live(kind, service_seed, tmp_path, LONG_CUTS)) == LONG_CUTS
