"""Ctrl-C, SIGTERM and SIGHUP as one interruption.

Invariants:
- The first signal raises a KeyboardInterrupt in the main thread, so that the executor rolls back; later ones only say
  that this is under way. A signal that the caller had ignored stays ignored.
- It gets through: where the interpreter drops the exception (in a finaliser, and in the hook that is told of one), it
  is raised again; and nobody is waited for once it was seen, however it was lost.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_AGAIN = b"\nlonelycat: already stopping; what was touched is being put back, please wait\n"
_LATER = 0.01
"""Seconds after which a dropped interruption is raised again."""
_LOOK_SECONDS = 0.25
"""How often a wait for a person looks whether it was interrupted, should nothing have woken it."""
_seen: list[int] = []
"""The signals that the block of :func:`one_interrupt` has seen."""


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
    again: list[threading.Timer] = []
    put_off: list[int] = []
    _seen.clear()

    def handle(number: int, frame: FrameType | None) -> None:
        if _is_within(dropped, frame):
            put_off.append(number)  # what is raised there is dropped too
            return
        _seen.append(number)
        if len(_seen) == 1:
            raise Interruption
        os.write(2, _AGAIN)

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        try:
            if isinstance(unraisable.exc_value, Interruption) and _seen:
                put_off.append(_seen[0])
                _seen.clear()
            else:
                hook(unraisable)
        finally:
            while put_off:
                again.append(threading.Timer(_LATER, signal.pthread_kill, [threading.main_thread().ident, put_off[0]]))
                del put_off[0]
                again[-1].start()

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        _seen.clear()
        for timer in again:
            timer.cancel()
            timer.join()
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _is_within(function: Callable[..., object], frame: FrameType | None) -> bool:
    """Whether ``frame`` runs ``function``, or something that it called."""
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def wait_for_input(descriptor: int) -> None:
    """Return when ``descriptor`` has something to read, or its end; a signal is handled first, whenever it comes.

    A blocking read alone can miss one: Python calls a handler between two bytecodes, so a signal that arrives after
    the last of them and before the system call is handled when the read returns.

    Raises:
        Interruption: a signal arrives, or arrived earlier in the block of :func:`one_interrupt`.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        ready: list[int] = []
        while descriptor not in ready:
            # Not poll, which does not know a terminal on macOS.
            ready = select.select([descriptor, woken], [], [], _LOOK_SECONDS)[0]
            if _seen:
                raise Interruption
            if woken in ready:
                os.read(woken, 512)  # of a signal that raised nothing
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wake)
