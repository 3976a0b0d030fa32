"""Text hunks: reading them and applying them exactly.

Invariants:
- A hunk applies at the line that its header states, byte for byte, or not at all: no fuzz, no offset. A header whose
  old and new line contradict each other states none: git goes by the new one, others by the old.
- Leading context without trailing context claims the end of the file, as in git.
- Bytes outside hunks are copied, never rewritten. Time is linear in file and patch.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from lonelycat.changes.formats.patch_model import Hunk
from lonelycat.changes.formats.patch_reader import PatchReader
from lonelycat.changes.paths import printable
from lonelycat.errors import ConflictError
from lonelycat.patterns import late_pattern

_HEADER = late_pattern(rb"@@ -([0-9]{1,10})(?:,([0-9]{1,10}))? \+([0-9]{1,10})(?:,([0-9]{1,10}))? @@.*", re.DOTALL)
_SIGNATURE = b"-- "
_SHORTEST_REMARK = 13
"""git passes over a shorter one: with it the line would have its newline, and with us it would not."""
_SHOWN = 80


def read_hunks(reader: PatchReader) -> tuple[Hunk, ...]:
    """Read all hunks of one file.

    Raises:
        InputError: ``PATCH_MALFORMED``.
    """
    hunks: list[Hunk] = []
    floor = grown = 0
    while reader.line is not None and reader.line.startswith(b"@@ "):
        hunk, new_start = _read_hunk(reader)
        first = hunk.start - 1 if hunk.old else hunk.start
        if first < floor:
            raise reader.malformed("hunks overlap or are out of order", line=hunk.line)
        if first + grown != (new_start - 1 if hunk.new else new_start):
            raise reader.malformed("the old and the new line of the '@@' line contradict each other", line=hunk.line)
        floor, grown = first + len(hunk.old), grown + len(hunk.new) - len(hunk.old)
        hunks.append(hunk)
    line = reader.line or b""
    next_file = line.startswith(b"--- ") and reader.following().startswith(b"+++ ")
    if hunks and line[:1] in (b"+", b"-", b" ", b"\\") and line != _SIGNATURE and not next_file:
        raise reader.malformed("the hunk has more lines than its '@@' header says")
    return tuple(hunks)


def _read_hunk(reader: PatchReader) -> tuple[Hunk, int]:
    """Return the hunk and the line of the new file that its header states."""
    found = _HEADER.fullmatch(reader.line or b"")
    if found is None:
        raise reader.malformed("a malformed '@@' line")
    at = reader.number
    start, old_left = int(found[1]), int(found[2] or 1)
    new_left = int(found[4] or 1)
    if old_left and not start:
        raise reader.malformed("a hunk of old lines cannot start at line 0")
    old: list[bytes] = []
    new: list[bytes] = []
    leading = trailing = 0
    reader.advance()
    while old_left or new_left:
        line = reader.line
        if line is None or not reader.complete:
            raise reader.malformed(
                "the patch ends in the middle of a hunk",
                hint="Check the counts in the '@@' line, and that the last line ends with a newline.",
            )
        mark, body = line[:1] or b" ", line[1:] + b"\n"
        if mark == b" ":
            old.append(body)
            new.append(body)
            old_left, new_left, trailing = old_left - 1, new_left - 1, trailing + 1
        elif mark == b"-":
            old.append(body)
            old_left, trailing = old_left - 1, 0
        elif mark == b"+":
            new.append(body)
            new_left, trailing = new_left - 1, 0
        else:
            raise reader.malformed("a hunk line must start with ' ', '+', '-' or '\\'")
        if trailing == len(old) == len(new):
            leading = trailing
        if old_left < 0 or new_left < 0:
            raise reader.malformed("the hunk has other line counts than its '@@' header says")
        reader.advance()
        _take_missing_newline(reader, mark, old, new, (old_left, new_left))
    if trailing == len(old) == len(new):
        raise reader.malformed(
            "the hunk adds no line and removes none",
            line=at,
            hint="Take the hunk away; if it was to change something, lines that begin with '+' or '-' are missing.",
        )
    return Hunk(at, start, old, new, leading, trailing), int(found[3])


def _take_missing_newline(
    reader: PatchReader, mark: bytes, old: list[bytes], new: list[bytes], left: tuple[int, int]
) -> None:
    if reader.line is None or not reader.line.startswith(b"\\ "):
        return
    if len(reader.line) < _SHORTEST_REMARK:
        raise reader.malformed("a '\\' line that is too short to say that there is no newline")
    for side, marks, rest in ((old, b" -", left[0]), (new, b" +", left[1])):
        if mark in marks:
            if rest:
                raise reader.malformed("a line without newline must be the last one of its side")
            side[-1] = side[-1][:-1]
    reader.advance()


def apply_hunks(data: bytes, hunks: Sequence[Hunk], path: str) -> bytes:
    """Return ``data`` with all ``hunks`` applied at exactly the lines that they state.

    Raises:
        ConflictError: ``HUNK_MISMATCH`` naming file, hunk (from 1) and file line, with both texts.
    """
    lines = io.BytesIO(data).readlines()
    out: list[bytes] = []
    position = 0
    for number, hunk in enumerate(hunks, 1):
        first = hunk.start - 1 if hunk.old else hunk.start
        end = first + len(hunk.old)
        if lines[first:end] != hunk.old:
            raise _first_difference(lines, hunk, path, number)
        _check_ends(lines, hunk, first, path, number)
        out += lines[position:first]
        out += hunk.new
        position = end
    out += lines[position:]
    return b"".join(out)


def _check_ends(lines: list[bytes], hunk: Hunk, first: int, path: str, number: int) -> None:
    end = first + len(hunk.old)
    if first > len(lines):
        raise _mismatch(path, number, hunk, len(lines) + 1, "a line to insert after", "the end of the file")
    claims_end = (hunk.leading and not hunk.trailing) or (not hunk.old and not hunk.start)
    joins_next = bool(hunk.new) and not hunk.new[-1].endswith(b"\n")
    if end < len(lines) and (claims_end or joins_next):
        raise _mismatch(path, number, hunk, end + 1, "the end of the file", _show(lines[end]))
    if hunk.new and not hunk.old and first and not lines[first - 1].endswith(b"\n"):
        raise _mismatch(path, number, hunk, first, "a line that ends with a newline", _show(lines[first - 1]))


def _first_difference(lines: list[bytes], hunk: Hunk, path: str, number: int) -> ConflictError:
    for index, expected in enumerate(hunk.old, hunk.start - 1):
        if index >= len(lines):
            return _mismatch(path, number, hunk, index + 1, _show(expected), "the end of the file")
        if lines[index] != expected:
            found = _show(lines[index]) + _behind_what_is_shown(expected, lines[index])
            return _mismatch(path, number, hunk, index + 1, _show(expected), found)
    raise AssertionError("the hunk matches")


def _behind_what_is_shown(one: bytes, other: bytes) -> str:
    """Return where two different lines part, where what is shown of them is the same.

    Never an excerpt from there: a secret without its beginning would not be known as one, and so not be masked.
    """
    if one[:_SHOWN] != other[:_SHOWN]:
        return ""
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f", which differs from byte {same + 1} on"


def _show(line: bytes) -> str:
    text = ascii(line[: _SHOWN + 1].decode("utf-8", "replace"))
    return text if len(line) <= _SHOWN else text + "…"


def _mismatch(path: str, number: int, hunk: Hunk, line: int, expected: str, found: str) -> ConflictError:
    from lonelycat.changes.conflict import Conflict, conflict_error

    conflict = Conflict(
        path=printable(path),
        code="HUNK_MISMATCH",
        expected=expected,
        found=found,
        phase="propose",
        hunk=number,
        line=line,
    )
    error = conflict_error(
        [conflict],
        f"{conflict.path}: hunk {number} does not match at line {line}: expected {expected}, found {found}",
        "The file is not what the patch was made against; make the patch again from the present files.",
    )
    names = ("path", "hunk", "line", "expected", "found")
    error.details.update({name: getattr(conflict, name) for name in names}, patch_line=hunk.line)
    return error
