"""What the demonstration's web service says."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
GREETING = "Hello"


def greet(name: str) -> str:
    """Return the greeting for ``name``."""
    return f"{GREETING}, {name}!"


def health() -> tuple[int, str]:
    """Say whether the service can work: its guest book must be where the settings say."""
    settings = json.loads((HERE / "settings.json").read_text(encoding="utf-8"))
    book = HERE / settings["guest_book"]
    return (200, "healthy") if book.is_file() else (500, f"no guest book at {book.name}")


def answer(path: str) -> tuple[int, str]:
    """Return status and text for a request's path."""
    if path == "/":
        return 200, greet("visitor")
    return health() if path == "/health" else (404, "no such page")
