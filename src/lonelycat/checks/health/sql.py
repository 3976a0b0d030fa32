"""Kind ``sql``: a database accepts a connection, answers a query as expected, has all migrations, replicates.

Invariants:
- Any URL of SQLAlchemy; its password never stands in the policy, and is in no message.
- It reads only: the transaction is read-only where the database knows such, and is always rolled back.
- Drivers keep no time limit of their own, so the probe runs in a process of its own.
- The migrations in the workspace are read, not run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import (
    HealthKind,
    ProbeContext,
    ProbeResult,
    VariableName,
    WorkspacePath,
    failed,
    passed,
)
from lonelycat.checks.inside import resolve_inside
from lonelycat.errors import LonelyCatError, StepFailedError

if TYPE_CHECKING:  # imported late: loading a policy validates parameters and must stay fast
    from sqlalchemy.engine import Connection, Engine

Value = str | int | float | None
_Bound = Annotated[float, Field(allow_inf_nan=False)]


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if not parts.scheme or "://" not in url:
        raise ValueError("must be a URL such as postgresql+psycopg://user@host/database")
    if parts.password is not None or any("pass" in key.lower() for key, _ in parse_qsl(parts.query)):
        raise ValueError("must not hold a password: give it by password_env, or the whole URL by url_env")
    return url


class SqlParameters(Strict):
    """Which database and what must hold in it.

    Attributes:
        url: a SQLAlchemy URL without a password; or
        url_env: the environment variable that holds one, with or without a password.
        password_env: the variable that holds the password.
        query: one statement that reads.
        equals: the value of the first column of its first row; or
        min, max: the bounds of that value, both inclusive.
        migrations: the directory of the Alembic migrations, below the workspace root, all of which the database must
            have, and no others.
        version_table: Alembic's table, with its schema if it has one.
        max_replication_lag_seconds: PostgreSQL only: how far a replica may lag. A primary must have a replica.
    """

    url: Annotated[str, Field(max_length=2_000), AfterValidator(_without_password)] | None = None
    url_env: VariableName | None = None
    password_env: VariableName | None = None
    query: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    equals: Value = None
    min: _Bound | None = None
    max: _Bound | None = None
    migrations: WorkspacePath | None = None
    version_table: Annotated[str, Field(pattern=r"^([A-Za-z_]\w*\.)?[A-Za-z_]\w*$", max_length=130)] = "alembic_version"
    max_replication_lag_seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give url or url_env, one of them")
        bounds = [name for name in ("equals", "min", "max") if name in self.model_fields_set]
        if bounds and self.query is None:
            raise ValueError(f"{bounds[0]} needs a query")
        if self.query is not None and not bounds:
            raise ValueError("a query needs equals, min or max: its mere success says too little")
        if "equals" in bounds and len(bounds) > 1:
            raise ValueError("equals goes without min and max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is over max, so that it could never pass")
        if "version_table" in self.model_fields_set and self.migrations is None:
            raise ValueError("version_table needs migrations")
        return self


class _WrongError(Exception):
    """Something does not hold; the arguments are a code and what it is."""


def probe(context: ProbeContext, parameters: SqlParameters, timeout: float) -> ProbeResult:
    """Connect and ask once."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

    engine = _engine(context, parameters, timeout)
    shown = engine.url.render_as_string(hide_password=True)
    try:
        connection = engine.connect()
    except (SQLAlchemyError, OSError) as error:
        return failed(_connect_code(error), f"{shown}: no connection: {_said(error)}")
    try:
        with connection:
            said = _judge(context, parameters, connection)
            connection.rollback()
    except _WrongError as wrong:
        code, why = wrong.args
        return failed(code, f"{shown}: {why}")
    except (OperationalError, InterfaceError) as error:
        late = any(word in str(error).lower() for word in ("timeout", "timed out", "locked"))
        return failed("HEALTH_SQL_TIMEOUT" if late else "HEALTH_SQL_QUERY", f"{shown}: {_said(error)}")
    except (DBAPIError, SQLAlchemyError) as error:
        return failed("HEALTH_SQL_QUERY", f"{shown}: {_said(error)}")
    finally:
        engine.dispose()
    return passed(f"{shown}: {said}")


def _engine(context: ProbeContext, parameters: SqlParameters, timeout: float) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    written = parameters.url if parameters.url is not None else context.secrets[parameters.url_env or ""]
    try:
        url = make_url(written)
        if parameters.password_env is not None:
            url = url.set(password=context.secrets[parameters.password_env])
        arguments: dict[str, Any] = {}
        if url.get_driver_name() in ("psycopg", "psycopg2"):
            limit = max(1, round(timeout * 1000))
            arguments = {"connect_timeout": max(2, math.ceil(timeout)), "options": f"-c statement_timeout={limit}"}
        return create_engine(url, poolclass=NullPool, connect_args=arguments)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        what = "the URL in url_env" if parameters.url is None else "the URL"
        raise StepFailedError("HEALTH_SQL_URL", f"{what} cannot be used: {type(error).__name__}") from None
    except ModuleNotFoundError as error:
        raise StepFailedError(
            "HEALTH_EXTRA_MISSING",
            f"the driver {error.name} is not installed; for PostgreSQL it is the extra lonelycat[postgresql]",
            "Install the driver where LonelyCat runs.",
        ) from None


def _connect_code(error: Exception) -> str:
    said = str(error).lower()
    if "timeout" in said or "timed out" in said:
        return "HEALTH_SQL_TIMEOUT"
    refused = ("password authentication", "authentication failed", "access denied", "no password supplied")
    return "HEALTH_SQL_AUTH" if any(words in said for words in refused) else "HEALTH_SQL_CONNECT"


def _said(error: Exception) -> str:
    """Return what the driver said, without SQLAlchemy's repetition of the statement and its parameters."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:500]


def _judge(context: ProbeContext, parameters: SqlParameters, connection: Connection) -> str:
    from sqlalchemy import text

    if connection.dialect.name in ("postgresql", "mysql", "mariadb"):
        connection.execute(text("SET TRANSACTION READ ONLY"))
    held = ["it accepts connections"]
    if parameters.query is None:
        connection.execute(text("SELECT 1")).scalar_one()
    else:
        held.append(_ask(parameters, connection))
    if parameters.migrations is not None:
        held.append(_migrations(context, parameters, parameters.migrations, connection))
    if parameters.max_replication_lag_seconds is not None:
        held.append(_replication(parameters.max_replication_lag_seconds, connection))
    return ", ".join(held)


def _ask(parameters: SqlParameters, connection: Connection) -> str:
    # Without parameters no driver looks for placeholders: a % in the query is a %.
    row = connection.execution_options(no_parameters=True).exec_driver_sql(parameters.query or "").fetchone()
    if row is None:
        raise _WrongError("HEALTH_SQL_RESULT", "the query returns no row")
    value = row[0]
    if "equals" in parameters.model_fields_set:
        same = value == parameters.equals and isinstance(value, bool) is isinstance(parameters.equals, bool)
        if not same:
            raise _WrongError("HEALTH_SQL_RESULT", f"the query gives {value!r:.200}, not {parameters.equals!r}")
        return f"the query gives {value!r:.200}"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise _WrongError("HEALTH_SQL_RESULT", f"the query gives {value!r:.200}, which is not a number")
    for word, bound, good in (
        ("at least", parameters.min, parameters.min is None or value >= parameters.min),
        ("at most", parameters.max, parameters.max is None or value <= parameters.max),
    ):
        if not good:
            raise _WrongError("HEALTH_SQL_RESULT", f"the query gives {value}, not {word} {bound:g}")
    return f"the query gives {value}"


def _migrations(context: ProbeContext, parameters: SqlParameters, directory: str, connection: Connection) -> str:
    from sqlalchemy import column, inspect, select, table

    from lonelycat.checks.health.migrations import heads

    try:
        wanted = heads(resolve_inside(context.workspace, directory))
    except LonelyCatError as error:
        raise _WrongError(error.code, error.message) from None
    schema, _, name = parameters.version_table.rpartition(".")
    if not inspect(connection).has_table(name, schema or None):
        raise _WrongError("HEALTH_SQL_MIGRATIONS", f"there is no table {parameters.version_table}: no migration ran")
    versions = select(table(name, column("version_num"), schema=schema or None).c.version_num)
    present = frozenset(str(value) for value in connection.execute(versions).scalars())
    if present != wanted:
        shown, missing = ", ".join(sorted(present)) or "nothing", ", ".join(sorted(wanted))
        raise _WrongError("HEALTH_SQL_MIGRATIONS", f"it is at {shown:.300}, the migrations end in {missing:.300}")
    return f"migrations are at {', '.join(sorted(present)):.300}"


_REPLICA_LAG = """
SELECT (SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'),
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END
"""
_PRIMARY_LAG = """
SELECT count(*), max(CASE WHEN replay_lsn >= pg_current_wal_lsn() THEN 0
    ELSE extract(epoch FROM greatest(replay_lag, clock_timestamp() - reply_time)) END)
FROM pg_stat_replication WHERE state = 'streaming'
"""


def _replication(limit: float, connection: Connection) -> str:
    if connection.dialect.name != "postgresql":
        raise _WrongError("HEALTH_SQL_REPLICATION", "max_replication_lag_seconds is known of PostgreSQL only")
    replica = connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()
    streams, lag = connection.exec_driver_sql(_REPLICA_LAG if replica else _PRIMARY_LAG).one()
    if not streams:
        whom = "its primary does not stream to it" if replica else "no replica streams from it"
        raise _WrongError("HEALTH_SQL_REPLICATION", whom)
    if lag is None:
        raise _WrongError("HEALTH_SQL_REPLICATION", "how far the replica lags is not known")
    if float(lag) > limit:
        raise _WrongError("HEALTH_SQL_REPLICATION", f"the replica lags {float(lag):.1f} s, over {limit:g} s")
    return f"the replica lags {float(lag):.1f} s"


def _variables(parameters: SqlParameters) -> Iterable[str]:
    return (name for name in (parameters.url_env, parameters.password_env) if name is not None)


KIND = HealthKind(SqlParameters, probe, secret_variables=_variables)
