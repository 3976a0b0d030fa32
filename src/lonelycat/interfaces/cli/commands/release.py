"""``lonelycat release``: let a change that failed be made again."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.options import ApproverKey, Person
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    checksum: Annotated[str, typer.Argument(metavar="CHECKSUM", help="Of the change set, as `doctor` names it.")],
    by: Person,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it may be made again, for the record.")],
    key: ApproverKey = None,
) -> Report:
    """Let a failed change be made again; its proposer cannot."""
    from lonelycat.interfaces.cli.keeping import release

    return release(call, checksum, by=by, reason=reason, key=key)
