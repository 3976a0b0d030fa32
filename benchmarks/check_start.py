"""``lonelycat check`` on a one-file patch, whole process, in units of the bare interpreter's start.

Run alone: ``python -m benchmarks.check_start``. Bytecode is compiled before, as it is in any installation.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workspace import throwaway

ROUNDS = 21
LONELYCAT = Path(sys.executable).with_name("lonelycat")


@dataclass(frozen=True)
class Start:
    """Median seconds, and the median of the ratios round by round."""

    interpreter: float
    check: float
    ratio: float


def _timed(command: list[str], cwd: Path) -> float:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def measure(rounds: int = ROUNDS) -> Start:
    """Take turns ``rounds`` times, after two rounds that do not count."""
    with throwaway() as root:
        (root / "docs").mkdir()
        (root / "docs/page.md").write_text("one\ntwo\nthree\n")
        patch = root / "change.patch"
        patch.write_text(
            "diff --git a/docs/page.md b/docs/page.md\n--- a/docs/page.md\n+++ b/docs/page.md\n"
            "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
        )
        subprocess.run([LONELYCAT, "init"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        check = [str(LONELYCAT), "check", "--patch", str(patch), "--intent", "count in digits"]
        bare = [sys.executable, "-c", "pass"]
        rows = [(_timed(bare, root), _timed(check, root)) for _ in range(rounds + 2)][2:]
    return Start(
        statistics.median(row[0] for row in rows),
        statistics.median(row[1] for row in rows),
        statistics.median(row[1] / row[0] for row in rows),
    )


if __name__ == "__main__":
    print(measure())
