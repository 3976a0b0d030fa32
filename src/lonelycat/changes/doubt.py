"""Where a text certainly did not change, whichever way it is compared with the later one.

Invariants:
- Outside the doubts, every shortest comparison keeps the same old lines, moved by the same number of lines, and adds
  nothing between them. A comparison has to choose: which of three equal lines is the new one, nobody can know.
- Lines that occur once in both texts, in the longest chain of them, are taken for the same.
- The work is bounded for any input; what is past the bound is in doubt as a whole.

Between those lines all longest common subsequences are followed, by their lengths on both sides of each two places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lonelycat.changes.lines import anchors

_MAX_CELLS = 250_000


class Doubt(NamedTuple):
    """Old lines of which some may be gone, or beside which some may be new; begin equals end between two lines.

    Attributes:
        shift: by how many lines what follows stands further down.
    """

    begin: int
    end: int
    shift: int


def doubts(old: Sequence[bytes], new: Sequence[bytes]) -> list[Doubt]:
    """Return, in order and not touching each other, all places where a shortest comparison may see a difference."""
    found: list[Doubt] = []
    cells = _MAX_CELLS
    begin, new_begin = 0, 0
    for end, new_end in (*anchors(old, new, (0, len(old), 0, len(new))), (len(old), len(new))):
        mine, other = old[begin:end], new[new_begin:new_end]
        if mine != other:
            size = (len(mine) + 1) * (len(other) + 1)
            cells -= size
            among = _among(mine, other) if cells >= 0 else [Doubt(0, len(mine), len(other) - len(mine))]
            cells += size if cells < 0 else 0
            found += [Doubt(begin + b, begin + e, new_begin - begin + shift) for b, e, shift in among]
        begin, new_begin = end + 1, new_end + 1
    return found


def _among(old: Sequence[bytes], new: Sequence[bytes]) -> list[Doubt]:
    before = _lengths(old, new)
    after = [row[::-1] for row in _lengths(old[::-1], new[::-1])[::-1]]
    found: list[Doubt] = []
    for begin, end in _edits(old, new, before, after):
        # The last of the places where a comparison can be on this line: from there it goes on to the next.
        last = max(j for j, length in enumerate(before[end]) if length + after[end][j] == before[-1][-1])
        if found and begin <= found[-1].end:
            begin = found.pop().begin
        found.append(Doubt(begin, end, last - end))
    return found


def _lengths(old: Sequence[bytes], new: Sequence[bytes]) -> list[list[int]]:
    """Return, for each beginning of ``old`` and each of ``new``, how long their longest common subsequence is."""
    rows = [[0] * (len(new) + 1)]
    for line in old:
        above, row, left = rows[-1], [0], 0
        for j, other in enumerate(new):
            left = above[j] + 1 if line == other else max(left, above[j + 1])
            row.append(left)
        rows.append(row)
    return rows


def _edits(
    old: Sequence[bytes], new: Sequence[bytes], before: list[list[int]], after: list[list[int]]
) -> Iterator[tuple[int, int]]:
    """Yield, in order, the gaps where some comparison adds a line, and the lines that not all keep in one place.

    Args:
        before, after: of each place in ``old`` and each in ``new``, how much can be kept on either side of both.
    """
    longest = before[-1][-1]
    for i, row in enumerate(before):
        if any(length + rest == longest for length, rest in zip(row, after[i][1:], strict=False)):
            yield i, i
        if i < len(old):
            below = after[i + 1]
            gone = any(length + rest == longest for length, rest in zip(row, below, strict=True))
            kept = sum(old[i] == line and row[j] + 1 + below[j + 1] == longest for j, line in enumerate(new))
            if gone or kept > 1:
                yield i, i + 1
