"""What the harnesses did, counted over every process of a run: kills, crash states, violations.

A run that wants the counts names a file in ``LONELYCAT_TALLY``; without it nothing is written. Each call appends one
line in one write, so that many processes can share the file.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "LONELYCAT_TALLY"


def tally(harness: str, **counts: int) -> None:
    """Add ``counts`` to those of ``harness``, e.g. ``tally("kills", deaths=212, violations=0)``."""
    place = os.environ.get(VARIABLE)
    if not place:
        return
    line = json.dumps({"harness": harness, "counts": counts}) + "\n"
    fd = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line.encode("ascii"))
    finally:
        os.close(fd)


@contextmanager
def counting(harness: str) -> Iterator[Counter[str]]:
    """Yield counts to add to; they go to ``harness`` at the end, with one violation if the block fails."""
    counts = Counter(violations=0)
    try:
        yield counts
    except BaseException:
        counts["violations"] += 1
        raise
    finally:
        tally(harness, **counts)


def totals(place: Path) -> dict[str, dict[str, int]]:
    """Return the sums of a tally file by harness, in the order of the names."""
    sums: dict[str, Counter[str]] = {}
    for line in place.read_text(encoding="ascii").splitlines():
        entry = json.loads(line)
        sums.setdefault(entry["harness"], Counter()).update(entry["counts"])
    return {harness: dict(sorted(counted.items())) for harness, counted in sorted(sums.items())}
