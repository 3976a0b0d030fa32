"""``lonelycat log``: history, with filters."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from lonelycat.clock import SystemClock
from lonelycat.errors import InputError
from lonelycat.interfaces.cli.executions import intents_of
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.render.history import show_log
from lonelycat.interfaces.cli.report import Report
from lonelycat.lifecycle import OUTCOMES, Status

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def command(
    call: Invocation,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Only with this end, such as rolled_back.")
    ] = None,
    plan: Annotated[str | None, typer.Option("--plan", metavar="PLAN_ID", help="Only of this plan.")] = None,
    path: Annotated[str | None, typer.Option("--path", metavar="PATH", help="Only what touched this file.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="A date, a time, or an age such as 30m, 12h, 7d.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")] = 20,
) -> Report:
    """List executions, newest first."""
    service = call.service()
    rows = service.log(status=_status(status), plan_id=plan, path=path, since=_since(since), limit=limit)
    intents, reverted = intents_of(service, rows), service.reverted_among(rows)
    entries = [
        {
            **row.result.model_dump(mode="json", exclude={"steps"}),
            "intent": intents[row.result.plan_id],
            "decision_id": row.decision_id,
            "intact": row.intact,
            "reverted_by": reverted.get(row.result.execution_id),
        }
        for row in rows
    ]
    return Report(Exit.DONE, {"executions": entries}, lambda screen: show_log(screen, rows, intents, reverted))


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    if text not in OUTCOMES:
        raise InputError(
            "USAGE", f"--status {text!r} is not an end of an execution", f"One of {', '.join(sorted(OUTCOMES))}."
        )
    return Status(text)


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    age = re.fullmatch(r"([0-9]{1,5})([mhdw])", text, re.ASCII)
    if age:
        return SystemClock().now() - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            "USAGE", f"--since {text!r} is no time", "Such as 2026-03-01, 2026-03-01T12:00, 12h or 7d."
        ) from error
    return (moment if moment.tzinfo else moment.astimezone()).astimezone(UTC)
