"""Alembic's entry point: migrate on the connection, and in the transaction, that the caller opened."""

from __future__ import annotations

from alembic import context

from lonelycat.records.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
