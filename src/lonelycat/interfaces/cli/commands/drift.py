"""``lonelycat drift``: where the workspace is not what the last executions left."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Only these files or directories; else all that executions wrote."),
    ] = None,
    uncommitted: Annotated[bool, typer.Option("--uncommitted", help="Leave out what git has committed since.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on looking, a line per change, until Ctrl-C; one JSON object a line.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option("--interval", metavar="SECONDS", min=0.1, max=86_400.0, help="With --watch: between two looks."),
    ] = 2.0,
) -> Report:
    """Show which files were changed without LonelyCat since it wrote them; changes nothing.

    Exit code 0: none, 5: some.
    """
    from lonelycat.interfaces.cli.drifting import drift_report, watch_report

    service = call.service()
    if watch:
        return watch_report(call, service.watch_drift(paths or [], uncommitted=uncommitted, interval=interval))
    return drift_report(service.drift(paths or [], uncommitted=uncommitted))
