"""``lonelycat unfreeze``: release a workspace that a failed rollback froze."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.options import Person
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen


def command(
    call: Invocation,
    by: Person,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What was found and done, for the record.")],
) -> Report:
    """Release a frozen workspace, once a person has looked."""
    call.service().unfreeze(by=by, reason=reason)

    def show(screen: Screen) -> None:
        screen.line(("RELEASED", "good"), "  Changes execute here again. The release is in the audit log.")
        screen.line((f"by {by}: {reason}", "dim"), indent=2)

    return Report(Exit.DONE, {"released_by": by, "reason": reason}, show, message="the workspace is released")
