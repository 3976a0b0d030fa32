"""The shop's own tests, which need no database; they lie in its repository as ``tests/test_shop.py``."""

from __future__ import annotations

import contextlib
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))

import items  # type: ignore[import-not-found]  # noqa: E402 - found in app/ once it is copied
import migrate  # type: ignore[import-not-found]  # noqa: E402


class OneRow:
    """A database with one item, for any query; lends its connection in both ways that a pool does."""

    def execute(self, query: str) -> OneRow:
        """Take the query."""
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return one row, as wide as what is asked for."""
        return [tuple(range(len(items.COLUMNS)))]

    @contextlib.contextmanager
    def connection(self) -> Iterator[OneRow]:
        """Lend it for a block."""
        yield self

    def take(self) -> OneRow:
        """Lend it."""
        return self


class Shop(unittest.TestCase):
    """What customers and colleagues rely on."""

    def test_an_item_has_what_the_page_shows(self) -> None:
        """Each item has a name and a price."""
        (only,) = items.listing(OneRow())
        self.assertLessEqual({"id", "name", "price"}, only.keys())

    def test_the_migrations_can_be_read(self) -> None:
        """They are numbered from 1, without a gap."""
        self.assertEqual(sorted(migrate.read_files()), list(range(1, len(migrate.read_files()) + 1)))


if __name__ == "__main__":
    unittest.main()
