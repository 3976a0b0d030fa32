"""``lonelycat diff``: a plan's or an execution's change as a unified diff."""

from __future__ import annotations

import base64
from typing import Annotated

import typer

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.render.diff import diffstat, show_diff
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen


def command(
    call: Invocation,
    id: Annotated[str, typer.Argument(metavar="ID", help="A plan, change set or execution.")],
) -> Report:
    """Show a change as git would; piped, it is exact bytes that `git apply` takes."""
    diff = call.service().diff(id)
    added, removed = diffstat(diff)
    facts: dict[str, object] = {"id": id, "lines_added": added, "lines_removed": removed}
    try:
        facts["diff"] = diff.decode("utf-8")
    except UnicodeDecodeError:
        facts["diff_base64"] = base64.b64encode(diff).decode("ascii")

    def show(screen: Screen) -> None:
        show_diff(screen, diff)

    return Report(Exit.DONE, facts, show, raw=diff)
