"""Kind sql against a real PostgreSQL and SQLite: connection, query, migrations, replication, secrets and hangs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from tests.patience import until
from tests.servers.postgres import Postgres, postgres
from tests.unit.checks.probing import Asking, Raw, silent

from lonelycat.checks.health.migrations import heads
from lonelycat.errors import PolicyError, StepFailedError


@pytest.fixture
def url(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("APP_DATABASE", database.url())
    monkeypatch.setenv("APP_PASSWORD", database.password)
    return database.url(password=False)


def test_it_connects_with_the_password_of_a_variable(url: str, database: Postgres, ask: Asking) -> None:
    for parameters in ({"url": url, "password_env": "APP_PASSWORD"}, {"url_env": "APP_DATABASE"}):
        seen = ask("sql", **parameters)
        assert seen.ok, seen
        assert f"127.0.0.1:{database.port}" in seen.message
        assert database.password not in repr(seen)


def test_a_refused_password_and_a_missing_variable_fail(
    url: str, database: Postgres, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("sql", url=url).code == "HEALTH_SQL_AUTH"
    monkeypatch.setenv("APP_PASSWORD", "not-the-password")
    seen = ask("sql", url=url, password_env="APP_PASSWORD")
    assert seen.code == "HEALTH_SQL_AUTH" and "not-the-password" not in repr(seen)
    monkeypatch.delenv("APP_PASSWORD")
    seen = ask("sql", url=url, password_env="APP_PASSWORD")
    assert seen.code == "HEALTH_SECRET_MISSING" and "APP_PASSWORD" in seen.message


def test_its_server_is_found_by_the_pid_file_that_it_writes(database: Postgres, ask: Asking) -> None:
    seen = ask("process", pid_file=str(database.directory / "postmaster.pid"), argv_matches="postgres")
    assert seen.ok, seen


def test_nobody_listens_and_no_such_database(ask: Asking, url: str, database: Postgres, closed_port: int) -> None:
    nobody = f"postgresql+psycopg://postgres@127.0.0.1:{closed_port}/postgres"
    assert ask("sql", url=nobody).code == "HEALTH_SQL_CONNECT"
    assert (
        ask("sql", url=database.url("gone", password=False), password_env="APP_PASSWORD").code == "HEALTH_SQL_CONNECT"
    )


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ({"query": "SELECT 3", "equals": 3}, None),
        ({"query": "SELECT 3", "equals": 4}, "HEALTH_SQL_RESULT"),
        ({"query": "SELECT 'up'", "equals": "up"}, None),
        ({"query": "SELECT 'up' WHERE 'a%' LIKE 'a%'", "equals": "up"}, None),
        ({"query": "SELECT true", "equals": 1}, "HEALTH_SQL_RESULT"),
        ({"query": "SELECT 3.5::numeric", "min": 3, "max": 4}, None),
        ({"query": "SELECT 3", "min": 4}, "HEALTH_SQL_RESULT"),
        ({"query": "SELECT 3", "max": 2.5}, "HEALTH_SQL_RESULT"),
        ({"query": "SELECT 'NaN'::float", "max": 2.5}, "HEALTH_SQL_RESULT"),
        ({"query": "SELECT NULL", "max": 2.5}, "HEALTH_SQL_RESULT"),
        ({"query": "SELECT 1 WHERE false", "equals": 1}, "HEALTH_SQL_RESULT"),
        ({"query": "SELECT 1 FROM gone", "equals": 1}, "HEALTH_SQL_QUERY"),
        ({"query": "SELEC 1", "equals": 1}, "HEALTH_SQL_QUERY"),
        ({"query": "CREATE TABLE made_by_a_check (i int)", "equals": 1}, "HEALTH_SQL_QUERY"),
        ({"query": "SELECT pg_sleep(600)", "equals": 1}, "HEALTH_SQL_TIMEOUT"),
    ],
)
def test_what_a_query_gives_is_compared(url: str, ask: Asking, expected: dict[str, Any], code: str | None) -> None:
    seen = (ask.to_the_limit if code == "HEALTH_SQL_TIMEOUT" else ask)("sql", url_env="APP_DATABASE", **expected)
    assert seen.code == code, seen


def test_a_query_that_writes_is_refused(url: str, database: Postgres, ask: Asking) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS noted (i int)")
        writes = "WITH w AS (INSERT INTO noted VALUES (1) RETURNING i) SELECT i FROM w"
        seen = ask("sql", url_env="APP_DATABASE", query=writes, equals=1)
        assert seen.code == "HEALTH_SQL_QUERY" and "read-only" in seen.message
        assert connection.execute("SELECT count(*) FROM noted").fetchone() == (0,)


def test_a_locked_table_is_not_waited_for(url: str, database: Postgres, ask: Asking) -> None:
    with database.connect() as other:
        other.execute("CREATE TABLE IF NOT EXISTS busy (i int)")
        with other.transaction():
            other.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
            count = {"query": "SELECT count(*) FROM busy", "equals": 0}
            assert ask.to_the_limit("sql", url_env="APP_DATABASE", **count).code == "HEALTH_SQL_TIMEOUT"
        assert ask("sql", url_env="APP_DATABASE", **count).ok


def test_a_database_that_hangs_does_not_hang_the_check(
    url: str, database: Postgres, ask: Asking, raw_server: Raw
) -> None:
    nowhere = f"postgresql+psycopg://postgres@127.0.0.1:{raw_server(silent)}/postgres"
    assert ask.to_the_limit("sql", url=nowhere).code == "HEALTH_SQL_TIMEOUT"
    group = database.process.pid
    os.killpg(group, signal.SIGSTOP)
    try:
        assert ask.to_the_limit("sql", url_env="APP_DATABASE").code == "HEALTH_SQL_TIMEOUT"
    finally:
        os.killpg(group, signal.SIGCONT)
    assert ask("sql", url_env="APP_DATABASE").ok


def test_a_password_does_not_stand_in_the_policy(ask: Asking) -> None:
    for bad in ("postgresql://u:p4ss@h/d", "postgresql://h/d?password=x", "no url"):
        seen = ask("sql", url=bad)
        assert seen.code == "HEALTH_PARAMETERS" and "p4ss" not in seen.message


def test_a_url_of_a_variable_that_cannot_be_used_is_not_shown(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in (
        "nonsense-secret-text",
        "nosuchdialect://u:hidden-word@h/d",
        "postgresql+nosuchdriver://u:hidden-word@h/d",
    ):
        monkeypatch.setenv("APP_DATABASE", secret)
        seen = ask("sql", url_env="APP_DATABASE")
        assert seen.code in ("HEALTH_SQL_URL", "HEALTH_EXTRA_MISSING")
        assert "hidden-word" not in repr(seen) and "secret-text" not in repr(seen)
    monkeypatch.setenv("APP_DATABASE", "mysql+pymysql://u:hidden-word@h/d")
    seen = ask("sql", url_env="APP_DATABASE")
    assert seen.code == "HEALTH_EXTRA_MISSING" and "pymysql" in seen.message


def test_sqlite_by_url(workspace: Path, ask: Asking) -> None:
    place = workspace / "app.db"
    assert ask("sql", url=f"sqlite:///{place}", query="SELECT 1", equals=1).ok
    assert ask("sql", url=f"sqlite:///{workspace}/gone/app.db").code == "HEALTH_SQL_CONNECT"
    assert ask("sql", url=f"sqlite:///{place}", max_replication_lag_seconds=1).code == "HEALTH_SQL_REPLICATION"


# --- migrations ---


def migration(directory: Path, revision: str, down: str | None, extra: str = "") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{revision}_x.py").write_text(
        textwrap.dedent(
            f"""
            from alembic import op
            import sqlalchemy as sa
            revision: str = {revision!r}
            down_revision = {down!r}
            {extra}
            def upgrade():
                op.create_table("t_{revision}", sa.Column("i", sa.Integer))
            """
        )
    )


def alembic(root: Path, url: str, *words: str) -> None:
    (root / "alembic.ini").write_text(f"[alembic]\nscript_location = {root}/alembic\nsqlalchemy.url = {url}\n")
    (root / "alembic" / "env.py").write_text(
        "from alembic import context\nfrom sqlalchemy import create_engine\n"
        "with create_engine(context.config.get_main_option('sqlalchemy.url')).connect() as connection:\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n"
    )
    subprocess.run([sys.executable, "-m", "alembic", "-c", str(root / "alembic.ini"), *words], check=True, cwd=root)


def test_migrations_must_be_at_head(url: str, database: Postgres, ask: Asking, workspace: Path) -> None:
    with database.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS migrated")
        connection.execute("CREATE DATABASE migrated")
    versions = workspace / "alembic" / "versions"
    at_head = {"url": database.url("migrated", password=False), "password_env": "APP_PASSWORD",
               "migrations": "alembic/versions"}  # fmt: skip
    assert ask("sql", **at_head).code == "HEALTH_SQL_MIGRATIONS"  # there is no directory
    migration(versions, "a1", None)
    migration(versions, "b2", "a1")
    seen = ask("sql", **at_head)
    assert seen.code == "HEALTH_SQL_MIGRATIONS" and "no table" in seen.message
    alembic(workspace, database.url("migrated"), "upgrade", "a1")
    seen = ask("sql", **at_head)
    assert seen.code == "HEALTH_SQL_MIGRATIONS" and "is at a1" in seen.message
    alembic(workspace, database.url("migrated"), "upgrade", "head")
    assert ask("sql", **at_head).ok
    (versions / "b2_x.py").unlink()  # the database is ahead of the code: a rollback without its downgrade
    assert ask("sql", **at_head).code == "HEALTH_SQL_MIGRATIONS"


def test_heads_are_those_of_alembic(tmp_path: Path) -> None:
    from alembic.script import ScriptDirectory

    versions = tmp_path / "alembic" / "versions"
    migration(versions, "a", None)
    migration(versions, "b", "a")
    migration(versions, "c", "a")
    (versions / "__init__.py").write_text("")
    assert heads(versions) == {"b", "c"} == set(ScriptDirectory(str(tmp_path / "alembic")).get_heads())
    migration(versions, "d", None, 'depends_on = "b"')
    assert heads(versions) == {"c", "d"}
    shutil.rmtree(versions)
    migration(versions, "a", None)
    migration(versions, "b", "a")
    migration(versions, "c", "a")
    (versions / "m.py").write_text("revision = 'm'\ndown_revision = ('b', 'c')\n")
    assert heads(versions) == {"m"} == set(ScriptDirectory(str(tmp_path / "alembic")).get_heads())


@pytest.mark.parametrize(
    "text",
    [
        "revision = 'x'\ndown_revision = other()\n",
        "revision = 'x'\ndown_revision = 'gone'\n",
        "revision = 3\n",
        "revision = 'x'\ndown_revision = (1, 2)\n",
        "revision = (\n",
        "x = 1\n",
    ],
)
def test_migrations_that_cannot_be_told_are_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.py").write_text(text)
    with pytest.raises(StepFailedError) as caught:
        heads(tmp_path)
    assert caught.value.code == "HEALTH_SQL_MIGRATIONS"


def test_migrations_are_not_run_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).write_text('')\n"
        "revision = 'x'\ndown_revision = None\n"
    )
    assert heads(tmp_path) == {"x"}
    assert not (tmp_path / "ran").exists()


# --- replication ---


def test_replication_lag_of_both_sides(database: Postgres, ask: Asking, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PRIMARY", database.url())
    lag: dict[str, Any] = {"max_replication_lag_seconds": 1.0}
    seen = ask("sql", url_env="PRIMARY", **lag)
    assert seen.code == "HEALTH_SQL_REPLICATION" and "no replica" in seen.message
    with postgres(tmp_path / "replica", template=database) as replica:
        monkeypatch.setenv("REPLICA", replica.url())
        until(
            lambda: (seen := ask("sql", url_env="REPLICA", **lag)).ok and "lags 0.0 s" in seen.message,
            "the replica to have caught up",
            pause=0.2,
        )
        assert ask("sql", url_env="PRIMARY", **lag).ok
        with replica.connect() as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
        with database.connect() as connection:
            connection.execute("CREATE TABLE late AS SELECT generate_series(1, 100)")
            time.sleep(1.5)
            connection.execute("INSERT INTO late VALUES (1)")
        assert ask("sql", url_env="REPLICA", **lag).code == "HEALTH_SQL_REPLICATION"
        assert ask("sql", url_env="PRIMARY", max_replication_lag_seconds=0.5).code == "HEALTH_SQL_REPLICATION"
    assert ask("sql", url_env="PRIMARY", **lag).code == "HEALTH_SQL_REPLICATION"


def test_what_can_never_pass_is_refused(ask: Asking) -> None:
    for parameters in (
        {},
        {"url": "sqlite://", "url_env": "X"},
        {"url": "sqlite://", "query": "SELECT 1"},
        {"url": "sqlite://", "equals": 1},
        {"url": "sqlite://", "query": "SELECT 1", "equals": 1, "min": 0},
        {"url": "sqlite://", "query": "SELECT 1", "min": 2, "max": 1},
        {"url": "sqlite://", "version_table": "x"},
        {"url": "sqlite://", "migrations": "../x"},
    ):
        with pytest.raises(PolicyError, match="HEALTH_PARAMETERS"):
            ask.mark("sql", **parameters)
