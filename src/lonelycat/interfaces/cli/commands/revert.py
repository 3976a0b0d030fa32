"""``lonelycat revert``: propose the inverse of an execution."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import judgement_report
from lonelycat.interfaces.cli.options import Intent
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION_ID", help="The execution to undo.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who proposes the revert.")],
    intent: Intent = None,
) -> Report:
    """Propose the inverse of an execution; it takes the same path as any change."""
    return judgement_report(call.service().revert(execution_id, by=by, intent=intent))
