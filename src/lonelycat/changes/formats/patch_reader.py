"""A cursor over the lines of a patch, which knows where it is.

Invariant: lines end at ``\\n`` only; ``\\r`` and everything else belong to the line. Memory does not grow with the
number of lines.
"""

from __future__ import annotations

import re

from lonelycat.errors import InputError
from lonelycat.patterns import late_pattern

_START = late_pattern(rb"^(?:diff --git |--- |@@ -[0-9])", re.MULTILINE)


class PatchReader:
    """Steps through a patch line by line.

    Attributes:
        line: the current line without its end, or None past the last one.
        number: the current line's number, from 1.
        complete: whether the current line has its ``\\n``.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0
        self._begin = 0
        self.number = 0
        self.line: bytes | None = None
        self.complete = False
        self.advance()

    def advance(self) -> None:
        """Make the next line the current one."""
        begin = self._begin = self._next
        self.number += 1
        if begin >= len(self._data):
            self.line, self.complete = None, False
            return
        end = self._data.find(b"\n", begin)
        self.complete = end >= 0
        if end < 0:
            end = len(self._data)
        self.line = self._data[begin:end]
        self._next = end + 1

    def following(self) -> bytes:
        """Return the line after the current one without moving, empty past the end."""
        end = self._data.find(b"\n", self._next)
        return self._data[self._next : end if end >= 0 else len(self._data)]

    def skip_text(self) -> None:
        """Move to the next line that may start a file or a hunk; what lies between is prose."""
        if self.line is None:
            return
        found = _START.search(self._data, self._begin)
        target = found.start() if found else len(self._data)
        self.number += self._data.count(b"\n", self._begin, target) - 1
        self._next = target
        self.advance()

    def malformed(self, why: str, *, line: int | None = None, hint: str = "") -> InputError:
        """Return the error for a patch that cannot be read, naming ``line`` (the current one by default)."""
        at = line or self.number
        return InputError(
            "PATCH_MALFORMED",
            f"the patch is malformed at line {at}: {why}",
            hint or "Make the patch with `git diff --binary` and do not edit it by hand.",
            details={"line": at},
        )
