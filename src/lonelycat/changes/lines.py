"""Which lines differ between two texts.

Invariants: the regions, replaced in order, turn the old lines into the new ones exactly; the work is bounded for any
input (past the bound, a region is replaced as a whole: longer than needed, never wrong).

Common head and tail are trimmed; lines that occur once on both sides anchor the rest (patience diff, Bram Cohen);
what lies between anchors is compared by the greedy algorithm of E. Myers, "An O(ND) Difference Algorithm and Its
Variations", Algorithmica 1 (1986).
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import compress, count
from operator import ne

Region = tuple[int, int, int, int]
"""Old begin and end, new begin and end; lines outside all regions are equal."""

_MAX_STEPS = 400_000
_MAX_DEPTH = 600


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines of ``data`` with their ends; a line ends at ``\\n`` only."""
    return io.BytesIO(data).readlines()


def changed_regions(old: Sequence[bytes], new: Sequence[bytes]) -> list[Region]:
    """Return the regions in which ``old`` and ``new`` differ, in order, not touching each other."""
    budget = [_MAX_STEPS]
    regions: list[Region] = []
    for region in _regions(old, new, (0, len(old), 0, len(new)), budget):
        if regions and regions[-1][1] == region[0] and regions[-1][3] == region[2]:
            last = regions.pop()
            region = (last[0], region[1], last[2], region[3])
        regions.append(region)
    return regions


def _regions(old: Sequence[bytes], new: Sequence[bytes], span: Region, budget: list[int]) -> Iterator[Region]:
    span = _trimmed(old, new, span)
    a, a_end, b, b_end = span
    if a == a_end or b == b_end or (a_end - a, b_end - b) == (1, 1):  # two lines that stand alone differ
        if a != a_end or b != b_end:
            yield span
        return
    start_a, start_b = a, b
    for anchor_a, anchor_b in (*anchors(old, new, span), (a_end, b_end)):
        yield from _greedy(old, new, _trimmed(old, new, (start_a, anchor_a, start_b, anchor_b)), budget)
        start_a, start_b = anchor_a + 1, anchor_b + 1


def _trimmed(old: Sequence[bytes], new: Sequence[bytes], span: Region) -> Region:
    a, a_end, b, b_end = span
    head = _first_difference(old[a:a_end], new[b:b_end])
    a, b = a + head, b + head
    tail = _first_difference(old[a:a_end][::-1], new[b:b_end][::-1])
    return a, a_end - tail, b, b_end - tail


def _first_difference(mine: Sequence[bytes], other: Sequence[bytes]) -> int:
    """Return how many leading items are equal; the loop runs in C, as most lines of most changes are equal."""
    return next(compress(count(), map(ne, mine, other)), min(len(mine), len(other)))


def anchors(old: Sequence[bytes], new: Sequence[bytes], span: Region) -> list[tuple[int, int]]:
    """Return the longest increasing chain of pairs of equal lines that are unique on both sides."""
    a, a_end, b, b_end = span
    where_old = _unique(old, a, a_end)
    where_new = _unique(new, b, b_end)
    ends: list[int] = []
    chain: list[tuple[int, int, int]] = []
    heads: list[int] = []
    for line, at in where_old.items():
        other = where_new.get(line, -1)
        if at < 0 or other < 0:
            continue
        slot = bisect_left(ends, other)
        chain.append((at, other, heads[slot - 1] if slot else -1))
        ends[slot : slot + 1] = [other]
        heads[slot : slot + 1] = [len(chain) - 1]
    result = []
    index = heads[-1] if heads else -1
    while index >= 0:
        at, other, index = chain[index]
        result.append((at, other))
    return result[::-1]


def _unique(lines: Sequence[bytes], begin: int, end: int) -> dict[bytes, int]:
    """Map each line to where it stands, or to -1 if it stands there more than once; in order of position."""
    where: dict[bytes, int] = {}
    for index in range(begin, end):
        line = lines[index]
        where[line] = -1 if line in where else index
    return where


def _greedy(old: Sequence[bytes], new: Sequence[bytes], span: Region, budget: list[int]) -> Iterator[Region]:
    a, a_end, b, b_end = span
    if a == a_end or b == b_end:
        if a != a_end or b != b_end:
            yield span
        return
    size_a, size_b = a_end - a, b_end - b
    frontier = {1: 0}
    history: list[dict[int, int]] = []
    for depth in range(min(size_a + size_b, _MAX_DEPTH) + 1):
        history.append(dict(frontier))
        budget[0] -= 2 * depth + 1
        if budget[0] < 0:
            break
        for diagonal in range(-depth, depth + 1, 2):
            down = diagonal == -depth or (diagonal != depth and frontier[diagonal - 1] < frontier[diagonal + 1])
            x = frontier[diagonal + 1] if down else frontier[diagonal - 1] + 1
            y = x - diagonal
            while x < size_a and y < size_b and old[a + x] == new[b + y]:
                x, y = x + 1, y + 1
            frontier[diagonal] = x
            if x >= size_a and y >= size_b:
                yield from _walk_back(history, depth, (size_a, size_b), (a, b))
                return
    yield span


def _walk_back(
    history: list[dict[int, int]], depth: int, end: tuple[int, int], origin: tuple[int, int]
) -> list[Region]:
    """Return the edits on the path that reached ``end``, in order."""
    x, y = end
    regions: list[Region] = []
    for step in range(depth, 0, -1):
        frontier, diagonal = history[step], x - y
        down = diagonal == -step or (diagonal != step and frontier[diagonal - 1] < frontier[diagonal + 1])
        before = diagonal + 1 if down else diagonal - 1
        x = frontier[before]
        y = x - before
        at_x, at_y = origin[0] + x, origin[1] + y
        regions.append((at_x, at_x, at_y, at_y + 1) if down else (at_x, at_x + 1, at_y, at_y))
    return regions[::-1]
