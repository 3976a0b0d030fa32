"""How a unified diff looks on a terminal: coloured by line, its text made harmless."""

from __future__ import annotations

from lonelycat.interfaces.cli.neutral import neutral_lines
from lonelycat.interfaces.cli.screen import Screen

_HEADERS = (
    "diff --git ",
    "index ",
    "--- ",
    "+++ ",
    "new file ",
    "deleted file ",
    "old mode ",
    "new mode ",
    "similarity ",
    "rename ",
    "copy ",
    "GIT binary patch",
    "Binary files ",
)


def show_diff(screen: Screen, diff: bytes, *, most_lines: int | None = None) -> int:
    """Write ``diff``, at most ``most_lines`` of it.

    Returns:
        How many lines were left out.
    """
    lines = neutral_lines(diff.decode("utf-8", "surrogateescape"))
    shown = lines if most_lines is None else lines[:most_lines]
    for line, style in zip(shown, line_styles(shown), strict=True):
        screen.line((line, style), keep_tabs=True)
    return len(lines) - len(shown)


def line_styles(lines: list[str]) -> list[str]:
    """Return the style of each line: hunk bodies are told from headers by the counts in the ``@@`` line."""
    styles: list[str] = []
    old_left = new_left = 0
    for line in lines:
        if old_left > 0 or new_left > 0:
            mark = line[:1]
            styles.append({"+": "add", "-": "del"}.get(mark, "plain"))
            old_left -= mark != "+" and mark != "\\"
            new_left -= mark != "-" and mark != "\\"
        elif line.startswith("@@ "):
            old_left, new_left = _hunk_counts(line)
            styles.append("hunk")
        else:
            styles.append("title" if line.startswith(_HEADERS) else "plain")
    return styles


def _hunk_counts(line: str) -> tuple[int, int]:
    words = line.split()
    try:
        return _count(words[1], "-"), _count(words[2], "+")
    except (IndexError, ValueError):
        return 0, 0


def _count(word: str, mark: str) -> int:
    if not word.startswith(mark):
        raise ValueError(word)
    _, comma, length = word[1:].partition(",")
    return int(length) if comma else 1


def diffstat(diff: bytes) -> tuple[int, int]:
    """Return how many lines ``diff`` adds and removes."""
    lines = diff.decode("utf-8", "surrogateescape").split("\n")
    styles = line_styles(lines)
    return styles.count("add"), styles.count("del")
