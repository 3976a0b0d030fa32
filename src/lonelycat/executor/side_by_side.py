"""Work that is done while the disk is waited for, or in two parts at a time.

Invariant: both are over when :func:`wait_and_work` returns or raises; nothing goes on in the background. So the order
of the protocol is what it would be one after the other, as long as the work changes nothing that the wait is for.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread


def wait_and_work(wait: Callable[[], None], work: Callable[[], None], hurry: Callable[[], None] | None = None) -> None:
    """Run ``wait`` in a thread of its own and ``work`` in this one; one after the other where no thread is to be had.

    Args:
        wait: spends its time in system calls.
        work: spends it in the interpreter, or in system calls too.
        hurry: called when ``wait`` need not go on, because ``work`` has failed or an interruption came.

    Raises:
        BaseException: what ``wait`` raised, or else what ``work`` did.
    """
    problems: dict[str, BaseException] = {}
    begun, given_up, over = Event(), Event(), Event()

    def waiting() -> None:
        begun.set()
        try:
            if not given_up.is_set():
                wait()
        except BaseException as error:  # noqa: BLE001 — it is raised again in the caller's thread
            problems["wait"] = error
        finally:
            over.set()

    thread = Thread(target=waiting, name="lonelycat-disk")
    try:
        thread.start()
    except RuntimeError:  # no thread is to be had
        wait()
        work()
        return
    except BaseException as error:  # an interruption: the thread may be there or not
        given_up.set()
        if not begun.is_set():
            raise  # if it begins yet, it ends at once
        problems["work"] = error
    try:
        if "work" not in problems:
            work()
    except BaseException as error:  # noqa: BLE001 — it is raised again when the wait is over
        problems["work"] = error
    while not over.is_set():
        try:
            if hurry is not None and "work" in problems:
                hurry()
            over.wait()
        except KeyboardInterrupt as error:  # not before the disk is done with what would be taken away
            problems.setdefault("work", error)
    thread.join()  # it has nothing left to do
    for name in ("wait", "work"):
        if name in problems:
            raise problems[name]
