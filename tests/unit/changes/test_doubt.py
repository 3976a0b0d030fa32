"""Doubts between two texts, held against every longest common subsequence, counted out."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import assume, example, given
from hypothesis import strategies as st

from lonelycat.changes.doubt import Doubt, doubts

Pairs = tuple[tuple[int, int], ...]
repeated = st.lists(st.sampled_from([b"x", b"y"]), max_size=6)


def comparisons(old: list[bytes], new: list[bytes]) -> list[Pairs]:
    """Every way to keep as many lines as can be kept."""
    for length in range(min(len(old), len(new)), -1, -1):
        found = [
            tuple(zip(mine, other, strict=True))
            for mine in combinations(range(len(old)), length)
            for other in combinations(range(len(new)), length)
            if [old[i] for i in mine] == [new[j] for j in other]
        ]
        if found:
            return found
    raise AssertionError("nothing at all can always be kept")


def adds_at(pairs: Pairs, gap: int, old: int, new: int) -> bool:
    """Whether the comparison may put a new line in this gap of the old ones."""
    bounded = [(-1, -1), *pairs, (old, new)]
    return any(a[0] < gap <= b[0] and b[1] - a[1] > 1 for a, b in pairwise(bounded))


@given(repeated, repeated)
@example([b"y", b"x", b"x", b"y", b"x"], [b"y", b"x", b"y", b"x", b"x"])
def test_the_doubts_are_where_comparisons_differ_from_each_other_or_from_nothing_done(
    old: list[bytes], new: list[bytes]
) -> None:
    assume(all(old.count(line) != 1 or new.count(line) != 1 for line in old))  # else the line is taken for the same
    ways, found = comparisons(old, new), doubts(old, new)
    for gap in range(len(old) + 1):
        doubted = any(one.begin <= gap <= one.end for one in found)
        inside = any(one.begin < gap < one.end for one in found)
        added = any(adds_at(pairs, gap, len(old), len(new)) for pairs in ways)
        assert doubted or not added
        assert not inside or added or not all(_kept(ways, line) for line in (gap - 1, gap))
    for line in range(len(old)):
        doubted = any(one.begin <= line < one.end for one in found)
        assert doubted or _kept(ways, line)
        if not doubted:
            (place,) = {dict(pairs)[line] for pairs in ways}
            before = [one.shift for one in found if one.end <= line]
            assert place - line == (before[-1] if before else 0)
    for one in found:
        lines = range(one.begin, one.end)
        gaps = range(one.begin, one.end + 1)
        assert all(not _kept(ways, line) for line in lines)
        assert lines or any(adds_at(pairs, gap, len(old), len(new)) for pairs in ways for gap in gaps)


def _kept(ways: list[Pairs], line: int) -> bool:
    """Whether every comparison keeps the line, and in the same place."""
    return len({dict(pairs).get(line, -1) for pairs in ways} | {-1}) == 2 and all(line in dict(pairs) for pairs in ways)


def test_lines_that_occur_once_hold_the_rest_in_place() -> None:
    old = [b"a", b"x", b"x", b"b", b"x", b"x", b"c"]
    assert doubts(old, old) == []
    assert doubts(old, [b"a", b"x", b"x", b"x", b"b", b"x", b"x", b"c"]) == [Doubt(1, 3, 1)]
    assert doubts(old, [b"a", b"x", b"x", b"b", b"x", b"c"]) == [Doubt(4, 6, -1)]
    assert doubts(old, [b"new", *old, b"newer"]) == [Doubt(0, 0, 1), Doubt(7, 7, 2)]


def test_past_the_bound_everything_between_such_lines_is_in_doubt() -> None:
    run = [b"x"] * 100_000
    assert doubts([b"a", *run, b"b", b"x", b"x", b"c"], [b"a", *run, b"x", b"b", b"x", b"c"]) == [
        Doubt(1, 100_001, 1),
        Doubt(100_002, 100_004, 0),
    ]
