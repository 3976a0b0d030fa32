"""The connection to the database: durable, one writer at a time, refused when it cannot be trusted.

Invariants:
- SQLite runs with ``WAL`` and ``synchronous=FULL`` from 3.51.3 on, and before that (the WAL-reset corruption
  bug) with ``DELETE`` and ``synchronous=EXTRA``; never with less.
- A write transaction takes the write lock at once (``BEGIN IMMEDIATE``), so that what it has read stays true.
- Connections live as long as one transaction: no state of the database is shared between threads or across ``fork``.
  What is kept for as long as the process lives is only how statements are spelled in SQL.
- A database that once existed and is gone, one that is corrupt, one that a newer version wrote: refused, for
  going on with an empty one would forget which approvals are used up.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from lonelycat.errors import StateError
from lonelycat.records.layout import CREATED_MARK, DATABASE_NAME, start_anew
from lonelycat.records.tables import HEAD, metadata

BUSY_SECONDS = 30
_ROWS = 1000
WAL_FIXED = (3, 51, 3)

_CODES: dict[int, tuple[str, str, str]] = {
    sqlite3.SQLITE_BUSY: ("DATABASE_BUSY", "is locked by another process", "Try again; see who holds it."),
    sqlite3.SQLITE_LOCKED: ("DATABASE_BUSY", "is locked", "Try again."),
    sqlite3.SQLITE_FULL: (
        "DATABASE_FULL",
        "cannot grow: the disk is full",
        "Free some space, then try again.",
    ),
    sqlite3.SQLITE_READONLY: ("DATABASE_UNWRITABLE", "cannot be written", "Check its owner and permissions."),
    sqlite3.SQLITE_CANTOPEN: ("DATABASE_UNWRITABLE", "cannot be opened", "Check its owner and permissions."),
    sqlite3.SQLITE_PERM: ("DATABASE_UNWRITABLE", "cannot be opened", "Check its owner and permissions."),
    sqlite3.SQLITE_IOERR: (
        "DATABASE_IO",
        "cannot be read or written",
        "Check the disk, then `lonelycat doctor`.",
    ),
}

_AS_SQLITE = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EACCES: sqlite3.SQLITE_CANTOPEN,
    errno.EPERM: sqlite3.SQLITE_CANTOPEN,
    errno.EROFS: sqlite3.SQLITE_READONLY,
}
"""What the disk says before SQLite has looked, as SQLite would tell it; anything else is an I/O error."""


def journal_settings(version: tuple[int, ...]) -> tuple[str, str]:
    """Return the journal mode and the synchronous setting that are safe with this SQLite ``version``."""
    return ("wal", "FULL") if version >= WAL_FIXED else ("delete", "EXTRA")


class Database:
    """One workspace's SQLite database; nothing is opened before the first transaction.

    Args:
        state_dir: the directory that holds it; it must exist.
        url: None, or a ``sqlite:///`` URL with an absolute path.
        read_only: open the file for reading alone: nothing is made, migrated or locked for writing.

    Raises:
        StateError: ``DATABASE_UNSUPPORTED`` for any other kind of URL.
    """

    def __init__(self, state_dir: Path, url: str | None = None, *, read_only: bool = False) -> None:
        self.path = state_dir / DATABASE_NAME if url is None else _path_of(url)
        self._mark = state_dir / CREATED_MARK
        self._read_only = read_only
        self._engine: Engine | None = None
        self._ready = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database and writes nothing."""
        with self._translated(), self._prepared().connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one write transaction; committed, durably, if the block ends without an exception."""
        with self._translated(), self._prepared().connect() as raw:
            connection = raw.execution_options(lonelycat_write=True)
            with connection.begin():
                yield connection

    def exists(self) -> bool:
        """Tell whether the database file is there.

        Raises:
            StateError: ``DATABASE_…``, nobody can tell: it is not gone because the disk does not answer.
        """
        try:
            os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._refused_by_disk(error) from error
        return True

    def damage(self) -> tuple[str, ...]:
        """Return what SQLite's own integrity check finds wrong with the file; reads all of it."""
        with self.read() as connection:
            rows = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
            rows += [
                f"broken reference: {tuple(row)}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")
            ]
        return tuple(row for row in rows if row != "ok")

    def _prepared(self) -> Engine:
        if self._engine is None:
            self._engine = _engine(self.path, read_only=self._read_only)
        try:
            if not self._ready or not self.exists():
                self._prepare(self._engine)
                self._ready = True
        except OSError as error:
            raise self._refused_by_disk(error) from error
        return self._engine

    def _prepare(self, engine: Engine) -> None:
        if not self.exists():
            if self._mark.exists() or self._read_only:
                raise StateError(
                    "DATABASE_MISSING",
                    f"{self.path} is gone, and with it which approvals are used up",
                    f"Restore it from a backup. {start_anew(self._mark.parent)}",
                )
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        elif self._mark.exists() and os.lstat(self.path).st_size == 0:
            raise StateError(
                "DATABASE_CORRUPT",
                f"{self.path} was emptied, and with it which approvals are used up",
                f"Restore it from a backup. {start_anew(self._mark.parent)}",
            )
        if not stat.S_ISREG(os.lstat(self.path).st_mode):
            raise StateError(
                "DATABASE_UNSAFE",
                f"{self.path} is not a regular file",
                "Find out who replaced it; restore it.",
            )
        if self._read_only:
            with engine.connect() as raw, raw.begin():
                _require_head(raw, self.path)
            return
        with engine.connect() as raw, raw.execution_options(lonelycat_write=True).begin():
            _bring_to_head(raw, self.path)
        if not self._mark.exists():
            self._mark.touch(mode=0o600)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code == sqlite3.SQLITE_CONSTRAINT:
                raise
            raise self._refused(code, str(error.orig)) from error

    def _refused_by_disk(self, error: OSError) -> StateError:
        return self._refused(_AS_SQLITE.get(error.errno or 0, sqlite3.SQLITE_IOERR), str(error))

    def _refused(self, code: int, said: str) -> StateError:
        """Return what stands for an error that SQLite tells by ``code``, or would have."""
        name, what, hint = _CODES.get(
            code,
            (
                "DATABASE_CORRUPT",
                "is damaged or was altered",
                f"Restore it from a backup. {start_anew(self._mark.parent)}",
            ),
        )
        return StateError(name, f"{self.path} {what}", hint, details={"sqlite": said})


def _path_of(url: str) -> Path:
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path.is_absolute() or "?" in url:
        raise StateError(
            "DATABASE_UNSUPPORTED",
            "the database URL is not of the form sqlite:////absolute/path",
            "Unset LONELYCAT_DATABASE_URL, or name an SQLite file with an absolute path.",
        )
    return path


@lru_cache(maxsize=16)
def _engine(path: Path, *, read_only: bool = False) -> Engine:
    """Return what makes connections; it holds none, but every statement that it has put into SQL once.

    To do that anew for each execution takes longer than all that SQLite does for it.
    """
    engine = create_engine(
        f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true" if read_only else f"sqlite:///{path}",
        poolclass=NullPool,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
    )
    journal, synchronous = journal_settings(sqlite3.sqlite_version_info)

    def configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.execute("PRAGMA trusted_schema = OFF")
            if not read_only and cursor.execute("PRAGMA journal_mode").fetchone()[0] != journal:
                cursor.execute(f"PRAGMA journal_mode = {journal}")
            cursor.execute(f"PRAGMA synchronous = {synchronous}")
            cursor.execute("PRAGMA fullfsync = ON")  # for macOS, where fsync alone leaves it in the drive's memory
        finally:
            cursor.close()

    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("lonelycat_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin)
    return engine


os.register_at_fork(after_in_child=_engine.cache_clear)  # whatever another thread was doing with one at that moment


def _require_head(connection: Connection, path: Path) -> None:
    """Refuse a database whose tables are not those that this version reads."""
    versions = [str(row[0]) for row in connection.exec_driver_sql("SELECT version_num FROM alembic_version")]
    if versions != [HEAD]:
        raise StateError(
            "DATABASE_NEWER",
            f"{path} was written by another version of LonelyCat",
            "Use that version; or run `lonelycat status` once, which brings an older database up to date.",
        )


def _bring_to_head(connection: Connection, path: Path) -> None:
    """Create the tables in an empty database, or migrate an older one, within the caller's transaction."""
    names = {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not names:
        metadata.create_all(connection, checkfirst=False)
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
        return
    versions = (
        [str(row[0]) for row in connection.exec_driver_sql("SELECT version_num FROM alembic_version")]
        if "alembic_version" in names
        else []
    )
    if versions == [HEAD]:
        return
    if len(versions) != 1:
        raise StateError("DATABASE_CORRUPT", f"{path} does not say which version wrote it", "Restore it from a backup.")
    from lonelycat.records.migrations import upgrade

    upgrade(connection, versions[0], path)


def insert_rows(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Insert ``rows`` of the columns ``names``, which hold text, numbers and NULL as SQLite takes them.

    They pass by the library's own preparation of values, which takes longer than the inserting; and some at a time, for
    the driver is to have a list of them.
    """
    into = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 — columns
    remaining = iter(rows)
    while some := list(islice(remaining, _ROWS)):
        connection.exec_driver_sql(into, some)
