"""``lonelycat audit``: is the audit log whole, and what does it say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from lonelycat.errors import InputError
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

if TYPE_CHECKING:
    from lonelycat.records.entries import AuditHead, AuditReport

HELP = "Verify or export the audit log."


def verify(
    call: Invocation,
    expect_head: Annotated[
        str | None,
        typer.Option("--expect-head", metavar="SEQ:HASH", help="A head noted earlier; finds a log cut short since."),
    ] = None,
) -> Report:
    """Walk the whole audit log and say whether anything in it was altered."""
    report = call.service().audit_verify(_head(expect_head))
    problems = [{"code": item.code, "message": item.message, "seq": item.seq} for item in report.problems]
    facts = {
        "records": report.records,
        "head": {"seq": report.head.seq, "hash": report.head.hash},
        "executions": report.executions,
        "receipts": report.receipts,
        "problems": problems,
    }
    first = report.first_problem
    return Report(
        Exit.DONE if first is None else Exit.REFUSED,
        facts,
        lambda screen: _show(screen, report),
        None if first is None else first.code,
        "the audit log is whole" if first is None else first.message,
        "" if first is None else _altered_hint(),
    )


def _altered_hint() -> str:
    from lonelycat.runtime.runbook import ALTERED

    return f"Copy .lonelycat whole as evidence, and find out who can write there; {ALTERED}."


def _head(text: str | None) -> AuditHead | None:
    from lonelycat.records.entries import AuditHead

    if text is None:
        return None
    seq, _, digest = text.partition(":")
    if not (seq.isascii() and seq.isdigit()) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError("USAGE", "--expect-head must be SEQ:HASH", "Copy it from `lonelycat audit verify`.")
    return AuditHead(int(seq), digest)


def _show(screen: Screen, report: AuditReport) -> None:
    if report.ok:
        screen.line(("WHOLE", "good"), f"  {report.records} audit records, none altered, none missing.")
    else:
        screen.line(("ALTERED", "bad"), "  The audit log is not what LonelyCat wrote.")
    for problem in report.problems:
        where = "" if problem.seq is None else f"record {problem.seq}: "
        screen.line((problem.code, "bad"), f"  {where}{problem.message}", indent=2)
    screen.line((f"head {report.head.seq}:{report.head.hash}", "dim"), indent=2)
    noted = "note the head elsewhere; --expect-head finds a log cut short."
    screen.line(("what now: ", "title"), noted if report.ok else _altered_hint(), indent=2)


def export(call: Invocation) -> Report:
    """Print every audit record, one JSON object a line."""
    records = list(call.service().audit_export())
    lines = "".join(json.dumps(record, ensure_ascii=True, default=str) + "\n" for record in records)

    def show(screen: Screen) -> None:
        for line in lines.splitlines():
            screen.line(line)

    return Report(Exit.DONE, {"records": records}, show, raw=lines.encode("ascii"))


SUBCOMMANDS = {"verify": verify, "export": export}
