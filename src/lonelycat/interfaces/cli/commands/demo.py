"""``lonelycat demo``: the whole story in a throwaway workspace with a real service."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the throwaway workspace behind, to look at.")] = False,
    services: Annotated[
        bool,
        typer.Option("--services", help="With PostgreSQL, Redis and migrations; `make demo-services` installs them."),
    ] = False,
) -> Report:
    """Show the whole story in a throwaway workspace."""
    from lonelycat.platforms import native_calls

    native_calls()  # refuses where nothing can be executed, before anything is made
    if services:
        from lonelycat.interfaces.cli.services_narration import narrate_services

        return narrate_services(call, keep=keep)
    from lonelycat.interfaces.cli.narration import narrate

    return narrate(call, keep=keep)
