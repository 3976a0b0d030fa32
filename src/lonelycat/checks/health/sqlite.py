"""Kind ``sqlite``: a database in the workspace opens, is sound, and answers a query as expected.

Invariants: opened read-only and with ``query_only``; a query that runs on is interrupted at the time limit.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import BeforeValidator, Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import HealthKind, ProbeContext, ProbeResult, WorkspacePath, failed, passed
from lonelycat.checks.inside import resolve_inside
from lonelycat.clock import Clock

if TYPE_CHECKING:  # imported late: loading a policy validates parameters and must stay fast
    import sqlite3

_MAX_ROWS = 10_000
_PROGRESS_STEPS = 1_000

Value = str | int | float | None


def _rows(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(tuple(row) if isinstance(row, list) else row for row in value)
    return value


class SqliteParameters(Strict):
    """Which database and what must hold in it.

    Attributes:
        path: below the workspace root.
        integrity: ``quick`` or ``full`` integrity check, or ``none``.
        query: one statement that reads.
        equals: the value of the first column of the first row.
        rows: all rows, in order.
        min_rows: least number of rows.
    """

    path: WorkspacePath
    integrity: Literal["none", "quick", "full"] = "quick"
    query: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    equals: Value = None
    rows: Annotated[tuple[tuple[Value, ...], ...], BeforeValidator(_rows), Field(max_length=1_000)] | None = None
    min_rows: Annotated[int, Field(ge=1, le=_MAX_ROWS)] | None = None

    @model_validator(mode="after")
    def _expectation_needs_a_query(self) -> Self:
        given = [name for name in ("equals", "rows", "min_rows") if name in self.model_fields_set]
        if given and self.query is None:
            raise ValueError(f"{given[0]} needs a query")
        if self.query is not None and not given:
            raise ValueError("a query needs equals, rows or min_rows: its mere success says too little")
        if self.query is None and self.integrity == "none":
            raise ValueError("integrity none without a query checks nothing")
        return self


def probe(context: ProbeContext, parameters: SqliteParameters, timeout: float) -> ProbeResult:
    """Open, check and ask once."""
    import sqlite3

    shown = ascii(parameters.path)
    place = resolve_inside(context.workspace, parameters.path)
    if not place.is_file():
        return failed("HEALTH_SQLITE_MISSING", f"{shown} is not a file")
    if place.stat().st_size == 0:  # which SQLite takes for a sound database without tables
        return failed("HEALTH_SQLITE_MISSING", f"{shown} is empty: nothing was ever written to it, or all is gone")
    deadline = context.clock.monotonic() + timeout
    try:
        with contextlib.closing(_open(place, timeout)) as connection:
            connection.set_progress_handler(lambda: context.clock.monotonic() > deadline, _PROGRESS_STEPS)
            wrong = _integrity_problem(connection, parameters.integrity)
            if wrong is not None:
                return failed("HEALTH_SQLITE_INTEGRITY", f"{shown}: {wrong}")
            if parameters.query is None:
                return passed(f"{shown} is sound")
            return _ask(connection, parameters, parameters.query, shown)
    except sqlite3.DatabaseError as error:
        return _database_error(error, shown, context.clock, deadline)


def _open(place: Path, timeout: float) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(f"file:{quote(str(place))}?mode=ro", uri=True, timeout=timeout)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    # A read-only connection may still attach, and VACUUM INTO makes its file before it is refused.
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK
    )
    return connection


def _integrity_problem(connection: sqlite3.Connection, kind: str) -> str | None:
    if kind == "none":
        return None
    row = connection.execute("PRAGMA quick_check(1)" if kind == "quick" else "PRAGMA integrity_check(1)").fetchone()
    return None if row == ("ok",) else str(row[0] if row else "no answer")[:500]


def _ask(connection: sqlite3.Connection, parameters: SqliteParameters, query: str, shown: str) -> ProbeResult:
    found: list[tuple[Any, ...]] = connection.execute(query).fetchmany(_MAX_ROWS)
    wrong: str | None = None
    if "equals" in parameters.model_fields_set:
        first = found[0][0] if found else "no row"
        wrong = None if found and first == parameters.equals else f"got {first!r}, not {parameters.equals!r}"
    if wrong is None and parameters.rows is not None and tuple(found) != parameters.rows:
        wrong = f"{len(found)} rows differ from the {len(parameters.rows)} expected"
    if wrong is None and parameters.min_rows is not None and len(found) < parameters.min_rows:
        wrong = f"{len(found)} rows, fewer than {parameters.min_rows}"
    if wrong is not None:
        return failed("HEALTH_SQLITE_RESULT", f"{shown}: {wrong[:500]}")
    return passed(f"{shown} answers as expected", rows=len(found))


def _database_error(error: sqlite3.DatabaseError, shown: str, clock: Clock, deadline: float) -> ProbeResult:
    import sqlite3

    message = f"{shown}: {error}"
    if clock.monotonic() > deadline or "interrupted" in str(error) or "locked" in str(error):
        return failed("HEALTH_SQLITE_TIMEOUT", message)
    damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return failed("HEALTH_SQLITE_INTEGRITY" if damaged else "HEALTH_SQLITE_QUERY", message)


KIND = HealthKind(SqliteParameters, probe, isolated=False)
