"""Faults of a PostgreSQL database: it refuses every connection, or somebody holds a lock on all of its tables.

Invariant: nothing is done to a server outside the sandbox. Over TCP there is none to be reached; at the other end of a
unix socket must be a process of the sandbox.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

from lonelycat.errors import InputError, StateError
from lonelycat.governance.policy_profiles import BrokenDatabase

_CONNECT_SECONDS = 5
_STATEMENT_MS = 10_000


class Refusing:
    """Has the database refuse connections, and ends those that it has."""

    def __init__(self, place: BrokenDatabase) -> None:
        self._place = place

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        from psycopg import sql

        with _connected(self._place) as inside:
            name = inside.execute("select current_database()").fetchone()[0]
        alter = sql.SQL("alter database {} allow_connections {}")
        with _connected(self._place, dbname=self._place.maintenance) as connection:
            connection.execute(alter.format(sql.Identifier(name), sql.SQL("false")))
            try:
                connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
                yield
            finally:
                connection.execute(alter.format(sql.Identifier(name), sql.SQL("true")))


class Locking:
    """Holds a lock on every table, which even reading waits for."""

    def __init__(self, place: BrokenDatabase) -> None:
        self._place = place

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        from psycopg import sql

        tables = (
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        )
        with _connected(self._place) as connection:
            found = connection.execute(tables).fetchall()
            if not found:
                raise StateError("HEALTH_TEST_FAILED", "the database of the copy has no tables that could be locked")
            names = sql.SQL(", ").join(sql.Identifier(*pair) for pair in found)
            with connection.transaction(force_rollback=True):
                connection.execute(sql.SQL("lock table {} in access exclusive mode").format(names))
                yield


@contextlib.contextmanager
def _connected(place: BrokenDatabase, **other: str) -> Iterator[Any]:
    try:
        import psycopg
    except ImportError:
        raise InputError(
            "HEALTH_EXTRA_MISSING",
            "faults of a PostgreSQL database need its driver",
            "Install LonelyCat with the extra postgresql.",
        ) from None
    try:
        connection = psycopg.connect(
            place.url,
            connect_timeout=_CONNECT_SECONDS,
            autocommit=True,
            options=f"-c statement_timeout={_STATEMENT_MS}",
            **other,  # type: ignore[arg-type]  # names of libpq
        )
    except psycopg.Error as error:
        raise StateError("HEALTH_TEST_FAILED", f"the copy's database cannot be reached: {error}") from error
    with connection:
        _must_be_inside(connection.fileno())
        try:
            yield connection
        except psycopg.Error as error:
            raise StateError("HEALTH_TEST_FAILED", f"the copy's database cannot be broken: {error}") from error


def _must_be_inside(descriptor: int) -> None:
    if peer_of(descriptor) == 0:
        raise StateError(
            "HEALTH_TEST_NOT_PRIVATE",
            "the database at that unix socket runs outside the sandbox, and is left alone",
            "Name the directory of its socket in health_test.private.",
        )


def peer_of(descriptor: int) -> int | None:
    """Return the pid at the other end of a unix socket, 0 when it is in no namespace of ours; None over TCP."""
    with socket.socket(fileno=socket.dup(descriptor)) as connection:
        if connection.family != socket.AF_UNIX:
            return None
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", peer)[0])
