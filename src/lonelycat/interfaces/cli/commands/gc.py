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
    keep_days: Annotated[
        float, typer.Option("--keep-days", metavar="DAYS", min=0.0, help="Keep what is younger than this.")
    ] = 90.0,
    keep_count: Annotated[
        int, typer.Option("--keep-count", metavar="N", min=0, help="Keep at least the newest N executions.")
    ] = 10_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> Report:
    """Remove old executions whole; never one in use, or needed for a repeat or a revert."""
    report = call.service().gc(keep_days=keep_days, keep_count=keep_count, dry_run=dry_run)
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
