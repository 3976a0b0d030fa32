"""``make bench``: measures everything and writes the tables and pictures of docs/performance.md.

The figures are ratios within one run; the absolute times are of the machine at hand. ``--print`` writes nothing.
"""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    check_start,
    file_systems,
    gate_decision,
    growth,
    history,
    large_file,
    peer,
    plots,
    reader_window,
    recovery,
    sandbox,
)
from benchmarks.apply_many import Ratios
from benchmarks.tables import Row, in_ms, table

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- measured by make bench: begin -->\n", "<!-- measured by make bench: end -->\n"


def against_peers(disks: dict[str, Ratios | str]) -> list[Row]:
    """Measure what has a limit; return rows of what, measured, limit, aim."""
    where, many = file_systems.usual(disks)
    memory = large_file.measure(512)
    larger = large_file.measure(1024)
    start = check_start.measure()
    gate = gate_decision.measure()
    tool = peer.measure()
    return [
        (
            f"{many.files} small updates on {where}, against a loop of write, fsync, rename",
            f"{many.to_naive:.2f} × ({in_ms(many.lonelycat)} to {in_ms(many.naive)})",
            "1.0 ×",
            "0.3 ×",
        ),
        (
            f"{many.files} small updates on {where}, against a durable loop: also an fsync of each directory",
            f"{many.to_durable:.2f} × ({in_ms(many.lonelycat)} to {in_ms(many.durable)})",
            "0.25 ×",
            "",
        ),
        (
            f"{many.files} small updates on {where}, against `git apply` (neither durable nor atomic)",
            f"{many.to_git:.1f} × ({in_ms(many.lonelycat)} to {in_ms(many.git)})",
            "3 ×",
            "2 ×",
        ),
        (
            f"{tool.files} small updates, whole process, against pyinfra (neither durable nor atomic)",
            f"{1 / tool.ratio:.2f} × ({in_ms(tool.lonelycat)} to {in_ms(tool.pyinfra)})",
            "",
            "",
        ),
        *(
            (
                f"one {each.file_mib} MiB binary file, peak memory above the interpreter",
                f"{each.above_mib:.0f} MiB",
                "100 MiB",
                "",
            )
            for each in (memory, larger)
        ),
        (
            "`lonelycat check` on a one-file patch, against the bare interpreter's start",
            f"{start.ratio:.1f} × ({in_ms(start.check)} to {in_ms(start.interpreter)})",
            "20 ×",
            "10 ×",
        ),
        (
            f"a gate decision on {gate_decision.FILES} files of 0.5 to 2 KiB under the default policy, signed",
            f"{gate.decision_ms:.2f} ms ({gate.ratio:.1f} × hashing the same bytes)",
            f"{gate_decision.BUDGET_MS:g} ms",
            "",
        ),
    ]


def _growth_rows(found: list[growth.Growth]) -> list[Row]:
    return [
        (
            f"{row.files:,}",
            in_ms(row.lonelycat),
            f"{row.lonelycat / row.naive:.2f} ×",
            f"{row.lonelycat / row.git:.1f} ×",
            f"{row.memory_mib:.0f} MiB",
        )
        for row in found
    ]


def _history_rows(found: list[history.Cost]) -> list[Row]:
    return [
        (f"{row.rows:,}", in_ms(row.execute), f"{row.to_none:.2f} ×", f"{row.database_mib:.0f} MiB") for row in found
    ]


def _recovery_rows(found: list[recovery.Recovery]) -> list[Row]:
    by_files: dict[int, list[str]] = {}
    for row in found:
        by_files.setdefault(row.files, []).append(in_ms(row.seconds))
    return [(f"{files:,}", *times) for files, times in by_files.items()]


def _reader_rows() -> list[Row]:
    return [
        (
            f"{row.files:,}",
            f"{row.open * 1000:.1f} ms" if row.files > 1 else "none: one rename",
            in_ms(row.transaction),
            f"{row.marks * 1000:.3f} ms",
        )
        for row in map(reader_window.measure, reader_window.FILES)
    ]


def _sandbox_rows(found: list[sandbox.Overhead]) -> list[Row]:
    return [(row.suite, row.way, in_ms(row.seconds), f"{row.ratio:.2f} ×") for row in found]


def _sandbox_section(found: list[sandbox.Overhead]) -> str:
    return (
        "### Sandbox and rehearsal\n\nA whole execution of a one-file change, verified by a test suite in each way;"
        " medians, and the median of the paired ratios.\n\n"
        + table(("suite", "verified", "whole execution", "against without a sandbox"), _sandbox_rows(found))
        + "\n![What a sandbox and a rehearsal cost](images/sandbox-overhead.svg)\n"
    )


Measured = tuple[list[growth.Growth], list[history.Cost], list[recovery.Recovery]]


def measured() -> tuple[str, Measured, list[sandbox.Overhead]]:
    """Measure everything; return the page's section and what its pictures are drawn from."""
    disks = file_systems.measure()
    tables = table(("what", "measured", "limit", "aim"), against_peers(disks))
    sizes, costs, recovered = file_systems.on_the_usual(growth.measure), history.measure(), recovery.measure()
    overheads = sandbox.measure()
    earlier = sorted({row.rows for row in recovered})
    text = (
        f"One run of `make bench` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, Linux {platform.release()},"
        f" Python {platform.python_version()}, {_file_system()}.\n\n{tables}\n"
        + file_systems.section(disks)
        + "### By the number of files\n\n"
        "On the same file system as the first figures. Memory is the peak of proposing and executing a git range of"
        " that many files.\n\n"
        + table(
            ("files", "LonelyCat", "against the loop", "against `git apply`", "peak memory above the interpreter"),
            _growth_rows(sizes),
        )
        + "\n![Time by the number of files](images/growth-time.svg)\n\n"
        "![Memory by the number of files](images/growth-memory.svg)\n\n"
        "### By what is on record\n\nA one-file execution; the ratio is to the same with nothing on record.\n\n"
        + table(
            ("executions on record", "the next execution", "against none", "size of the database"), _history_rows(costs)
        )
        + "\n![The next execution by the executions on record](images/growth-history.svg)\n\n"
        "### Recovery\n\nThe executor was killed with everything applied and nothing committed.\n\n"
        + table(
            ("files in the transaction", *(f"with {rows:,} earlier executions" for rows in earlier)),
            _recovery_rows(recovered),
        )
        + "\n![Recovery by the size of the transaction](images/growth-recovery.svg)\n\n"
        "### Readers\n\nThe window in which a program that does not ask can see half of a change, from the first"
        " rename to the last, and what an execution spends on those that ask"
        " ([ADR 19](adr/0019-readers-ask-they-do-not-lock.md)).\n\n"
        + table(("updates in one change set", "window", "the whole transaction", "both marks"), _reader_rows())
        + f"\n{_sandbox_section(overheads)}"
    )
    return text, (sizes, costs, recovered), overheads


def _file_system() -> str:
    """Return the kind and the options of the file system that the benchmarks ran on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    found = max((m for m in mounts if Path("/var/tmp").is_relative_to(m[1])), key=lambda m: len(m[1]))  # noqa: S108
    options = [each for each in found[3].split(",") if each in ("discard", "sync", "data=ordered", "data=journal")]
    return " ".join([found[2], *options])


def main(arguments: list[str]) -> int:
    """Measure, then print the section or write the page."""
    text, curves, overheads = measured()
    if "--print" in arguments:
        print(text)
        return 0
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    plots.draw(DOCS / "images", *curves)
    plots.draw_overheads(DOCS / "images", overheads)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
