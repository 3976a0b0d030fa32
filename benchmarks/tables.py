"""Tables and times as docs/performance.md writes them."""

from __future__ import annotations

Row = tuple[str, ...]


def in_ms(seconds: float) -> str:
    """Return seconds as whole milliseconds."""
    return f"{seconds * 1000:.0f} ms"


def table(heads: Row, rows: list[Row]) -> str:
    """Return a Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
