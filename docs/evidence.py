"""Puts into the documentation what the long harnesses did, and what the crash states notice of a broken protocol.

The figures are those of ``docs/figures/harness.json``, which ``make test-long`` writes; nothing here is counted or
typed by hand. ``python docs/generate.py`` writes both pages; a test fails when a page lags.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
FIGURES = DOCS / "figures" / "harness.json"
PAGE = DOCS / "guarantees.md"
MUTATIONS_PAGE = DOCS / "protocol-mutations.md"
BEGIN, END = "<!-- figures of make test-long: begin -->", "<!-- figures of make test-long: end -->"

_CRASH = "tests/crash/"
HARNESSES: dict[str, tuple[str, str]] = {
    "kills": (
        "a process killed at every system call of a transaction, and of its recovery, nested",
        _CRASH + "test_kill.py",
    ),
    "crash-states": (
        "what a power cut may leave, worked out from recordings under three models of the disk, each recovered from",
        _CRASH + "test_crash_states.py",
    ),
    "protocol-mutations": (
        "the [protocol with one thing wrong](protocol-mutations.md): noticed, or shown to be harmless",
        _CRASH + "test_protocol_mutations.py",
    ),
    "faults": ("an I/O error or a full disk at every system call, once or lasting", _CRASH + "test_faults.py"),
    "outsiders": ("somebody else's edit between any two system calls", _CRASH + "test_outsiders.py"),
    "power-cuts": (
        "real file systems cut off under a transaction, or the whole service, then mounted again and recovered",
        _CRASH,
    ),
    "disk-full": ("real file systems that fill up at every step", _CRASH + "test_full_disks.py"),
    "command-line": (
        "the installed command, killed or failed by strace at one of its system calls, SQLite's included",
        _CRASH + "test_command_line.py",
    ),
    "lock": (
        "processes that hammer one workspace while they are killed, stopped and robbed of the lock files; operations "
        "are whole acquisitions, releases and tries refused; zombies are stopped at a call, overtaken and woken up",
        "tests/lock/",
    ),
    "swapper": (
        "processes that turn directories into links and back, and write, while transactions run",
        "tests/hostile_tree/test_swapper.py",
    ),
    "folding": ("transactions on file systems that fold case and normal form", "tests/hostile_tree/test_folding.py"),
    "readers": (
        "looks at the whole tree while writers run and are killed; a mix seen without asking is what is to be expected",
        "tests/readers/",
    ),
    "model": (
        "random histories of everything that the service does, held against a dictionary of tree and history",
        "tests/property/test_service_model.py",
    ),
    "rebase": (
        "rebases onto random edits, held against `git apply` and `git merge-file`",
        "tests/property/test_rebase_git.py",
    ),
    "fuzz diff": ("patches, guided by coverage; what is accepted gives the tree of `git apply`", "tests/fuzz/"),
    "fuzz json": ("JSON documents; what is accepted is what the standard library reads", "tests/fuzz/"),
    "fuzz policy": ("policies in YAML: a policy or a typed refusal, in bounded time", "tests/fuzz/"),
    "fuzz globs": ("patterns, held against a plain matcher, in bounded time", "tests/fuzz/"),
    "fuzz bumps": ("version bumps and pins: what passes only raises versions", "tests/fuzz/"),
}
"""By name in the tally: what a harness does, and where it is."""
_WRONG = frozenset({"escaped", "findings", "violations"})
"""The counts that have to be nought."""


def section(figures: dict[str, Any]) -> str:
    """Return the section of the guarantees page for one run's figures."""
    lines = [
        "## What the harnesses did",
        "",
        f"One run of `{figures['command']}` on {figures['date']}: {figures['seconds']} seconds, "
        f"Python {figures['python']}, {figures['kernel']}. A seeded slice of each runs in `make test`.",
        "",
        "| harness | what | counts | violations | command |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, counts in figures["harnesses"].items():
        what, where = HARNESSES.get(name, ("", "tests/"))
        wrong = [number for key, number in counts.items() if key in _WRONG]
        shown = ", ".join(f"{number:,} {key.replace('_', ' ')}" for key, number in counts.items() if key not in _WRONG)
        violations = f"{sum(wrong):,}" if wrong else "not counted"
        lines.append(f"| {name} | {what} | {shown} | {violations} | `.venv/bin/python -m pytest -m long {where}` |")
    return "\n".join(lines) + "\n"


def guarantees(page: str, figures: dict[str, Any]) -> str:
    """Return the guarantees page with the section for ``figures`` between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section(figures)}{END}{after}"


def mutations() -> str:
    """Return the page of the protocol's mutations."""
    sys.path.insert(0, str(DOCS.parent))
    from tests.crash import mutations as table
    from tests.crash import persistence

    models = [str(model) for model in persistence.Model]
    lines = [
        "# The protocol with one thing wrong",
        "",
        "Generated from `tests/crash/mutations.py` by `docs/generate.py`; do not edit.",
        "",
        "A harness that cannot fail proves nothing. Here one barrier at a time is taken out of the protocol, or two",
        "of its steps are swapped, and the crash states have to notice: a tree that is neither old nor new, a change",
        "that was acknowledged and is gone, something lost, left behind or unexplained.",
        "`make test-long` holds the table to the code.",
        "",
        "- **ordered**: system calls reach the disk one after the other; a power cut leaves a prefix.",
        "- **reordered**: each call reaches the disk whole or not at all, in any order, unless a barrier covers it.",
        "- **torn**: each side of a rename by itself; writes cut off, holed, or missing where the size is there.",
        "",
        f"| what is wrong | {' | '.join(models)} | harmless because |",
        f"| --- | {' | '.join('---' for _ in models)} | --- |",
    ]
    for mutation in table.MUTATIONS:
        marks = " | ".join("noticed" if model in mutation.caught_by else "" for model in persistence.Model)
        lines.append(f"| {mutation.what} | {marks} | {mutation.harmless} |")
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write both pages."""
    figures = json.loads(FIGURES.read_text(encoding="ascii"))
    PAGE.write_text(guarantees(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    MUTATIONS_PAGE.write_text(mutations(), encoding="utf-8")
