"""``lonelycat confirm``: keep a change that is in place and waits for a person's word, or take it back."""

from __future__ import annotations

from typing import Annotated

import typer

from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.options import ApproverKey, Note, Person
from lonelycat.interfaces.cli.report import Report


def command(
    call: Invocation,
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION_ID", help="The execution, as `status` names it.")],
    by: Person,
    note: Note = "",
    reject: Annotated[bool, typer.Option("--reject", help="Take the change back at once.")] = False,
    key: ApproverKey = None,
) -> Report:
    """Keep a change that waits for a person's word, or take it back."""
    from lonelycat.interfaces.cli.keeping import confirm

    return confirm(call, execution_id, by=by, note=note, keep=not reject, key=key)
