"""The benchmark table: ``make bench``. Ratios within one run; the absolute times are of the machine at hand."""

from __future__ import annotations

import platform
import sys

from benchmarks import apply_many, check_start, gate_decision, large_file

Row = tuple[str, str, str, str]


def rows() -> list[Row]:
    """Measure everything and return (what, measured, limit, aim)."""
    many = apply_many.measure()
    memory = large_file.measure()
    start = check_start.measure()
    gate = gate_decision.measure()
    return [
        (
            f"{many.files} small updates, against a loop of write, fsync, rename",
            f"{many.to_naive:.2f} × ({many.lonelycat * 1000:.0f} ms to {many.naive * 1000:.0f} ms)",
            "1.0 ×",
            "0.3 ×",
        ),
        (
            f"{many.files} small updates, against `git apply` (neither durable nor atomic)",
            f"{many.to_git:.1f} × ({many.lonelycat * 1000:.0f} ms to {many.git * 1000:.0f} ms)",
            "6 ×",
            "2 ×",
        ),
        (
            f"one {memory.file_mib} MiB binary file, peak memory above the interpreter",
            f"{memory.above_mib:.0f} MiB",
            "100 MiB",
            "",
        ),
        (
            "`lonelycat check` on a one-file patch, against the bare interpreter's start",
            f"{start.ratio:.1f} × ({start.check * 1000:.0f} ms to {start.interpreter * 1000:.0f} ms)",
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


def main() -> int:
    """Print the table as Markdown."""
    print(f"Python {platform.python_version()}, Linux {platform.release()}\n")
    print("| what | measured | limit | aim |\n| --- | --- | --- | --- |")
    for row in rows():
        print("| " + " | ".join(row) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
