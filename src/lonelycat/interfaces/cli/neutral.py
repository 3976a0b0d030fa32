"""Text from outside, made safe to look at.

Invariant: nothing that :func:`neutral` returns can move the cursor, change colours, reorder or hide text. Markup is
no danger: the screen never parses any.
"""

from __future__ import annotations

from lonelycat.patterns import late_pattern

_UNSEEN = late_pattern(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)
_STACKED = late_pattern("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4,}")


def neutral(text: str, *, keep_tabs: bool = False) -> str:
    """Return ``text`` on one line with every control, bidirectional, invisible or undecodable character spelled out.

    Args:
        text: any string, with lone surrogates too.
        keep_tabs: leave tabulators alone, as in source text.
    """
    if text.isascii() and text.isprintable():
        return text
    stacked = _STACKED.sub(lambda match: "".join(_spelled(char) for char in match[0]), text)
    return "".join(
        char if (char.isprintable() and not _UNSEEN.match(char)) or (keep_tabs and char == "\t") else _spelled(char)
        for char in stacked
    )


def neutral_lines(text: str, *, keep_tabs: bool = True) -> list[str]:
    """Return the lines of ``text``, split at line feeds only, each neutral; a final line feed makes no line."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [neutral(line, keep_tabs=keep_tabs) for line in lines]


def _spelled(char: str) -> str:
    simple = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}.get(char)
    if simple is not None:
        return simple
    point = ord(char)
    if 0xDC80 <= point <= 0xDCFF:
        return f"\\x{point - 0xDC00:02x}"
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
