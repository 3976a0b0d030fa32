"""Ctrl-C, SIGTERM and SIGHUP as one interruption.

Invariant: the first signal raises a KeyboardInterrupt in the main thread, so that the executor rolls back; later ones
only say that this is under way. A signal that the caller had ignored stays ignored.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_AGAIN = b"\nlonelycat: already stopping; what was touched is being put back, please wait\n"


class Interruption(KeyboardInterrupt):
    """The first signal, as an exception.

    Its own type, because CPython ends a process by SIGINT, whatever the exit code, once a KeyboardInterrupt of exactly
    that type has left an ``exec`` of source text (a dataclass being made, for one), even if it was caught later.
    """


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Handle the signals inside the block; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 1:
            raise Interruption
        os.write(2, _AGAIN)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
