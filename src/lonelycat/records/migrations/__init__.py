"""Bringing an older database to the present schema; imported only when there is something to migrate."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from lonelycat.errors import StateError
from lonelycat.records.tables import HEAD


def upgrade(connection: Connection, version: str | None, path: Path) -> None:
    """Run the migrations from ``version`` (None: from nothing) to the head, in the caller's transaction.

    Raises:
        StateError: ``DATABASE_NEWER`` if ``version`` is none that this LonelyCat knows.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StateError(
            "DATABASE_NEWER",
            f"{path} was written by a newer LonelyCat (schema {version[:40]}; this one knows {HEAD})",
            "Update LonelyCat. What a crash left in the workspace can be recovered; nothing new is executed.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
