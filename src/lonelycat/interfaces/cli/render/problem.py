"""How an error looks: code and sentence, whether anything was touched, what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lonelycat.interfaces.cli.screen import Screen

if TYPE_CHECKING:
    from lonelycat.changes.conflict import Conflict


def problem_shower(
    code: str, message: str, hint: str, touched: str, conflicts: Sequence[Conflict] = ()
) -> Callable[[Screen], None]:
    """Return what shows an error.

    Args:
        touched: one sentence about the workspace's files.
        conflicts: of a CONFLICT, each path.
    """

    def show(screen: Screen) -> None:
        first, *rest = message.split("\n")
        screen.line(("error ", "bad"), (code, "title"), f": {first}")
        for line in rest:
            screen.line(line, indent=2)
        if conflicts:
            from lonelycat.interfaces.cli.render.conflicts import show_conflicts

            show_conflicts(screen, conflicts)
        screen.line((touched, "dim"), indent=2)
        if hint:
            screen.line(("what now: ", "title"), hint, indent=2)

    return show
