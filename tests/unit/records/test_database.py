"""The database file: how it is made, opened, migrated and refused."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.sql.compiler import SQLCompiler

from lonelycat.errors import StateError
from lonelycat.records import database as database_module
from lonelycat.records.database import Database, journal_settings
from lonelycat.records.layout import CREATED_MARK
from lonelycat.records.tables import counters


def shape(path: Path) -> dict[str, Any]:
    """Return columns, keys and indexes of every table, whatever the spelling of the SQL."""
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {
            name: (
                db.execute(f"PRAGMA table_info({name})").fetchall(),
                sorted(row[2:] for row in db.execute(f"PRAGMA foreign_key_list({name})")),
                sorted(
                    (index[1], index[2], *(c[2] for c in db.execute(f"PRAGMA index_info({index[1]})")))
                    for index in db.execute(f"PRAGMA index_list({name})")
                ),
            )
            for name in names
        }


def refusal(database: Database) -> str:
    with pytest.raises(StateError) as caught, database.read():
        pass
    assert caught.value.hint
    return caught.value.code


def test_nothing_is_made_before_the_first_use(tmp_path: Path) -> None:
    database = Database(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with database.read():
        pass
    assert stat.S_IMODE((tmp_path / "lonelycat.db").stat().st_mode) == 0o600


def test_the_settings_are_the_durable_ones(tmp_path: Path) -> None:
    with Database(tmp_path).read() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    safe = sqlite3.sqlite_version_info >= (3, 51, 3)
    assert values == {
        "journal_mode": "wal" if safe else "delete",
        "synchronous": 2 if safe else 3,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_wal_is_used_only_where_its_reset_bug_is_fixed() -> None:
    assert journal_settings((3, 51, 2)) == ("delete", "EXTRA")
    assert journal_settings((3, 40, 1)) == ("delete", "EXTRA")
    assert journal_settings((3, 51, 3)) == ("wal", "FULL")
    assert journal_settings((3, 52, 0)) == ("wal", "FULL")


def test_a_wal_database_of_a_newer_sqlite_is_taken_back_to_a_safe_mode(tmp_path: Path) -> None:
    with Database(tmp_path).read():
        pass
    with closing(sqlite3.connect(tmp_path / "lonelycat.db")) as db:
        db.execute("PRAGMA journal_mode = wal")
    with Database(tmp_path).read() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    assert mode == journal_settings(sqlite3.sqlite_version_info)[0]


def test_migrations_from_nothing_give_what_creation_gives(tmp_path: Path) -> None:
    from lonelycat.records.migrations import upgrade

    (tmp_path / "created").mkdir()
    (tmp_path / "migrated").mkdir()
    with Database(tmp_path / "created").read():
        pass
    migrated = Database(tmp_path / "migrated")
    with migrated.write() as connection:
        for table in shape(tmp_path / "created" / "lonelycat.db"):
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            connection.exec_driver_sql(f"DROP TABLE {table}")
    with closing(sqlite3.connect(migrated.path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{migrated.path}", poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        upgrade(connection, None, migrated.path)
    assert shape(migrated.path) == shape(tmp_path / "created" / "lonelycat.db")
    with Database(tmp_path / "migrated").read():
        pass


def test_creation_does_not_import_alembic(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from lonelycat.records.database import Database\n"
        "with Database(pathlib.Path(sys.argv[1])).write(): pass\n"
        "with Database(pathlib.Path(sys.argv[1])).read(): pass\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


def test_a_statement_is_put_into_sql_once_for_all_who_open_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database(tmp_path).read():
        pass
    spelled: list[SQLCompiler] = []
    spell = SQLCompiler.__init__

    def noted(self: SQLCompiler, *args: Any, **kwargs: Any) -> None:
        spell(self, *args, **kwargs)
        spelled.append(self)

    monkeypatch.setattr(SQLCompiler, "__init__", noted)
    for name in ("first", "second", "third"):
        with Database(tmp_path).write() as connection:
            known = connection.execute(select(counters.c.value).where(counters.c.name == "known")).scalars().all()
            connection.execute(counters.insert(), {"name": name, "value": len(known)})
    assert len(spelled) == 2
    with Database(tmp_path).read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM counters").scalar() == 3


def test_a_file_that_takes_the_place_of_another_is_looked_at_anew(tmp_path: Path) -> None:
    with Database(tmp_path).write() as connection:
        connection.execute(counters.insert(), {"name": "old", "value": 1})
    (tmp_path / "lonelycat.db").write_bytes(b"not a database, but long enough to be read as one" * 50)
    assert refusal(Database(tmp_path)) == "DATABASE_CORRUPT"
    (tmp_path / "lonelycat.db").unlink()
    assert refusal(Database(tmp_path)) == "DATABASE_MISSING"
    (tmp_path / CREATED_MARK).unlink()
    with Database(tmp_path).read() as connection:
        assert connection.execute(select(counters.c.name)).all() == []


def test_a_forked_process_takes_over_nothing(tmp_path: Path) -> None:
    with Database(tmp_path).write() as connection:
        connection.execute(counters.insert(), {"name": "parent", "value": 1})
    child = os.fork()
    if child == 0:
        kept = database_module._engine.cache_info().currsize
        with Database(tmp_path).write() as connection:
            connection.execute(counters.insert(), {"name": "child", "value": 2})
        os._exit(kept)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert database_module._engine.cache_info().currsize > 0
    with Database(tmp_path).read() as connection:
        assert connection.execute(select(counters.c.name).order_by(counters.c.name)).scalars().all() == [
            "child",
            "parent",
        ]


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be read as one" * 50, b"SQLite format 3\0" + b"\0" * 4000]
)
def test_a_corrupt_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lonelycat.db").write_bytes(content)
    assert refusal(Database(tmp_path)) == "DATABASE_CORRUPT"
    assert (tmp_path / "lonelycat.db").read_bytes() == content


def test_a_torn_database_is_refused(case: Any) -> None:
    case.executed()
    data = case.path.read_bytes()
    case.path.write_bytes(data[: len(data) // 3] + b"\xff" * (len(data) - len(data) // 3))
    with pytest.raises(StateError) as caught:
        case.reopened().audit_verify()
    assert caught.value.code == "DATABASE_CORRUPT"


def test_a_newer_schema_is_refused_and_left_alone(case: Any) -> None:
    result = case.executed()
    case.sql("UPDATE alembic_version SET version_num = '9999'")
    before = case.path.read_bytes()
    with pytest.raises(StateError) as caught:
        case.reopened().execution(result.execution_id)
    assert caught.value.code == "DATABASE_NEWER"
    assert "Update LonelyCat" in caught.value.hint
    assert case.path.read_bytes() == before


@pytest.mark.parametrize("statement", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_a_database_without_a_version_is_refused(case: Any, statement: str) -> None:
    case.executed()
    case.sql(statement)
    with pytest.raises(StateError) as caught:
        case.reopened().audit_head()
    assert caught.value.code == "DATABASE_CORRUPT"


def test_a_missing_table_is_refused_not_recreated(case: Any) -> None:
    plan, changeset, decision = case.stored()
    case.sql("DROP TABLE consumed_approvals")
    with pytest.raises(StateError) as caught:
        case.finish(plan, case.result(plan, changeset), decision, "appr_x")
    assert caught.value.code == "DATABASE_CORRUPT"


def test_a_database_that_is_gone_is_not_silently_replaced(case: Any) -> None:
    case.executed()
    case.path.unlink()
    with pytest.raises(StateError) as caught:
        case.reopened().audit_head()
    assert caught.value.code == "DATABASE_MISSING"
    assert not case.path.exists()
    with pytest.raises(StateError):
        case.records.audit_head()
    (case.settings.state_dir / CREATED_MARK).unlink()
    assert case.reopened().audit_head().seq == 0


def test_an_interrupted_creation_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "lonelycat.db").touch()
    with Database(tmp_path).read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM audit").scalar() == 0


def test_links_and_fifos_in_place_of_the_database_are_refused(tmp_path: Path) -> None:
    for name in ("link", "fifo"):
        (tmp_path / name).mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    (tmp_path / "link" / "lonelycat.db").symlink_to(elsewhere)
    os.mkfifo(tmp_path / "fifo" / "lonelycat.db")
    assert refusal(Database(tmp_path / "link")) == "DATABASE_UNSAFE"
    assert refusal(Database(tmp_path / "fifo")) == "DATABASE_UNSAFE"
    assert elsewhere.read_bytes() == b""


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite://", "sqlite:///relative.db", "sqlite:////x?mode=ro"])
def test_other_urls_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StateError) as caught:
        Database(tmp_path, url)
    assert caught.value.code == "DATABASE_UNSUPPORTED"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EIO, "DATABASE_IO"),
        (errno.ENOSPC, "DATABASE_FULL"),
        (errno.EDQUOT, "DATABASE_FULL"),
        (errno.EACCES, "DATABASE_UNWRITABLE"),
        (errno.EROFS, "DATABASE_UNWRITABLE"),
    ],
)
def test_a_disk_that_refuses_before_sqlite_has_looked_is_told_as_by_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    with Database(tmp_path).write():
        pass
    real = os.lstat

    def refuse(path: Any, **more: Any) -> os.stat_result:
        if str(path).endswith("lonelycat.db"):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, **more)

    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(StateError) as caught, Database(tmp_path).read():
        pass
    assert caught.value.code == code


def test_what_the_caller_meets_in_a_transaction_is_not_the_databases(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), Database(tmp_path).write():
        raise PermissionError(errno.EACCES, "theirs")


def test_a_url_puts_the_database_elsewhere(tmp_path: Path) -> None:
    with Database(tmp_path, f"sqlite:///{tmp_path}/other.db").write():
        pass
    assert (tmp_path / "other.db").exists()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(RuntimeError), database.write() as connection:
        connection.exec_driver_sql("INSERT INTO counters VALUES ('fence', 1)")
        raise RuntimeError
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM counters").scalar() == 0


def test_a_write_takes_the_lock_at_once(case: Any) -> None:
    case.records.audit_head()
    with (
        case.records.database.write(),
        closing(sqlite3.connect(case.path, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")


def test_damage_names_what_is_broken(case: Any) -> None:
    result = case.executed()
    assert case.records.database.damage() == ()
    case.sql("DELETE FROM executions WHERE execution_id = ?", result.execution_id)
    assert any("broken reference" in line for line in case.records.database.damage())
