"""The growth curves as pictures for docs/performance.md."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib as mpl
from benchmarks.growth import Growth
from benchmarks.history import Cost
from benchmarks.recovery import Recovery
from benchmarks.sandbox import WAYS, Overhead
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_STYLE = {"svg.hashsalt": "lonelycat", "font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
Curve = tuple[str, Sequence[float], Sequence[float]]


def draw(place: Path, growth: list[Growth], history: list[Cost], recovery: list[Recovery]) -> None:
    """Write the ``growth-….svg`` pictures into the directory ``place``."""
    files = [row.files for row in growth]
    _figure(
        place / "growth-time.svg",
        "Time by the number of files",
        "LonelyCat, a loop of write, fsync and rename, and git apply; both axes logarithmic.",
        lambda axes: _logarithmic(
            axes,
            "files in one change set",
            "milliseconds",
            [
                ("LonelyCat", files, [row.lonelycat * 1000 for row in growth]),
                ("write, fsync, rename each", files, [row.naive * 1000 for row in growth]),
                ("git apply (not durable, not atomic)", files, [row.git * 1000 for row in growth]),
            ],
        ),
    )
    _figure(
        place / "growth-memory.svg",
        "Peak memory by the number of files",
        "Of proposing and executing a git range, above the interpreter.",
        lambda axes: _memory(axes, growth),
    )
    rows = sorted({row.rows for row in recovery})
    curves: list[Curve] = [
        (
            f"recovery, {count:,} earlier executions",
            [row.files for row in recovery if row.rows == count],
            [row.seconds * 1000 for row in recovery if row.rows == count],
        )
        for count in rows
    ]
    _figure(
        place / "growth-recovery.svg",
        "Recovery by the size of the interrupted transaction",
        "With few and with 100,000 earlier executions; both axes logarithmic.",
        lambda axes: _logarithmic(axes, "files in the interrupted transaction", "milliseconds", curves),
    )
    _figure(
        place / "growth-history.svg",
        "The next execution by the executions on record",
        "A one-file execution with nothing, a thousand and a hundred thousand executions on record.",
        lambda axes: _history(axes, history),
    )


def draw_overheads(place: Path, overheads: list[Overhead]) -> None:
    """Write ``sandbox-overhead.svg`` into the directory ``place``."""
    _figure(
        place / "sandbox-overhead.svg",
        "What a sandbox and a rehearsal cost",
        "A whole one-file execution, verified by one test and by 220 tests, as a ratio to the one without a sandbox.",
        lambda axes: _overheads(axes, overheads),
    )


def _figure(place: Path, title: str, description: str, fill: Callable[[Axes], None]) -> None:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.subplots()
        fill(axes)
        axes.grid(visible=True, color="0.9")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    place.write_text(in_words(drawn.getvalue(), title, description), encoding="utf-8")


def in_words(svg: str, title: str, description: str) -> str:
    """Return the picture with a title and a description for those who do not see it."""
    head, start, rest = svg.partition("<svg ")
    attributes, _, inside = rest.partition(">")
    words = f"\n <title>{escape(title)}</title>\n <desc>{escape(description)}</desc>"
    return "\n".join(line.rstrip() for line in f"{head}{start}{attributes}>{words}{inside}".splitlines()) + "\n"


def _logarithmic(axes: Axes, across: str, up: str, curves: list[Curve]) -> None:
    for label, xs, ys in curves:
        axes.plot(xs, ys, marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.legend(frameon=False)


def _memory(axes: Axes, growth: list[Growth]) -> None:
    axes.plot([row.files for row in growth], [row.memory_mib for row in growth], marker="o")
    axes.set(xscale="log", xlabel="files in one change set", ylabel="MiB above the interpreter", ylim=(0, None))


def _history(axes: Axes, history: list[Cost]) -> None:
    axes.bar([f"{row.rows:,}" for row in history], [row.execute * 1000 for row in history], width=0.5)
    axes.set(xlabel="executions on record", ylabel="milliseconds for the next one")


def _overheads(axes: Axes, overheads: list[Overhead]) -> None:
    suites = list(dict.fromkeys(row.suite for row in overheads))
    height = 0.8 / len(suites)
    for number, suite in enumerate(suites):
        ratios = {row.way: row.ratio for row in overheads if row.suite == suite}
        places = [position + number * height for position in range(len(WAYS))]
        bars = axes.barh(places, [ratios[way] for way in WAYS], height=height, label=suite)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    widest = max(row.ratio for row in overheads)
    axes.set(xlabel="time of a whole execution, as a ratio to the first", xlim=(0, 1.2 * widest))
    axes.set_yticks([position + height * (len(suites) - 1) / 2 for position in range(len(WAYS))], list(WAYS))
    axes.invert_yaxis()
    # Above the axes: whatever the ratios are, it covers no figure there.
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(suites))
