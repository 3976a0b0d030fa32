"""Throwaway workspaces for the benchmarks: many small files, and a policy that runs no checks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLICY = """\
version: 1
name: benchmark
executor:
  allowed_paths: ["**"]
  constraints: {max_files_touched: 100000, max_patch_lines: 10000000, max_file_bytes: 2000000000,
                max_total_bytes: 4000000000, max_deletions: 100000, max_execution_time: 3000, max_step_time: 3000}
  require_health_checks_for_risk: []
  require_verification_for_risk: []
  require_rollback_plan_for_risk: []
approval_for_risk: []
content: {binary: allow, weakened_tests: allow}
shadow: [UNSCANNED_CONTENT]
"""


BASE = Path("/var/tmp")  # noqa: S108 — throwaway directories get names of their own
"""It is on disk where ``/tmp`` may be in memory; and it is seldom used, so that looking for a free inode, which a
well-used ext4 directory makes slow for everybody, does not drown what is measured."""


@contextmanager
def throwaway(below: Path = BASE) -> Iterator[Path]:
    """Yield an empty directory below ``below``, on a real disk unless said otherwise, removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="lonelycat-bench-", dir=below))
    try:
        yield root
    finally:
        shutil.rmtree(root)


def text(number: int, revision: int) -> bytes:
    """Return a small source-like text of about 1.4 KiB; revisions differ in one line."""
    lines = [f"value_{number}_{line} = {line * number}\n" for line in range(60)]
    lines[30] = f"revision = {revision}\n"
    return "".join(lines).encode()


def fill(root: Path, files: int) -> list[str]:
    """Write ``files`` small files in directories of 50 and return their paths."""
    paths = [f"src/part_{number // 50:03d}/module_{number:05d}.py" for number in range(files)]
    for number, path in enumerate(paths):
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text(number, 0))
    return paths


def govern(root: Path) -> None:
    """Put the policy in place."""
    place = root / "agent/policies/default.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(POLICY, encoding="utf-8")
