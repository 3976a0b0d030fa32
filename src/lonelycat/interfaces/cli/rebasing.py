"""A rebase as an answer: where the hunks stand now, and the judgement of the new plan."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from lonelycat.changes.paths import printable, to_wire
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.judgements import judgement_report
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

if TYPE_CHECKING:
    from lonelycat.runtime.rebasing import RebasedChange, RebaseReport

_MOST = 20
_NOTHING = "all of the change is there already; nothing was proposed"


def rebase_report(report: RebaseReport) -> Report:
    """Return the answer of ``propose --rebase``: that of the new plan; done where there is nothing left to propose."""
    facts: dict[str, object] = {
        "rebased_from": report.rebased_from,
        "rebased": [
            {"path": to_wire(change.path), "how": change.how, "offsets": list(change.offsets)}
            for change in report.changes
        ],
    }
    judgement = report.judgement
    if judgement is None:

        def show_nothing(screen: Screen) -> None:
            screen.line(("ALREADY THERE", "good"), "  The workspace holds all of this change; nothing was proposed.")
            show_rebased(screen, report)

        facts |= {"plan_id": None, "verdict": None, "stored": False}
        return Report(Exit.DONE, facts, show_nothing, message=_NOTHING)
    answer = judgement_report(judgement)

    def show(screen: Screen) -> None:
        show_rebased(screen, report)
        answer.show(screen)

    return answer._replace(payload={**answer.payload, **facts}, show=show)


def show_rebased(screen: Screen, report: RebaseReport) -> None:
    """Write one line per file: what became of its hunks."""
    screen.line(("rebased ", "title"), f"from {report.rebased_from}, onto the files as they are now")
    for change in report.changes[:_MOST]:
        screen.line(printable(change.path), (f"  {_in_words(change)}", "dim"), indent=2)
    if len(report.changes) > _MOST:
        screen.line((f"… and {len(report.changes) - _MOST} more", "dim"), indent=2)


def _in_words(change: RebasedChange) -> str:
    if change.how == "already_there":
        return "is there already; left out"
    if change.how == "as_it_was":
        return "is as it was; nothing moved"
    where = ", ".join(f"{_hunks(sum(1 for _ in same))} {_way(offset)}" for offset, same in groupby(change.offsets))
    return f"changed since; {where}"


def _hunks(count: int) -> str:
    return f"{count} hunk{'s' if count != 1 else ''}"


def _way(offset: int) -> str:
    if not offset:
        return "in place"
    return f"{abs(offset)} line{'s' if abs(offset) != 1 else ''} further {'down' if offset > 0 else 'up'}"
