"""1000 small updates on one kind of file system after another: where the time is the disk's and where it is our own.

Run alone, as root, it prints its section of docs/performance.md: ``python -m benchmarks.file_systems``. Each kind is
made anew in an image on the disk that the other benchmarks use, and mounted by a loop device, so that what syncs
reaches that disk; ``tmpfs`` has none, and shows what the processor alone takes. Mounts live in a process of their own
and go with it, whatever ends it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from benchmarks.apply_many import Ratios, measure_in
from benchmarks.tables import Row, in_ms, table
from benchmarks.workspace import BASE, throwaway
from tests.crash.real_disks import in_own_mounts, mount
from tests.debian import program

FILES = 1000
ROUNDS = 5
IMAGE_BYTES = 1024**3


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


def measure() -> dict[str, Ratios | str]:
    """Measure on the disk at hand, then on every kind; a text says why one could not be measured."""
    found: dict[str, Ratios | str] = {"the disk of the other figures": measure_in(BASE, FILES, ROUNDS)}
    for kind in KINDS:
        found[kind.name] = _measured_on(kind, lambda place: measure_in(place, FILES, ROUNDS))
    return found


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
        f"### By file system\n\n{FILES} small updates in one change set, as above; the second and third file system are"
        " made for it, each in an image on that disk. The loop waits for the disk once a file, the durable one twice,"
        " LonelyCat as often for a thousand as for eight; `git apply` never. Where nothing waits, what is left is the"
        " processor's time. *Its calls alone* are the system calls by which the protocol treats these files, made by a"
        " bare loop that records nothing and checks nothing else.\n\n"
        f"{table(heads, rows)}\n"
    )


def _measured_on(kind: Kind, work: Callable[[Path], Ratios]) -> Ratios | str:
    if os.geteuid() != 0:
        return "not measured: mounting takes root"
    try:
        maker = program(kind.tool, kind.package) if kind.tool else ""
    except pytest.skip.Exception as missing:
        return f"not measured: {missing.msg}"
    with throwaway() as base:
        place, image = base / "mounted", base / "image"
        place.mkdir()

        def mounted() -> Ratios:
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
