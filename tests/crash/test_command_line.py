"""(i) The real command line, killed or failed by strace at one system call, be it Python's, SQLite's or LonelyCat's.

After it and ``lonelycat recover`` the tree is the old or the new one, history and audit log say the same, the exit code
is a documented one that fits, and the change can be made. The calls are chosen from a recorded run: those of the main
process that name something in the workspace.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.debian import program
from tests.interfaces.hostile.siege import BY, Siege, Tree, answered, draft
from tests.tally import counting

from lonelycat.interfaces.cli.exits import Exit

CALLS = (
    *("renameat2", "renameat", "rename", "linkat", "symlinkat", "unlinkat", "unlink", "mkdirat", "mkdir", "rmdir"),
    *("openat", "openat2", "write", "pwrite64", "ftruncate", "fallocate", "fchmod", "fsync", "fdatasync", "syncfs"),
)
FAULTS = {"killed": "signal=SIGKILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
SLICE = 6
LONG = 150
_LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)")
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


@dataclass(frozen=True)
class Point:
    """One call of a run: which system call, and the how-manieth of it."""

    call: str
    when: int
    text: str


class Rig:
    """A workspace in one state, copied anew for every run, and the points at which a run of it can be hit."""

    def __init__(self, siege: Siege, name: str) -> None:
        self._siege = siege
        self._kept = siege.base / f"kept-{name}"
        self.name = name
        shutil.copytree(siege.root, self._kept, symlinks=True)
        self.old = siege.contents()
        self.points = self._record()
        self.new = siege.contents()
        assert self.new != self.old

    def _fresh(self) -> None:
        shutil.rmtree(self._siege.root)
        shutil.copytree(self._kept, self._siege.root, symlinks=True)

    def _run(self, *options: str) -> tuple[int, bytes, bytes]:
        """Run the change under strace with ``options``, into the file ``trace``."""
        document = {"changes": CHANGES}
        command = [
            *(program("strace", "strace"), "-f", "-o", str(self._siege.base / "trace"), *options),
            *(sys.executable, "-m", "lonelycat", "-C", str(self._siege.root), "--json", "run"),
            *("--changeset", str(self._siege.file("d.json", document)), *BY),
        ]
        environment = {name: v for name, v in self._siege.environment().items() if not name.startswith("COVERAGE_")}
        done = subprocess.run(command, cwd=self._siege.base, env=environment, capture_output=True, timeout=100)
        return done.returncode, done.stdout, done.stderr

    def _trace(self) -> str:
        return (self._siege.base / "trace").read_text(errors="replace")

    def _record(self) -> list[Point]:
        assert self._run("-e", "trace=none")[0] == 0  # what is not compiled yet is compiled before anything is counted
        self._fresh()
        exit_, out, err = self._run("-y", "-e", f"trace={','.join(CALLS)}")
        assert exit_ == 0, (out, err)
        counted: Counter[str] = Counter()
        points, main = [], None
        for line in map(_LINE.match, self._trace().splitlines()):
            if line is None:
                continue
            main = main or line["pid"]
            if line["pid"] == main:
                counted[line["call"]] += 1
                if str(self._siege.root) in line["rest"]:
                    points.append(Point(line["call"], counted[line["call"]], line["rest"][:300]))
        return points

    def hit(self, point: Point, fault: str) -> str:
        """Run the change with ``fault`` at ``point``, recover, compare; return how the run ended."""
        self._fresh()
        # A signal is not injected with the filter, which makes everything else three times as fast.
        fast = () if fault == "killed" else ("--seccomp-bpf",)
        inject = f"inject={point.call}:{FAULTS[fault]}:when={point.when}"
        exit_, out, err = self._run(*fast, "-e", f"trace={point.call}", "-e", inject)
        assert b"Traceback" not in out + err, err.decode(errors="replace")
        killed = exit_ in _KILLED
        hit = killed or "(INJECTED)" in self._trace()
        if not killed:
            told = answered(exit_, out, err)
            assert exit_ in set(Exit), told
        self._check_recovered(exit_)
        self._check_again()
        return "missed" if not hit else "killed" if killed else f"exit_{exit_}"

    def _check_recovered(self, exit_: int) -> None:
        siege = self._siege
        recovered = siege.cli("recover")
        assert recovered.exit == 0, recovered
        found = siege.contents()
        assert found in (self.old, self.new), _difference(found, self.new)
        if exit_ == Exit.DONE:
            assert found == self.new
        elif exit_ not in (*_KILLED, Exit.UNEXPECTED):
            assert found == self.old
        rows = [row["status"] for row in siege.cli("log").facts["executions"]][: -1 if self.name == "used" else None]
        assert rows.count("completed") == (found == self.new), (rows, found == self.new)
        assert len(rows) <= 1, rows
        assert siege.leftovers() == []
        status = siege.cli("status").facts
        assert (status["frozen"], status["unfinished"]) == (None, []), status
        audit = siege.cli("audit", "verify")
        if (siege.root / ".lonelycat/lonelycat.db").exists():
            assert audit.exit == 0, audit
        else:  # it ended before anything was recorded, and there was nothing to recover
            assert (audit.facts["code"], rows, found) == ("NOTHING_RECORDED", [], self.old), audit

    def _check_again(self) -> None:
        siege = self._siege
        if siege.contents() == self.old:
            again = siege.cli("run", "--changeset", siege.file("d.json", {"changes": CHANGES}), *BY)
            assert again.exit == 0, again
            assert siege.contents() == self.new


CHANGES = [
    draft("create", "app/new"),
    draft("update", "app/settings.txt"),
    draft("delete", "readme.md"),
    draft("rename", "app/here/moves", old_path="moves"),
]
FILES = {"app/settings.txt": b"old\n", "readme.md": b"one\ntwo\n", "moves": b"from here to there\n"}


def _difference(found: Tree, wanted: Tree) -> Mapping[str, tuple[object, object]]:
    keys = {key for key in {*found, *wanted} if found.get(key) != wanted.get(key)}
    return {key: (found.get(key), wanted.get(key)) for key in sorted(keys)}


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[list[Rig]]:
    """A workspace at its first use, which makes its state, and one that has it all."""
    made = []
    for name in ("fresh", "used"):
        base = tmp_path / name
        base.mkdir()
        siege = Siege(base)
        siege.begin(FILES)
        if name == "used":
            # In a process of its own, so that what is not compiled yet is compiled before anything is counted.
            assert (
                siege.process("run", "--changeset", siege.file("d.json", {"changes": [draft("create", "z")]}), *BY).exit
                == 0
            )
        made.append(Rig(siege, name))
    yield made


def _hit_some(rigs: list[Rig], seed: int, count: int, again: str) -> Counter[str]:
    rng = random.Random(seed)
    ends: Counter[str] = Counter()
    with counting("command-line") as counts:
        for number in range(count):
            rig, fault = rng.choice(rigs), list(FAULTS)[number % len(FAULTS)]
            call = rng.choice(sorted({point.call for point in rig.points}))
            point = rng.choice([point for point in rig.points if point.call == call])
            try:
                end = rig.hit(point, fault)
            except AssertionError as error:
                where = f"{rig.name} workspace, {fault} at {point.call} number {point.when}: {point.text}"
                raise AssertionError(f"{error}\n{where}; seed {seed}, number {number}; again with: {again}") from error
            ends[end] += 1
            counts["missed" if end == "missed" else fault] += 1
    assert ends["missed"] <= count // 5, ends
    return ends


def test_a_fault_under_the_command_line(rigs: list[Rig]) -> None:
    ends = _hit_some(rigs, 0, SLICE, "python -m pytest tests/crash/test_command_line.py -m 'not long'")
    assert ends["killed"]


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_faults_under_the_command_line(rigs: list[Rig], strace_seed: int) -> None:
    again = f"python -m pytest tests/crash/test_command_line.py -m long --seeds {strace_seed}:{strace_seed + 1}"
    ends = _hit_some(rigs, strace_seed, LONG // 3, again)
    assert ends["killed"]
    assert ends[f"exit_{Exit.DONE:d}"]
