"""``lonelycat gc``: remove what retention no longer needs."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen


def command(
    call: Invocation,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> Report:
    """Remove old executions whole; never one in use, or needed for a repeat or a revert."""
    report = call.service().gc(dry_run=dry_run)
    verb = "would go" if report.dry_run else "removed"

    def show(screen: Screen) -> None:
        size = f"{report.freed_bytes / 1_048_576:.1f} MiB"
        screen.line(
            ("CLEAN-UP", "good"),
            f"  {verb}: {len(report.executions)} executions, {len(report.proposals)} proposals, "
            f"{report.blobs} blobs, {size}.",
        )
        for name in (*report.executions, *report.proposals):
            screen.line((name, "dim"), indent=2)
        screen.line(("Your files were not touched.", "dim"), indent=2)

    facts = {
        "executions": list(report.executions),
        "proposals": list(report.proposals),
        "blobs": report.blobs,
        "freed_bytes": report.freed_bytes,
        "dry_run": report.dry_run,
    }
    return Report(Exit.DONE, facts, show)
