"""The coverage-guided fuzzer: ``python -m tests.fuzz TARGET --seconds N --seed S``.

Starts from ``corpus/TARGET`` in a throwaway directory, and prints one line of counts. A finding is printed with the
command that shows it again; keep it in ``corpus/TARGET`` once it is fixed, and ``make test`` replays it for ever.
``--input FILE`` and ``--base64 TEXT`` judge one input; ``--write-seeds`` writes the seeds of every target.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.targets import CORPUS, NAMES, corpus, load
from tests.tally import tally

MAX_BYTES = 4096
ROOT = Path(__file__).resolve().parents[2]


class Ran(NamedTuple):
    """What a run did."""

    inputs: int
    corpus: int
    finding: bytes | None
    report: str


def run(name: str, seconds: int, seed: int) -> Ran:
    """Fuzz one target in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="lonelycat-fuzz-") as folder:
        found, grown = Path(folder, "finding-"), Path(folder, "corpus")
        shutil.copytree(CORPUS / name, grown)
        words = Path(folder, "words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in load(name).WORDS), encoding="ascii")
        options = [
            f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={MAX_BYTES}", f"-dict={words}", "-timeout=30",
            "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={found}", str(grown),
        ]  # fmt: skip
        command = [sys.executable, "-m", "tests.fuzz.fuzzer", name, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        report = done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
        findings = sorted(Path(folder).glob("finding-*"))
        if done.returncode and not findings:
            raise RuntimeError(f"the fuzzer failed:\n{report[-2000:]}")
        counted = re.search(r"number_of_executed_units:\s*(\d+)", report)
        assert counted is not None, report[-2000:]
        grown_to = len(list(grown.iterdir()))
        return Ran(int(counted[1]), grown_to, findings[0].read_bytes() if findings else None, report)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 for a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", nargs="?", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--input", type=Path, help="judge this file alone")
    parser.add_argument("--base64", help="judge this input alone")
    parser.add_argument("--write-seeds", action="store_true", help="write the seeds of every target")
    chosen = parser.parse_args(arguments)
    if chosen.write_seeds:
        _write_seeds()
        return 0
    if chosen.target is None:
        parser.error("name a target")
    if chosen.input or chosen.base64:
        load(chosen.target).check(chosen.input.read_bytes() if chosen.input else base64.b64decode(chosen.base64))
        print("nothing found")
        return 0
    before = len(corpus(chosen.target))
    ran = run(chosen.target, chosen.seconds, chosen.seed)
    counts = {"inputs": ran.inputs, "seconds": chosen.seconds, "findings": int(ran.finding is not None)}
    tally(f"fuzz {chosen.target}", **counts, corpus=ran.corpus)
    print(
        f"{chosen.target}: {ran.inputs:,} inputs in {chosen.seconds} s with seed {chosen.seed}, "
        f"corpus {before} -> {ran.corpus}, findings {counts['findings']}"
    )
    if ran.finding is None:
        return 0
    print(ran.report[-6000:])
    print(f"again: python -m tests.fuzz {chosen.target} --base64 {base64.b64encode(ran.finding).decode()}")
    return 1


def _write_seeds() -> None:
    for name in NAMES:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(load(name).seeds()):
            (folder / f"seed-{number:02}").write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
