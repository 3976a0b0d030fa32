"""Work that is done while the disk is waited for.

Invariant: both are over when :func:`wait_and_work` returns or raises; nothing goes on in the background. So the order
of the protocol is what it would be one after the other, as long as the work changes nothing that the wait is for.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread


def wait_and_work(wait: Callable[[], None], work: Callable[[], None]) -> None:
    """Run ``wait`` in a thread of its own and ``work`` in this one.

    Args:
        wait: spends its time in system calls.
        work: spends it in the interpreter.

    Raises:
        BaseException: what ``wait`` raised, or else what ``work`` did.
    """
    raised: list[BaseException] = []

    def waiting() -> None:
        try:
            wait()
        except BaseException as error:  # noqa: BLE001 — it is raised again in the caller's thread
            raised.append(error)

    thread = Thread(target=waiting, name="lonelycat-disk")
    thread.start()
    try:
        work()
    finally:
        thread.join()
        if raised:
            raise raised[0]
