"""On a real pseudo-terminal: colours, width, help; and none of it when piped."""

from __future__ import annotations

import re
from typing import Any

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_errors_are_coloured_on_a_terminal_and_plain_when_piped(terminal: Any, process: Any) -> None:
    shown = terminal("execute")
    assert shown.end() == 2
    assert "\x1b[1;31merror \x1b[0m" in shown.seen
    piped = process("execute")
    assert piped.code == 2
    assert "error USAGE: " in piped.err
    assert "\x1b" not in piped.err + piped.text


def test_no_color_is_honoured_on_a_terminal(terminal: Any) -> None:
    shown = terminal("execute", env={"NO_COLOR": "1"})
    assert shown.end() == 2
    assert "[1;31m" not in shown.seen
    assert "USAGE" in shown.seen


def test_help_fits_a_narrow_terminal(terminal: Any) -> None:
    shown = terminal("--help", columns=60)
    assert shown.end() == 0
    lines = _ESCAPES.sub("", shown.seen).splitlines()
    assert max(map(len, lines)) <= 60
    assert any("Repair" in line for line in lines)
