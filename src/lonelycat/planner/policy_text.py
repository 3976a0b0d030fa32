"""Writing YAML that a person keeps: comments, short lists on lines, every text quoted.

Invariant: every text is written as a JSON string, which YAML reads as itself, so that no name from a workspace can
become a key, a tag, a comment or another type.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence

_WIDTH = 110


def quoted(text: str) -> str:
    """Return ``text`` as a YAML double-quoted scalar."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def flow(items: Iterable[str | int]) -> str:
    """Return ``items`` as a list on one line."""
    return "[" + ", ".join(str(item) if isinstance(item, int) else quoted(item) for item in items) + "]"


def block(key: str, items: Sequence[str], *, indent: int) -> list[str]:
    """Return ``key`` with a list of texts, wrapped over as many lines as it needs."""
    pad = " " * indent
    one = f"{pad}{key}: {flow(items)}"
    if len(one) <= _WIDTH:
        return [one]
    return [f"{pad}{key}:", *rows(items, indent=indent + 2)]


def rows(items: Sequence[str], *, indent: int) -> list[str]:
    """Return ``items`` as a block list, one a line."""
    return [f"{' ' * indent}- {quoted(item)}" for item in items]


def comment(text: str, *, indent: int = 0) -> list[str]:
    """Return ``text`` as comment lines."""
    pad = " " * indent + "# "
    return textwrap.wrap(text, _WIDTH, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False)


def commented(lines: Iterable[str]) -> list[str]:
    """Return ``lines`` as a commented example that a maintainer can uncomment by removing ``# ``."""
    return [f"{line[: len(line) - len(line.lstrip())]}# {line.lstrip()}" for line in lines]
