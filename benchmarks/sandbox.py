"""What a sandbox and a rehearsal cost: whole executions of a one-file change, verified by a real test suite.

Run alone: ``python -m benchmarks.sandbox``. Each round runs every way once, in turn, so that what else the machine does
falls on all of them; a ratio is the median of the rounds' own ratios to the run without a sandbox.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.workspace import text, throwaway

from lonelycat import Executor, FileChange, Planner, WriteGate
from lonelycat.checks.sandbox import launch
from lonelycat.checks.sandbox.level import LEVELS, Level

ROOT = Path(__file__).resolve().parents[1]
SUITES = {
    "one test": (15, ("tests/test_one.py",)),
    "220 tests of LonelyCat's own": (7, ("tests/unit/changes",)),
}
"""By name: rounds, and what pytest is given."""
WITHOUT = "without a sandbox"
_UNSANDBOXED = {"executor": {"verification": {"unsandboxed": "allow"}}, "sandbox": {"enabled": False}}
WAYS: dict[str, tuple[Level | None, dict[str, Any]]] = {
    WITHOUT: (None, _UNSANDBOXED),
    "in bubblewrap": (Level.BUBBLEWRAP, {}),
    "in namespaces": (Level.NAMESPACES, {}),
    "rehearsed": (Level.BUBBLEWRAP, {"executor": {"verification": {"mode": "rehearse"}}}),
    "rehearsed and in place": (Level.BUBBLEWRAP, {"executor": {"verification": {"mode": "both"}}}),
}
_CHANGED = "src/changed.py"


@dataclass(frozen=True)
class Overhead:
    """One suite, one way: median seconds of a whole execution, and the median ratio to the one without a sandbox."""

    suite: str
    way: str
    seconds: float
    ratio: float


def measure() -> list[Overhead]:
    """Run every suite every way."""
    found = []
    for suite, (rounds, arguments) in SUITES.items():
        with throwaway() as base:
            roots = {way: _prepare(base / f"way-{number}", way, arguments) for number, way in enumerate(WAYS)}
            times: dict[str, list[float]] = {way: [] for way in WAYS}
            for revision in range(rounds + 1):  # the first warms what is cached on disk
                for way, root in roots.items():
                    times[way].append(_once(root, way, revision))
        for way in WAYS:
            pairs = list(zip(times[way][1:], times[WITHOUT][1:], strict=True))
            ratio = statistics.median(own / without for own, without in pairs)
            found.append(Overhead(suite, way, statistics.median(own for own, _ in pairs), ratio))
    return found


def _prepare(root: Path, way: str, arguments: tuple[str, ...]) -> Path:
    """Make a workspace with LonelyCat's own code and tests, under a policy that verifies the given way."""
    for part in ("src", "tests/unit/changes"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tests/test_one.py").write_text("def test_one():\n    assert 1 + 1 == 2\n", encoding="utf-8")
    (root / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n", encoding="utf-8")
    (root / _CHANGED).write_bytes(text(1, 0))
    differs = WAYS[way][1]
    policy = {
        "version": 1,
        "name": "benchmark",
        "executor": {
            "allowed_paths": ["**"],
            "require_health_checks_for_risk": [],
            "constraints": {"max_execution_time": 600, "max_step_time": 600},
            **differs.get("executor", {}),
        },
        "verification": {
            "tests": {
                "argv": ["{python}", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
                "env": {"PYTHONPATH": "src"},
                "timeout": 600,
                "no_tests": {"require_output_pattern": "passed"},
                "sandbox": differs.get("sandbox", {}),
            }
        },
    }
    place = root / "agent/policies/default.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(policy), encoding="utf-8")
    return root


def _once(root: Path, way: str, revision: int) -> float:
    level = WAYS[way][0]
    launch.LEVELS = LEVELS if level is None else (level,)
    change = FileChange.update(_CHANGED, text(1, revision), text(1, revision + 1))
    plan, changeset = Planner.from_workspace(root).plan(intent="measure", created_by="agent:bench", changes=[change])
    decision = WriteGate.from_workspace(root).evaluate(plan, changeset)
    begun = time.perf_counter()
    result = Executor(root).execute(plan, changeset, decision)
    took = time.perf_counter() - begun
    assert result.success, result
    return took


def main() -> int:
    """Print one line for each suite and way."""
    for row in measure():
        print(f"{row.suite}, {row.way}: {row.seconds * 1000:.0f} ms, {row.ratio:.2f} ×")
    return 0


if __name__ == "__main__":
    sys.exit(main())
