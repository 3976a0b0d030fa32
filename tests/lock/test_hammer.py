"""One lock can explain what many processes did with it, whoever was killed or stopped, whatever became of its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.lock.history import Verdict, check, read_history
from tests.tally import tally

REPOSITORY = Path(__file__).resolve().parents[2]
MODES = {
    "deaths": ("--rough", "--pause", "0.004"),
    "two-alone": ("--rough", "--workers", "2"),
    "orphans": ("--rough", "--orphans"),
    "spoilt-files": ("--rough", "--orphans", "--sabotage", "files"),
    "taken-away": ("--rough", "--sabotage", "directories"),
    "synced": ("--orphans",),
}


def hammer(base: Path, mode: str, seed: int, records: int, code: Path = REPOSITORY / "src") -> Verdict:
    """Hammer a workspace below ``base`` and return what its history comes to."""
    root, history = base / "root", base / "history"
    root.mkdir(parents=True)
    words = [str(root), str(history), "--records", str(records), "--seed", str(seed), *MODES[mode]]
    done = subprocess.run(
        [sys.executable, "-m", "tests.lock.hammer", *words],
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{code}:{REPOSITORY}"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return check(read_history(history))


def _run(base: Path, mode: str, seed: int, records: int) -> None:
    found = hammer(base, mode, seed, records)
    tally(
        "lock",
        operations=found.operations,
        acquisitions=found.acquisitions,
        releases=found.releases,
        tries_refused=found.refusals,
        looks=found.looks,
        kills=found.kills,
        orphans=found.orphans,
        violations=len(found.violations),
    )
    again = f"again with: python -m pytest tests/lock/test_hammer.py -k 'history and {mode} and not long' --from {seed}"
    assert found.violations == [], f"{again}\n" + "\n".join(found.violations[:5])
    assert found.acquisitions > records / 100
    assert found.refusals > 0
    assert found.looks > 0
    assert found.kills > 0


@pytest.mark.parametrize("mode", MODES)
def test_one_lock_explains_the_history(mode: str, only: int | None, tmp_path: Path) -> None:
    _run(tmp_path, mode, only or 0, 1_500 if mode == "synced" else 4_000)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(1, 4))
def test_long_one_lock_explains_the_history(mode: str, seed: int, tmp_path: Path) -> None:
    _run(tmp_path, mode, seed, 20_000 if mode == "synced" else 90_000)
