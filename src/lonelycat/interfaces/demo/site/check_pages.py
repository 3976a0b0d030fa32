"""The web service's own tests; they lie in the demonstration's repository as ``tests/test_pages.py``."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))

import pages  # type: ignore[import-not-found]  # noqa: E402 (found in app/ once it is copied)


class Greeting(unittest.TestCase):
    """What visitors rely on."""

    def test_names_the_visitor(self) -> None:
        """The greeting ends with the name."""
        self.assertTrue(pages.greet("Ada").endswith(", Ada!"))

    def test_front_page(self) -> None:
        """The front page greets."""
        self.assertEqual(pages.answer("/"), (200, pages.greet("visitor")))


if __name__ == "__main__":
    unittest.main()
