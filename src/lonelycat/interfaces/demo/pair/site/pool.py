"""A pool of connections to the shop's database.

Invariant: never more than ``SIZE`` connections; one that broke is closed and made anew when it is needed again.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

SIZE = 5
_WAIT_SECONDS = 0.5
_OPTIONS = "-c statement_timeout=800 -c lock_timeout=800"


def connect() -> psycopg.Connection[Any]:
    """Return a fresh connection that commits each statement and waits for none over 0.8 seconds."""
    return psycopg.connect(
        host=os.environ["SHOP_RUN"], user="shop", dbname="shop", connect_timeout=2, autocommit=True, options=_OPTIONS
    )


class Pool:
    """The pool; ``take`` and ``give`` belong together, ``connection`` does both."""

    def __init__(self) -> None:
        self._places: queue.LifoQueue[psycopg.Connection[Any] | None] = queue.LifoQueue()
        for _ in range(SIZE):
            self._places.put(None)

    @property
    def free(self) -> int:
        """How many connections could be taken now."""
        return self._places.qsize()

    def take(self) -> psycopg.Connection[Any]:
        """Return a connection; raises TimeoutError when none gets free in time."""
        try:
            held = self._places.get(timeout=_WAIT_SECONDS)
        except queue.Empty:
            raise TimeoutError(f"all {SIZE} connections of the pool are taken") from None
        if held is not None and not held.closed:
            return held
        try:
            return connect()
        except BaseException:
            self._places.put(None)
            raise

    def give(self, connection: psycopg.Connection[Any], *, broken: bool = False) -> None:
        """Put ``connection`` back."""
        if broken:
            connection.close()
        self._places.put(None if connection.closed else connection)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection for a block."""
        connection = self.take()
        try:
            yield connection
        except BaseException:
            self.give(connection, broken=True)
            raise
        self.give(connection)
