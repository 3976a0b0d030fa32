"""The terminal of the person who runs a command, and what is typed there.

Invariant: a signal ends the wait for a line, whenever it comes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from lonelycat.errors import InputError
from lonelycat.interfaces.cli.interrupts import wait_for_input
from lonelycat.interfaces.cli.screen import Screen

_CONTROLLING_TERMINAL = "/dev/tty"


@contextmanager
def terminal() -> Iterator[tuple[TextIO, TextIO]]:
    """Open the terminal of the person who runs the command: the controlling one, else the one on standard input.

    Raises:
        InputError: ``APPROVAL_NEEDS_PERSON`` when there is none.
    """
    try:
        descriptor = os.open(_CONTROLLING_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
            raise InputError(
                "APPROVAL_NEEDS_PERSON",
                "an approval is typed by a person at a terminal, and there is none here",
                "Run it in a terminal, or give --key FILE (or LONELYCAT_APPROVER_KEY) with an approver's key.",
            ) from None
        descriptor = os.open(os.ttyname(sys.stdin.fileno()), os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    with (
        open(descriptor, encoding="utf-8", errors="replace") as reader,  # noqa: PTH123 (a descriptor)
        open(os.dup(descriptor), "w", encoding="utf-8", errors="backslashreplace") as writer,  # noqa: PTH123 (a descriptor)
    ):
        yield reader, writer


def name_of_terminal(descriptor: int) -> str:
    """Return the terminal's own name where a standard stream knows it; ``/dev/tty`` names any of them."""
    for candidate in (0, 1, 2):
        with suppress(OSError):
            return os.ttyname(candidate)
    return os.ttyname(descriptor)


def ask(screen: Screen, reader: TextIO) -> str:
    """Return the line that is typed behind a prompt, without its end; an empty one when nothing more comes."""
    screen.prompt("> ")
    wait_for_input(reader.fileno())  # a terminal has something to read when it has a whole line
    return reader.readline().rstrip("\n")
