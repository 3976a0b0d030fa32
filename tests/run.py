"""Runs the whole suite under coverage: ``python -m tests.run [--long] [pytest arguments]``.

Invariants:
- A skipped test is a failure when ``CI`` is set: what is missing is to be installed.
- Coverage of every process that the tests start counts, and has a floor.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COVERAGE_FLOOR = 85
WORKERS = "2"


def main(arguments: list[str]) -> int:
    """Run the suite and return the exit code."""
    # Whoever starts the suite in the background or under nohup hands it ignored signals, which tests send and await.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    long = "--long" in arguments
    chosen = [argument for argument in arguments if argument != "--long"]
    marker = "long" if long else "not long"
    command = [sys.executable, "-m", "pytest", "-n", WORKERS, "--dist", "worksteal", "-m", marker, "-q", *chosen]
    if long:
        return subprocess.run(command, cwd=ROOT, check=False).returncode
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
