"""Whether old files are kept by links or by copies shows in nothing that a change leaves: tree, evidence, revert."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.acceptance.ground import POLICY_PATH, Ground, Proposed, Tree
from tests.crash.trees import Tree as Wanted
from tests.crash.trees import fits, materialise, random_changes, random_tree, with_parents

from lonelycat import ExecutionResult, FileChange, Verdict
from lonelycat.changes.changeset import SYMLINK
from lonelycat.executor import staging
from lonelycat.lifecycle import Status
from lonelycat.runtime.evidence import DIFF
from lonelycat.runtime.inverses import INVERSE
from lonelycat.runtime.judgement import Judgement

WAYS = {"linked": (10**9, 4 << 20), "copied": (1, 4 << 20), "copied, and read again for the evidence": (1, 0)}
"""From how many files on they are copied, and how many of their bytes are held in memory."""
SIZES = {f"sizes/{size}": b"%d" % (size % 10) * size for size in (0, 1, 511, 512, 513, 16384, 16385, 65536, 65537)}


def _case(seed: int) -> tuple[Wanted, list[FileChange]]:
    rng = random.Random(seed)
    sizes = [FileChange.update(path, data, data[::-1] + b"!") for path, data in SIZES.items()]
    while True:
        tree = with_parents(random_tree(rng, 24))
        allowed = [
            change for change in random_changes(rng, tree, 12) if SYMLINK not in (change.old_mode, change.new_mode)
        ]
        if len(allowed) > 4 and fits(tree, allowed):
            return tree, [*allowed, *sizes]


def _left(base: Path, seed: int) -> tuple[list[Tree], bytes, bytes]:
    """Return the trees before a change, after it and after its revert, and the change's evidence."""
    tree, changes = _case(seed)
    base.mkdir(parents=True)
    ground = Ground(base)
    ground.policy["executor"]["require_health_checks_for_risk"] = []
    ground.policy["verification"]["look"]["argv"] = ground.argv("sys.exit((outside / 'fail').exists())")
    ground.policy["content"]["invisible_text"] = "allow"
    materialise(ground.root, tree)
    ground.write(SIZES)
    ground.write_policy()
    before = ground.tree()
    (ground.outside / "fail").touch()
    taken_back = ground.keep([*changes, FileChange.create("taken-back", b"")])  # the same would need an approval then
    assert _execute(ground, taken_back).status is Status.ROLLED_BACK
    assert ground.tree() == before
    assert [path for path in ground.root.rglob("*") if path.is_file() and path.lstat().st_nlink > 1] == []
    (ground.outside / "fail").unlink()
    result = _execute(ground, ground.keep(changes))
    after = ground.tree()
    evidence = ground.root / ".lonelycat/executions" / result.execution_id
    inverse, diff = (evidence / INVERSE).read_bytes(), (evidence / DIFF).read_bytes()
    back = _execute(ground, ground.cat().revert(result.execution_id, by="human:reverter"))
    assert (result.status, back.status) == (Status.COMPLETED, Status.COMPLETED)
    ground.assert_sound()
    trees = [before, after, ground.tree()]
    for each in trees:
        del each[POLICY_PATH]  # which names the place of this run
    return trees, inverse, diff


def _execute(ground: Ground, judged: Proposed | Judgement) -> ExecutionResult:
    assert judged.decision.verdict is Verdict.ALLOW, judged.decision.reasons
    return ground.cat().execute(judged.plan.id)


def _same_in_every_way(base: Path, seed: int) -> None:
    found = []
    for number, (copied_from, held) in enumerate(WAYS.values()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(staging, "SYNC_WHOLE_FROM", copied_from)
            patch.setattr(staging.SmallContents, "TOTAL_BYTES", held)
            found.append(_left(base / str(number), seed))
    assert found[1] == found[0] and found[2] == found[0], f"seed {seed}"


@pytest.mark.parametrize("seed", range(2))
def test_it_shows_nowhere_how_old_files_are_kept(seed: int, tmp_path: Path) -> None:
    _same_in_every_way(tmp_path, seed)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_it_shows_nowhere_how_old_files_are_kept(tmp_path: Path) -> None:
    for seed in range(2, 100):
        _same_in_every_way(tmp_path / str(seed), seed)
