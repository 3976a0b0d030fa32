"""Runs the whole suite under coverage: ``python -m tests.run [--long [--figures]] [pytest arguments]``.

Invariants:
- A skipped test is a failure when ``CI`` is set: what is missing is to be installed.
- Coverage of every process that the tests start counts, and has a floor.
- The figures in ``docs/figures/harness.json`` are those of one run of the long harnesses that passed: of a whole one,
  or of a part if ``--figures`` asks for it; they say which.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.tally import VARIABLE, totals

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures" / "harness.json"
COVERAGE_FLOOR = 85
WORKERS = "2"
LONG_WORKERS = "3"
"""On two cores: the power cuts, the locks and the command line under strace wait about half of their time."""


def main(arguments: list[str]) -> int:
    """Run the suite and return the exit code."""
    # Whoever starts the suite in the background or under nohup hands it ignored signals, which tests send and await.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    long = "--long" in arguments
    chosen = [argument for argument in arguments if argument not in ("--long", "--figures")]
    marker = "long" if long else "not long"
    command = [sys.executable, "-m", "pytest", "-m", marker, "-q", *chosen]
    if long:
        command += ["-n", LONG_WORKERS, "--dist", "load", "--maxschedchunk", "1", "-p", "tests.longest_first"]
        return _run_and_count(command, keep=not chosen or "--figures" in arguments, chosen=chosen)
    command += ["-n", WORKERS, "--dist", "worksteal"]
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "erase"], cwd=ROOT, check=True)
    with subprocess.Popen(
        [*coverage, "run", *command[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        tail = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            tail = line if re.search(r"\d+ (passed|failed|error)", line) else tail
    subprocess.run([*coverage, "combine", "-q"], cwd=ROOT, check=True)
    report = subprocess.run(
        [*coverage, "report", f"--fail-under={COVERAGE_FLOOR}", "--skip-covered", "--show-missing"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    print(report.stdout.splitlines()[-1] if chosen else report.stdout, file=sys.stderr)
    if os.environ.get("CI") and "skipped" in tail:
        print("with CI set nothing may be skipped, and something was", file=sys.stderr)
        return 1
    # What ran is the last line of standard output, whatever coverage had to say on standard error.
    print(tail, end="")
    return process.returncode or (0 if chosen else report.returncode)


def _run_and_count(command: list[str], *, keep: bool, chosen: list[str]) -> int:
    """Run the long harnesses, print what they did and, if that is to be kept and all passed, write the figures."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "tally"
        place.touch()
        environment = {**os.environ, VARIABLE: str(place)}
        code = subprocess.run(command, cwd=ROOT, check=False, env=environment).returncode
        harnesses = totals(place)
    for harness, counts in harnesses.items():
        print(f"{harness:20}", "  ".join(f"{name} {number:,}" for name, number in counts.items()))
    if code == 0 and keep:
        figures = {
            "command": " ".join(["python -m tests.run --long", *chosen]) if chosen else "make test-long",
            "date": datetime.now(UTC).date().isoformat(),
            "seconds": round(time.monotonic() - began),
            "python": platform.python_version(),
            "kernel": "Linux " + ".".join(platform.release().split(".")[:2]),
            "harnesses": harnesses,
        }
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="ascii")
        print(f"written to {FIGURES.relative_to(ROOT)}; .venv/bin/python docs/generate.py brings them to the page")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
