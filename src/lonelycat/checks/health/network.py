"""Connects within a time limit, name lookup included.

Invariant: :func:`connect` returns or raises within its limit; the system's resolver has none, so it runs aside.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

from lonelycat.clock import Clock

Address = tuple[socket.AddressFamily, tuple[object, ...]]


def connect(host: str, port: int, timeout: float, clock: Clock) -> socket.socket:
    """Return a connected socket to the first address of ``host`` that answers; its time-out is what is left.

    Raises:
        TimeoutError: nothing answered within ``timeout`` seconds.
        OSError: the name is unknown, or the last address tried refused.
    """
    deadline = clock.monotonic() + timeout
    last: OSError = OSError(f"{host} has no address")
    for family, address in _addresses(host, port, timeout):
        left = deadline - clock.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {timeout:g} s")
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(left)
            connection.connect(address)
        except OSError as error:
            connection.close()
            last = error
        else:
            connection.settimeout(max(0.001, deadline - clock.monotonic()))
            return connection
    raise last


def _addresses(host: str, port: int, timeout: float) -> list[Address]:
    def look_up() -> list[Address]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]

    return _within(look_up, timeout)


def _within(work: Callable[[], list[Address]], timeout: float) -> list[Address]:
    """Return what ``work`` returns; after ``timeout`` seconds leave it behind and raise TimeoutError."""
    answers: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(work())
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=run, name="lonelycat-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError(f"the name was not resolved within {timeout:g} s") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
