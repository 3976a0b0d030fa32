"""A change set that was made against yesterday's files, on today's: exactly, or not at all.

Invariants:
- A hunk's full old side, context included, stands in today's file exactly once (overlapping places counted), and what
  it changes are the very lines that were there, whichever way the texts are compared: untouched since, not equal ones
  that were moved or written anew. So no line of context is given up, nothing is guessed, and nothing is done twice.
- So a hunk without context on one side, because the file began or ended there, needs that it still does.
- What is about the whole file (a creation, deletion, rename, mode, link or binary content) holds only where today's
  file is what it was before the change, or already what it is after it.

Why so strict: docs/adr/0010-rebase.md.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from lonelycat.changes.changeset import SYMLINK, FileChange, Mode, Operation
from lonelycat.changes.conflict import Conflict
from lonelycat.changes.diff import hunk_regions, hunk_span, is_binary
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.doubt import Doubt, doubts
from lonelycat.changes.formats.base import Side, change_between
from lonelycat.changes.lines import split_lines
from lonelycat.changes.paths import printable

MAX_TEXT_BYTES = 1024 * 1024
"""A larger file is rebased as a whole."""
_MAX_HUNKS = 2_000
_SHOWN = 80
_NOT_THE_SAME = (
    "the very lines that were there, beside the same ones",
    "new lines beside them or beside their equals, or equal lines that were moved or written anew",
)


@dataclass(frozen=True, slots=True)
class Present:
    """A file or symbolic link as it is today; ``data`` is None where it is too large to be compared by lines."""

    sha256: str
    mode: Mode
    data: bytes | None


Look = Callable[[str], Present | str | None]
"""Returns what a path holds today; words for what is neither file nor link, None for nothing."""


@dataclass(frozen=True, slots=True)
class Rebased:
    """One change on today's content.

    Attributes:
        how: ``as_it_was``, ``moved`` (its hunks stand elsewhere or in another text) or ``already_there``.
        change: the change to be made; None when it is already there.
        offsets: of each hunk, by how many lines it stands further down than it did.
    """

    how: Literal["as_it_was", "moved", "already_there"]
    path: str
    change: FileChange | None
    offsets: tuple[int, ...] = ()


def rebase_change(change: FileChange, old: bytes | None, new: bytes | None, look: Look) -> Rebased | list[Conflict]:
    """Return ``change`` on today's content, or why it does not apply there.

    Args:
        change: a change whose hashes are true.
        old, new: the text before and after it; None where it is not at hand or no text.
        look: shows today's files.
    """
    if change.operation is Operation.RENAME:
        return _renamed(change, look)
    today = look(change.path)
    if isinstance(today, str):
        return [_conflict(change.path, "FILE_CHANGED", _words(change.old_hash, change.old_mode), today)]
    before, after = (change.old_hash, change.old_mode), (change.new_hash, change.new_mode)
    present = (None, None) if today is None else (today.sha256, today.mode)
    if present == before:
        return Rebased("as_it_was", change.path, change)
    if present == after:
        return Rebased("already_there", change.path, None)
    if today is not None and change.operation is Operation.UPDATE:
        return _updated(change, today, old, new)
    return [_changed(change.path, before, present)]


def _renamed(change: FileChange, look: Look) -> Rebased | list[Conflict]:
    source, target = look(change.old_path or ""), look(change.path)
    held = (change.old_hash, change.old_mode), (change.new_hash, change.new_mode)
    if target is None and isinstance(source, Present) and (source.sha256, source.mode) == held[0]:
        return Rebased("as_it_was", change.path, change)
    if source is None and isinstance(target, Present) and (target.sha256, target.mode) == held[1]:
        return Rebased("already_there", change.path, None)
    conflicts = []
    for path, expected, found in ((change.old_path or "", held[0], source), (change.path, (None, None), target)):
        if isinstance(found, str):
            conflicts.append(_conflict(path, "FILE_CHANGED", _words(*expected), found))
        elif (found and (found.sha256, found.mode)) != (expected if expected[0] else None):
            conflicts.append(_changed(path, expected, (found.sha256, found.mode) if found else (None, None)))
    return conflicts


def _updated(change: FileChange, today: Present, old: bytes | None, new: bytes | None) -> Rebased | list[Conflict]:
    before, present = (change.old_hash, change.old_mode), (today.sha256, today.mode)
    if change.old_mode != change.new_mode or SYMLINK in (change.old_mode, today.mode):
        return [_changed(change.path, before, present)]
    if today.sha256 == change.old_hash:  # only the mode is another, and the change is not about the mode
        made = change_between(
            change.path, Side(None, today.sha256, today.mode), Side(change.content, str(change.new_hash), today.mode)
        )
        return Rebased("as_it_was", change.path, made)
    if today.sha256 == change.new_hash:
        return Rebased("already_there", change.path, None)
    if today.data is None or old is None or new is None or any(is_binary(text) for text in (today.data, old, new)):
        return [_changed(change.path, before, present)]
    placed = place_hunks(old, new, today.data)
    if isinstance(placed, Misfit) and isinstance(place_hunks(new, old, today.data), Placed):
        return Rebased("already_there", change.path, None)  # all of it could be taken back, so all of it is there
    if isinstance(placed, Misfit):
        return [_misfit(change.path, before, present, placed)]
    side = Side(placed.data, sha256_hex(placed.data), today.mode)
    made = change_between(change.path, Side(None, today.sha256, today.mode), side)
    return Rebased("moved", change.path, made, placed.offsets)


# -- hunks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placed:
    """Today's text with every hunk applied."""

    data: bytes
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Misfit:
    """The first hunk that does not apply: its number from 1, the line of today's file, and what is wrong there."""

    hunk: int
    line: int
    expected: str
    found: str


def place_hunks(old: bytes, new: bytes, today: bytes) -> Placed | Misfit:
    """Apply what turns ``old`` into ``new`` to ``today``; see the invariants of this module."""
    before, after = split_lines(old), split_lines(new)
    groups = list(hunk_regions(before, after))
    if len(groups) > _MAX_HUNKS:
        return Misfit(_MAX_HUNKS + 1, 1, f"at most {_MAX_HUNKS} hunks", f"{len(groups)} of them")
    text = _Text(today)
    kept, ours = _Kept(doubts(before, text.lines)), _Kept(doubts(before, after))
    parts: list[bytes] = []
    offsets: list[int] = []
    position = 0
    for number, group in enumerate(groups, 1):
        begin, end, new_begin, new_end = hunk_span(group, len(before))
        wanted, made = before[begin:end], after[new_begin:new_end]
        places = text.places(wanted)
        if len(places) != 1:
            return _why_not(text, number, wanted, made, kept.now(begin))
        (place,) = places
        if kept.shift(*ours.reach(group[0][0], group[-1][1])) != place - begin or place < position:
            return Misfit(number, place + 1, *_NOT_THE_SAME)
        parts += [*text.lines[position:place], *made]
        position = place + len(wanted)
        offsets.append(place - begin)
    return Placed(b"".join([*parts, *text.lines[position:]]), tuple(offsets))


class _Kept:
    """Which of the old lines are certainly untouched.

    Args:
        found: where the other text may differ from the old one, in order.
    """

    def __init__(self, found: Sequence[Doubt]) -> None:
        self._doubts = found
        self._begins = [doubt.begin for doubt in found]
        self._ends = [doubt.end for doubt in found]

    def now(self, line: int) -> int:
        """Return where the old line would be today if it, and what follows it, were untouched."""
        before = bisect_right(self._ends, line)
        return line + (self._doubts[before - 1].shift if before else 0)

    def shift(self, begin: int, end: int) -> int | None:
        """Return by how much the old lines from ``begin`` to ``end`` moved; None if they or their edges may differ."""
        after = bisect_left(self._ends, begin)
        if after < len(self._doubts) and self._doubts[after].begin <= end:
            return None
        return self._doubts[after - 1].shift if after else 0

    def reach(self, begin: int, end: int) -> tuple[int, int]:
        """Return the old lines from ``begin`` to ``end`` with all doubts that touch them."""
        touching = self._doubts[bisect_left(self._ends, begin) : bisect_right(self._begins, end)]
        return (min(begin, touching[0].begin), max(end, touching[-1].end)) if touching else (begin, end)


class _Text:
    """Today's text, searched as bytes, answered for in lines."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.lines = split_lines(data)
        self._starts = {0: 0} | {end: number for number, end in enumerate(accumulate(map(len, self.lines)), 1)}

    def places(self, wanted: Sequence[bytes]) -> list[int]:
        """Return the lines, from 0, where ``wanted`` stands, the first two of them; overlapping ones count."""
        needle = b"".join(wanted)
        if not needle.endswith(b"\n"):  # it holds the last line of its file, so it can only be the end of this one
            at = len(self.data) - len(needle)
            return [self._starts[at]] if at in self._starts and self.data.endswith(needle) else []
        found = [0] if self.data.startswith(needle) else []
        at = self.data.find(b"\n" + needle)
        while at >= 0 and len(found) < 2:
            found.append(self._starts[at + 1])
            at = self.data.find(b"\n" + needle, at + 1)
        return found


def _why_not(text: _Text, number: int, wanted: list[bytes], made: list[bytes], near: int) -> Misfit:
    found = text.places(wanted)
    if len(found) > 1:
        lines = " and ".join(str(place + 1) for place in found)
        return Misfit(number, found[0] + 1, "one place where it applies", f"more than one: lines {lines}")
    there = text.places(made) if made else []
    if len(there) == 1:
        return Misfit(number, there[0] + 1, _show(wanted[0]), "what the hunk makes of it: it is already there")
    for line, expected in enumerate(wanted, near):
        if not 0 <= line < len(text.lines):
            return Misfit(number, max(0, min(line, len(text.lines))) + 1, _show(expected), "the end of the file")
        if text.lines[line] != expected:
            return Misfit(number, line + 1, _show(expected), _show(text.lines[line]))
    return Misfit(number, max(near, 0) + 1, "the lines of the hunk", "others")


def _show(line: bytes) -> str:
    text = ascii(line[: _SHOWN + 1].decode("utf-8", "replace"))
    return text if len(line) <= _SHOWN else text + "…"


# -- conflicts ---------------------------------------------------------------------------------------------------

_Held = tuple[str | None, Mode | None]


def _words(sha256: str | None, mode: Mode | None) -> str:
    return "nothing" if sha256 is None else f"sha256 {sha256[:12]}… mode {mode}"


def _conflict(path: str, code: str, expected: str, found: str) -> Conflict:
    return Conflict(path=printable(path), code=code, expected=expected, found=found, phase="rebase")


def _changed(path: str, expected: _Held, found: _Held) -> Conflict:
    if expected[0] is None:
        code = "FILE_EXISTS"
    elif found[0] is None:
        code = "FILE_MISSING"
    else:
        code = "FILE_CHANGED" if found[0] != expected[0] else "MODE_CHANGED"
    facts = {"expected_hash": expected[0], "expected_mode": expected[1], "found_hash": found[0], "found_mode": found[1]}
    return _conflict(path, code, _words(*expected), _words(*found)).model_copy(update=facts)


def _misfit(path: str, expected: _Held, found: _Held, misfit: Misfit) -> Conflict:
    facts = {
        "code": "HUNK_MISMATCH",
        "expected": misfit.expected,
        "found": misfit.found,
        "hunk": misfit.hunk,
        "line": misfit.line,
    }
    return _changed(path, expected, found).model_copy(update=facts)
