"""The shop's migrations: ``migrate.py up`` brings the database to what the files say, ``migrate.py status`` compares.

Invariants:
- One transaction for everything that ``up`` does: it happens whole, or not at all.
- ``up`` waits for a database that is just starting; ``status`` asks the database as it is, for that is its question.
- The way back is kept in the database beside what was applied. A database that is ahead of the files, because the files
  of a later version were taken away again, goes back by it; a migration without a way back makes ``up`` fail.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

_FILES = Path(__file__).resolve().parents[1] / "migrations"
_NAME = re.compile(r"(\d{4})_[a-z_]+\.sql")
_PARTS = re.compile(r"\A-- up\n(?P<up>.*?)^-- down(?P<none>: none)?\n?(?P<down>.*)\Z", re.DOTALL | re.MULTILINE)
_START_SECONDS = 20.0
_TABLE = """create table if not exists schema_migrations (
    version integer primary key, name text not null, sha256 text not null, way_back text,
    applied_at timestamptz not null default now())"""


class Migration(NamedTuple):
    """One file: what it does, and how it is taken back; None when it cannot be."""

    version: int
    name: str
    sha256: str
    up: str
    down: str | None


class MigrationError(Exception):
    """The database cannot be brought to what the files say."""


def read_files() -> dict[int, Migration]:
    """Return the migrations of this version of the shop, by number."""
    found: dict[int, Migration] = {}
    for path in sorted(_FILES.glob("*.sql")):
        named, text = _NAME.fullmatch(path.name), path.read_text(encoding="utf-8")
        parts = _PARTS.match(text)
        if named is None or parts is None or int(named[1]) in found:
            raise MigrationError(f"{path.name}: needs a number of its own, a part '-- up' and a part '-- down'")
        version, down = int(named[1]), None if parts["none"] else parts["down"]
        found[version] = Migration(version, path.name, hashlib.sha256(text.encode()).hexdigest(), parts["up"], down)
    return found


def connect(patience: float) -> psycopg.Connection[Any]:
    """Return a connection that waits for no lock over 3 seconds; a database that is not there gets ``patience`` s."""
    until = time.monotonic() + patience
    while True:
        try:
            return psycopg.connect(
                host=os.environ["SHOP_RUN"], user="shop", dbname="shop", connect_timeout=2, options="-c lock_timeout=3s"
            )
        except psycopg.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.1)


def up(connection: psycopg.Connection[Any]) -> list[str]:
    """Bring the database to what the files say, in the transaction of ``connection``; return what was done."""
    files, done = read_files(), []
    connection.execute("select pg_advisory_xact_lock(4711)")
    connection.execute(_TABLE)
    rows = connection.execute("select version, name, sha256, way_back from schema_migrations order by version desc")
    applied = rows.fetchall()
    for version, name, sha256, way_back in applied:
        if version in files:
            if files[version].sha256 != sha256:
                raise MigrationError(f"{name} is not what was applied; write a new migration instead")
        elif way_back is None:
            raise MigrationError(f"{name} was applied, is not in the files any more, and has no way back")
        else:
            connection.execute(way_back)
            connection.execute("delete from schema_migrations where version = %s", [version])
            done.append(f"took back {name}")
    for version in sorted(files.keys() - {row[0] for row in applied}):
        one = files[version]
        connection.execute(one.up.encode())
        connection.execute(
            "insert into schema_migrations (version, name, sha256, way_back) values (%s, %s, %s, %s)",
            [version, one.name, one.sha256, one.down],
        )
        done.append(f"applied {one.name}")
    return done


def status(connection: psycopg.Connection[Any]) -> str | None:
    """Return what the database has and the files have not, or the other way round; None when they agree."""
    files = {version: one.sha256 for version, one in read_files().items()}
    try:
        found = connection.execute("select version, sha256 from schema_migrations").fetchall()
    except psycopg.errors.UndefinedTable:
        found = []
    applied = dict(found)
    if applied == files:
        return None
    odd = sorted(version for version in files.keys() | applied.keys() if files.get(version) != applied.get(version))
    return f"the files have {sorted(files)}, the database has {sorted(applied)}; they differ in {odd}"


def main(arguments: list[str]) -> int:
    """Run ``up`` or ``status``."""
    try:
        with connect(_START_SECONDS if arguments == ["up"] else 0.0) as connection:
            if arguments == ["status"]:
                problem = status(connection)
                print(problem or "the database is at the latest migration")  # noqa: T201 - a program's answer
                return 1 if problem else 0
            if arguments == ["up"]:
                print("\n".join(up(connection)) or "nothing to do")  # noqa: T201
                return 0
    except (MigrationError, psycopg.Error) as error:
        print(f"nothing was changed: {str(error).splitlines()[0]}")  # noqa: T201
        return 1
    print("migrate.py up | status")  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
