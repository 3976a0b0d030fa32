"""1000 small updates on one kind of file system after another: where the time is the disk's and where it is our own.

Run alone, as root, it prints its section of docs/performance.md: ``python -m benchmarks.file_systems``. Each kind is
made anew in an image on the disk that the other benchmarks use, and mounted by a loop device, so that what syncs
reaches that disk; ``tmpfs`` has none, and shows what the processor alone takes. Mounts live in a process of their own
and go with it, whatever ends it.

What is compared file by file is quoted from a new ext4 with a journal, which most machines have. A disk that was used
before answers by its past: an ext4 without a journal, for one, gives no inode away within a minute of its deletion,
and looks past all such for every file that is made, so that who comes later in a benchmark waits for who came before.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from benchmarks.apply_many import Ratios, measure_in
from benchmarks.tables import Row, in_ms, table
from benchmarks.workspace import BASE, throwaway
from tests.crash.real_disks import in_own_mounts, mount
from tests.debian import program

FILES = 1000
ROUNDS = 15
IMAGE_BYTES = 2 * 1024**3
AT_HAND = "the disk at hand"
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """One kind of file system: what it is called, and what makes it, with the Debian package that has that."""

    name: str
    type: str
    tool: str = ""
    package: str = ""
    options: tuple[str, ...] = ()


KINDS = (
    Kind("ext4 with a journal", "ext4", "mkfs.ext4", "e2fsprogs", ("-q", "-F")),
    Kind("XFS", "xfs", "mkfs.xfs", "xfsprogs", ("-q", "-f")),
    Kind("tmpfs: in memory, never durable", "tmpfs"),
)


USUAL = KINDS[0]


def measure() -> dict[str, Ratios | str]:
    """Measure on every kind, and on the disk at hand; a text says why one could not be measured."""
    found: dict[str, Ratios | str] = {
        kind.name: _on(kind, lambda place: measure_in(place, FILES, ROUNDS)) for kind in KINDS
    }
    return {**found, AT_HAND: measure_in(BASE, FILES, ROUNDS)}


def usual(found: dict[str, Ratios | str]) -> tuple[str, Ratios]:
    """Return what is quoted of :func:`measure`, and where it was measured."""
    for name in (USUAL.name, AT_HAND):
        row = found[name]
        if not isinstance(row, str):
            return name, row
    raise AssertionError("the disk at hand is always measured")


def on_the_usual(work: Callable[[Path], T]) -> T:
    """Return what ``work`` finds on a new file system of the usual kind; on the disk at hand where none can be made."""
    found = _on(USUAL, work)
    return work(BASE) if isinstance(found, str) else found


def section(found: dict[str, Ratios | str]) -> str:
    """Return the page's section."""
    rows = [
        (name, row, *("",) * 7)
        if isinstance(row, str)
        else (
            name,
            *map(in_ms, (row.lonelycat, row.bare, row.naive, row.durable, row.git)),
            f"{row.to_naive:.2f} ×",
            f"{row.to_durable:.2f} ×",
            f"{row.to_git:.1f} ×",
        )
        for name, row in found.items()
    ]
    heads: Row = (
        "file system",
        "LonelyCat",
        "its calls alone",
        "the loop",
        "the durable loop",
        "`git apply`",
        "against the loop",
        "against the durable loop",
        "against `git apply`",
    )
    return (
        f"### By file system\n\n{FILES} small updates in one change set, as above; each file system but the last is"
        " made for it, in an image on that disk or in memory. The loop waits for the disk once a file, the durable one"
        " twice, LonelyCat as often for a thousand as for eight; `git apply` never. Where nothing waits, what is left"
        " is the processor's time. *Its calls alone* are the system calls by which the protocol treats these files,"
        " made by a bare loop that records nothing and checks nothing else.\n\n"
        f"{table(heads, rows)}\n"
    )


def _on(kind: Kind, work: Callable[[Path], T]) -> T | str:
    if os.geteuid() != 0:
        return "not measured: mounting takes root"
    try:
        maker = program(kind.tool, kind.package) if kind.tool else ""
    except pytest.skip.Exception as missing:
        return f"not measured: {missing.msg}"
    with throwaway() as base:
        place, image = base / "mounted", base / "image"
        place.mkdir()

        def mounted() -> T:
            if maker:
                with image.open("wb") as file:
                    file.truncate(IMAGE_BYTES)
                subprocess.run([maker, *kind.options, image], check=True)
                subprocess.run(["mount", "-o", "loop", image, place], check=True)
            else:
                mount("tmpfs", place, "tmpfs")
            return work(place)

        return in_own_mounts(mounted)


if __name__ == "__main__":
    print(section(measure()), end="")
