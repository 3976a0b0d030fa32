"""Known pins as an answer: what was read, what could not be, and the judgement of the proposal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.judgements import judgement_report
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

if TYPE_CHECKING:
    from lonelycat.runtime.pinning import PinsRead, PinsReport


def pins_report(report: PinsReport) -> Report:
    """Return the answer of ``policy pins``: that of its proposal; done where the file says all of it already."""
    facts = {"path": report.path, **_facts(report.read)}
    if report.judgement is None:

        def show_nothing(screen: Screen) -> None:
            screen.line(("UP TO DATE", "good"), f"  {report.path} says all of it; nothing was proposed.")
            _show(screen, report.read)

        facts |= {"plan_id": None, "verdict": None, "stored": False}
        return Report(Exit.DONE, facts, show_nothing, message=f"{report.path} is up to date")
    answer = judgement_report(report.judgement)

    def show(screen: Screen) -> None:
        _show(screen, report.read)
        answer.show(screen)

    return answer._replace(payload={**answer.payload, **facts}, show=show)


def printed_pins(read: PinsRead) -> Report:
    """Return the file itself as the answer."""
    lines = read.data.decode("ascii").splitlines()
    return Report(Exit.DONE, _facts(read), lambda screen: screen.lines(lines), raw=read.data)


def _facts(read: PinsRead) -> dict[str, object]:
    return {
        "pinned": read.pinned,
        "known": read.known,
        "tags": dict(read.tags),
        "unseen": {repository: error.message for repository, error in read.unseen.items()},
        "shipped": list(read.shipped),
    }


def _show(screen: Screen, read: PinsRead) -> None:
    screen.line(("known ", "title"), f"{read.known} of {read.pinned} pinned commits, by the tags of their repositories")
    for repository, count in read.tags.items():
        whose = "  as this version of LonelyCat knew them" if repository in read.shipped else ""
        screen.line(f"{count:>5}  {repository}", (whose, "warn"), indent=2)
    for repository, error in read.unseen.items():
        screen.line(("not read  ", "warn"), f"{repository}: {error.message}", indent=2)
