"""``python -m lonelycat``: the same as the command ``lonelycat``."""

from __future__ import annotations

from lonelycat.interfaces.cli import entry

if __name__ == "__main__":
    entry()
