"""``lonelycat demo``: the whole story in a throwaway workspace with a real service."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the throwaway workspace behind, to look at.")] = False,
) -> Report:
    """Show the whole story in a throwaway workspace."""
    from lonelycat.interfaces.cli.narration import narrate
    from lonelycat.platforms import native_calls

    native_calls()  # refuses where nothing can be executed, before anything is made
    return narrate(call, keep=keep)
