"""How often one execution makes the disk wait, history and audit included: counted by the kernel's own account."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.workspace import govern
from tests.debian import program

MOST = 14
"""Fences, staged content, journal, three directories, two barriers, COMMITTED, the receipt's name: 9. SQLite's: 5."""
_EXECUTE = """
import os, sys
from lonelycat import ChangePlan, ChangeSet, Executor, FileChange, WriteGate

root, marker = sys.argv[1:]
for old, new in ((b"one", b"two"), (b"two", b"three")):
    changes = [FileChange.update("page.txt", old, new)]
    plan = ChangePlan.new(intent="count", created_by="agent:x", affected_paths=["page.txt"])
    changeset = ChangeSet.build(plan_id=plan.id, changes=changes)
    decision = WriteGate.from_workspace(root).evaluate(plan, changeset)
    os.fsync(os.open(marker, os.O_WRONLY))
    assert Executor(root).execute(plan, changeset, decision).success
os.fsync(os.open(marker, os.O_WRONLY))
"""


def test_one_file_makes_the_disk_wait_at_most_fourteen_times(tmp_path: Path) -> None:
    root, marker, trace = tmp_path / "workspace", tmp_path / "marker", tmp_path / "trace"
    root.mkdir()
    govern(root)
    (root / "page.txt").write_bytes(b"one")
    marker.touch()
    strace = [program("strace", "strace"), "-f", "-y", "-o", str(trace)]
    calls = "trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync"
    subprocess.run([*strace, "-e", calls, sys.executable, "-c", _EXECUTE, str(root), str(marker)], check=True)
    lines = [line for line in trace.read_text().splitlines() if re.search(r"sync\w*\(", line)]
    marks = [number for number, line in enumerate(lines) if f"<{marker}>" in line]
    assert len(marks) == 3
    made = lines[marks[1] + 1 : marks[2]]  # those of the second: the first makes directories and the database
    assert sum("syncfs(" in line for line in made) == 2
    assert 9 <= len(made) <= MOST, "\n".join(made)
