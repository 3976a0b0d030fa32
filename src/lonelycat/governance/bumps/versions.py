"""Versions in text: where one stands, which of two is higher, and what is left of a line without them.

Invariants:
- ASCII only: a digit of another script is text, and text that changes is no version.
- A version that is excluded (``!=1.2``) is no version to raise: raising it lets the excluded one in again.
- A version only rises, and by few majors, so that no name is taken over by a version out of all proportion
  (dependency confusion).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MAX_MAJORS = 5
"""How far the first number of a version may rise at once."""

Version = tuple[tuple[int, ...], int, int]
"""The numbers, the stage (``1.0a1`` < ``1.0b1`` < ``1.0rc1`` < ``1.0`` < ``1.0.post1``), and the stage's number."""

_FINAL = 4
_STAGES = {"dev": 0, "a": 1, "alpha": 1, "pre": 1, "next": 1, "b": 2, "beta": 2, "c": 3, "rc": 3, "post": 5}
_STAGE = r"(?:[-.+]?(?P<stage>alpha|beta|next|post|dev|pre|rc|a|b|c)[-.]?(?P<number>[0-9]{0,6}))?"
_NUMBERS = r"(?P<numbers>[0-9]{1,9}(?:\.[0-9]{1,9}){0,5})"
_WHOLE = re.compile(_NUMBERS + _STAGE)
_IN_TEXT = re.compile(
    r"(?:(?:===|[=~]=|[<>]=?|[~^])\s?(?=[0-9])|(?<![\w.])(?:v(?=[0-9])|(?=[0-9]+\.[0-9])))"
    + _NUMBERS
    + _STAGE
    + r"(?![\w.]*[A-Za-z])(?!\.?[0-9])"
)
_COMPARED = re.compile(r"[\w\])]\s?(?:[=~]=|===|[<>]=)\s?", re.ASCII)


def parse_version(text: str) -> Version | None:
    """Return ``text`` as a version, or None when it is anything else."""
    match = _WHOLE.fullmatch(text)
    return _version(match) if match else None


def versions_in(line: str, *, compared_only: bool = False) -> list[Version]:
    """Return the versions that stand in ``line``, in order.

    Args:
        compared_only: only those behind a comparison with a name (``name>=1.2``), as in a command line.
    """
    return [_version(match) for match in _matches(line, compared_only)]


def without_versions(line: str, *, compared_only: bool = False) -> str:
    """Return ``line`` with a NUL for each version that :func:`versions_in` finds; the comparison before it stays."""
    parts, end = [], 0
    for match in _matches(line, compared_only):
        parts += [line[end : match.start("numbers")], "\0"]
        end = match.end()
    return "".join((*parts, line[end:]))


def is_raised(old: Version, new: Version) -> bool:
    """Tell whether ``new`` is higher than ``old``, and not out of proportion."""
    return old < new and new[0][0] - old[0][0] <= MAX_MAJORS


def are_raised(old: Sequence[Version], new: Sequence[Version]) -> bool:
    """Tell whether of as many versions none is lower, one is higher and none out of proportion."""
    return (
        len(old) == len(new)
        and list(old) != list(new)
        and all(low == high or is_raised(low, high) for low, high in zip(old, new, strict=True))
    )


def _matches(line: str, compared_only: bool) -> Iterator[re.Match[str]]:
    for match in _IN_TEXT.finditer(line):
        if _is_excluded(line, match.start()):
            continue
        if not compared_only or _COMPARED.fullmatch(line[max(0, match.start() - 1) : match.start("numbers")]):
            yield match


def _is_excluded(line: str, start: int) -> bool:
    """Tell whether what stands before ``start`` says "not this version"; in time of the blanks between."""
    while start and line[start - 1].isspace():
        start -= 1
    return line.endswith(("!=", "!"), 0, start)


def _version(match: re.Match[str]) -> Version:
    numbers = tuple(int(number) for number in match["numbers"].split("."))
    return numbers, _STAGES.get(match["stage"], _FINAL), int(match["number"] or 0)
