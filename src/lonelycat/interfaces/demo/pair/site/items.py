"""What the shop sells, from its database."""

from __future__ import annotations

from typing import Any

VERSION = "1.0"
COLUMNS = ("id", "name", "price")


def listing(pool: Any) -> list[dict[str, Any]]:
    """Return every item."""
    with pool.connection() as connection:
        rows = connection.execute(f"select {', '.join(COLUMNS)} from items order by id").fetchall()  # noqa: S608
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]
