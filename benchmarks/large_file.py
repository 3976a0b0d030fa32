"""Peak memory of executing one 512 MiB binary file, above that of a bare interpreter.

Run alone: ``python -m benchmarks.large_file [MEBIBYTES]``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workspace import govern, throwaway

# VmHWM starts anew with every program; ru_maxrss remembers the process that this one was forked from.
PEAK = """
import re, sys
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""
_EXECUTE = (
    """
import sys
from lonelycat import ChangePlan, ChangeSet, Executor, FileChange, WriteGate
from lonelycat.records.blobs import BlobStore
from lonelycat.settings import Settings
from pathlib import Path

def chunks(path):
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            yield data

root, source = Path(sys.argv[1]), sys.argv[2]
Settings.for_workspace(root).state_dir.mkdir(mode=0o700, exist_ok=True)
blob = BlobStore(root / ".lonelycat" / "blobs").put_stream(chunks(source))
plan = ChangePlan.new(intent="benchmark", created_by="agent:benchmark", affected_paths=["big.bin"])
changeset = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("big.bin", blob)])
decision = WriteGate.from_workspace(root).evaluate(plan, changeset)
result = Executor(root).execute(plan, changeset, decision)
assert result.success, (decision.reasons, result)
assert (root / "big.bin").stat().st_size == blob.size
"""
    + PEAK
)


@dataclass(frozen=True)
class Memory:
    """Peak resident memory in MiB."""

    file_mib: int
    interpreter_mib: float
    lonelycat_mib: float

    @property
    def above_mib(self) -> float:
        """What the execution needs above the bare interpreter."""
        return self.lonelycat_mib - self.interpreter_mib


def peak(script: str, *arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=True, stderr=subprocess.PIPE, text=True)
    return int(done.stderr.split()[-1]) / 1024


def measure(mebibytes: int = 512) -> Memory:
    """Execute the creation of a file of ``mebibytes`` random MiB in a process of its own."""
    with throwaway() as root:
        workspace, source = root / "workspace", root / "source.bin"
        workspace.mkdir()
        govern(workspace)
        _write_random(source, mebibytes)
        return Memory(mebibytes, peak(PEAK), peak(_EXECUTE, str(workspace), str(source)))


def _write_random(path: Path, mebibytes: int) -> None:
    with path.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(1 << 20))


if __name__ == "__main__":
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
    print(found, f"above: {found.above_mib:.0f} MiB")
