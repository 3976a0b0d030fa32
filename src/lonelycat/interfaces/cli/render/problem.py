"""How an error looks: code and sentence, whether anything was touched, what to do."""

from __future__ import annotations

from collections.abc import Callable

from lonelycat.interfaces.cli.screen import Screen


def problem_shower(code: str, message: str, hint: str, touched: str) -> Callable[[Screen], None]:
    """Return what shows an error.

    Args:
        touched: one sentence about the workspace's files.
    """

    def show(screen: Screen) -> None:
        first, *rest = message.split("\n")
        screen.line(("error ", "bad"), (code, "title"), f": {first}")
        for line in rest:
            screen.line(line, indent=2)
        screen.line((touched, "dim"), indent=2)
        if hint:
            screen.line(("what now: ", "title"), hint, indent=2)

    return show
