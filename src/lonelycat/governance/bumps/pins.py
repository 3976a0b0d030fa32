"""The tags at which CI takes its actions (``uses: owner/name@v4``) and pre-commit its hooks (``rev: v1.2.0``).

Such a file gives power over the checks and the machines that run them, and so is escalated whatever changes in it,
but for one thing: a tag that only rises. Tags belong to the owner of the repository that is named; whoever can make
the next one could have moved the last one, so nobody gains what they did not have.

Invariants:
- A *commit* is no tag. A host serves the commits of every fork under the name of the original, so that a new hash
  behind a trusted name may be anybody's code; nothing that can be known here tells which. Nor is a branch one.
- Read as YAML and compared as text: what changes are digits of a tag, at a place where it is one, and not a byte
  besides.
- Closed by default: what cannot be read, and any other file, is neither raised nor moved.
"""

from __future__ import annotations

import re
from enum import Enum

from lonelycat.governance.bumps.pin_places import ANY, ITEM, NotPlainError, Pin, Place, pins_in
from lonelycat.governance.bumps.versions import MAX_MAJORS

MAX_BYTES = 256 << 10
"""A larger file is not looked at."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]*)*"
_REF = r"(?P<tag>v?[0-9]{1,4}(?:\.[0-9]{1,4}){0,3})|(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})"
_USES = re.compile(rf"(?P<name>{_NAME}@)(?:{_REF})")
_REV = re.compile(rf"(?P<name>)(?:{_REF})")
_COMMENT = re.compile(r"\s+#.*")
_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
"""What some readers take for the end of a line, and others not."""

_KINDS: tuple[tuple[re.Pattern[str], tuple[Place, ...], re.Pattern[str]], ...] = (
    (
        re.compile(r"(?:.*/)?\.github/workflows/[^/]+\.ya?ml"),
        (("jobs", ANY, "steps", ITEM, "uses"), ("jobs", ANY, "uses")),
        _USES,
    ),
    (
        re.compile(r"(?:(?:.*/)?\.github/actions/(?:.*/)?)?action\.ya?ml"),
        (("runs", "steps", ITEM, "uses"),),
        _USES,
    ),
    (re.compile(r"(?:.*/)?\.pre-commit-config\.ya?ml"), (("repos", ITEM, "rev"),), _REV),
)
"""Which files hold pins, at which keys, and what one looks like."""


class PinChange(Enum):
    """What a change does to a file when it changes its pins and nothing else.

    Attributes:
        RAISED: the same actions or hooks at higher tags.
        MOVED: the same ones at other tags or commits; comments behind them may differ.
    """

    RAISED = "raised"
    MOVED = "moved"


def pin_change(path: str, old: bytes | None, new: bytes | None) -> PinChange | None:
    """Tell what a change does to the pins of a file; None when it does anything else.

    Args:
        path: the file's name, which says where its pins stand.
        old, new: the whole file before and after; None when unknown.
    """
    found = next(((places, form) for names, places, form in _KINDS if names.fullmatch(path)), None)
    if found is None or old is None or new is None or max(len(old), len(new)) > MAX_BYTES:
        return None
    try:
        before, after = old.decode("utf-8"), new.decode("utf-8")
    except UnicodeDecodeError:
        return None
    lines = list(zip(before.split("\n"), after.split("\n"), strict=False))
    changed = [number for number, (low, high) in enumerate(lines) if low != high]
    if before.count("\n") != after.count("\n") or _BREAKS.search(before) or _BREAKS.search(after):
        return None
    if not changed or not all(low.isascii() and high.isascii() for low, high in map(lines.__getitem__, changed)):
        return None
    places, form = found
    try:
        pins, others = pins_in(before, places), pins_in(after, places)
    except NotPlainError:
        return None
    kinds = {_line_change(lines[number], pins.get(number), others.get(number), form) for number in changed}
    if None in kinds:
        return None
    return PinChange.MOVED if PinChange.MOVED in kinds else PinChange.RAISED


def _line_change(lines: tuple[str, str], old: Pin | None, new: Pin | None, form: re.Pattern[str]) -> PinChange | None:
    if old is None or new is None:
        return None
    low, high = form.fullmatch(old.text), form.fullmatch(new.text)
    if low is None or high is None or low["name"] != high["name"]:
        return None
    before, after = _around(lines[0], old), _around(lines[1], new)
    if before[:2] != after[:2]:
        return None
    if before == after and low["tag"] and high["tag"] and _is_raised(low["tag"], high["tag"]):
        return PinChange.RAISED
    only_comments = all(not rest or _COMMENT.fullmatch(rest) for rest in (before[2], after[2]))
    return PinChange.MOVED if before == after or only_comments else None


def _around(line: str, pin: Pin) -> tuple[str, str, str]:
    """Return what stands before a pin, what it is written with beside its text (quotes), and what stands behind."""
    return line[: pin.start], line[pin.start : pin.end].replace(pin.text, ""), line[pin.end :]


def _is_raised(old: str, new: str) -> bool:
    """Tell whether ``new`` is a higher tag, written alike: ``v4`` to ``v4.0.0`` may well be an older commit."""
    low, high = ([int(number) for number in tag.removeprefix("v").split(".")] for tag in (old, new))
    alike = old.startswith("v") == new.startswith("v") and len(low) == len(high)
    return alike and low < high and high[0] - low[0] <= MAX_MAJORS
