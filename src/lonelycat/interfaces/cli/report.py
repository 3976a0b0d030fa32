"""What a command hands back: one exit code, one JSON object, one way to show it to a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.screen import Screen


def show_nothing(_screen: Screen) -> None:
    """Show nothing: everything was said already."""


class Report(NamedTuple):
    """The answer of one command.

    Attributes:
        exit: the exit code.
        payload: JSON-compatible facts, merged into the one object that ``--json`` prints.
        show: writes the answer for a person.
        code: None when done, else the stable error code.
        message, hint: for programs, and for people where ``show`` says nothing else.
        problem: shown on standard error, as a diagnostic.
        raw: bytes for standard output when it is not a terminal (a diff, an export): exact, as a tool needs them.
    """

    exit: Exit
    payload: Mapping[str, object] = MappingProxyType({})
    show: Callable[[Screen], None] = show_nothing
    code: str | None = None
    message: str = ""
    hint: str = ""
    problem: bool = False
    raw: bytes | None = None

    def json_object(self) -> dict[str, object]:
        """Return the one object that ``--json`` prints; ``ok`` says whether the exit code is 0."""
        head: dict[str, object] = {
            "ok": self.exit is Exit.DONE,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "exit_code": int(self.exit),
        }
        return {**head, **{key: value for key, value in self.payload.items() if key not in head}}
