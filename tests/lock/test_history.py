"""The judge of histories: what one lock can explain passes, and each thing that it cannot is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lock.history import SIZE, Kind, Record, check, read_history


def _enter(who: int, fence: int, began: int, ended: int) -> Record:
    return Record(Kind.ENTER, who, fence, began, ended)


def _hold(who: int, fence: int, began: int) -> list[Record]:
    """Called, entered, about to leave and gone, ten apart."""
    return [
        _enter(who, fence, began, began + 10),
        Record(Kind.LEAVE, who, fence, began + 20, began + 20),
        Record(Kind.RELEASED, who, fence, began + 20, began + 30),
    ]


def _said(kind: Kind, who: int, fence: int, began: int, ended: int) -> Record:
    return Record(kind, who, fence, began, ended)


KILLED_INSIDE = [_enter(1, 5, 0, 10), _said(Kind.KILLED, 1, 0, 30, 40)]
GOOD = {
    "nothing": [],
    "one after the other": [*_hold(1, 5, 0), *_hold(2, 6, 100), *_hold(1, 9, 200)],
    "waited meanwhile": [*_hold(1, 5, 0)[:2], _enter(2, 6, 5, 40), *_hold(1, 5, 0)[2:], *_hold(2, 6, 5)[1:]],
    "killed, then another": [*KILLED_INSIDE, *_hold(2, 6, 20)],
    "the next is told of first": [KILLED_INSIDE[0], *_hold(2, 6, 28), KILLED_INSIDE[1]],
    "an orphan, then another": [*KILLED_INSIDE, _said(Kind.CHILD, 1, 5, 60, 60), *_hold(2, 6, 50)],
    "refused beside a holder": [*_hold(1, 5, 0), _said(Kind.REFUSED, 2, 0, 15, 18)],
    "refused beside another try": [_said(Kind.REFUSED, 1, 0, 0, 9), _said(Kind.REFUSED, 2, 0, 5, 12)],
    "refused beside a dead try": [_said(Kind.KILLED, 1, 0, 30, 40), _said(Kind.REFUSED, 2, 0, 15, 18)],
    "looks": [
        *_hold(1, 5, 100),
        _said(Kind.LOOK, 2, 0, 10, 20),
        _said(Kind.LOOK, 2, 0, 105, 112),
        _said(Kind.LOOK, 2, 5, 111, 119),
        _said(Kind.LOOK, 2, -1, 105, 108),
        _said(Kind.LOOK, 2, 0, 119, 121),
    ],
}
BAD = {
    "two at once": ([_enter(1, 5, 0, 10), _enter(2, 6, 0, 11), *_hold(1, 5, 0)[1:]], "while"),
    "in before the other was killed": ([KILLED_INSIDE[0], *_hold(2, 6, 5), KILLED_INSIDE[1]], "while"),
    "the same fence": ([*_hold(1, 5, 0), *_hold(2, 5, 100)], "did not grow"),
    "a lower fence": ([*_hold(1, 5, 0), *_hold(2, 4, 100)], "did not grow"),
    "an orphan beside the next": ([*KILLED_INSIDE, *_hold(2, 6, 50), _said(Kind.CHILD, 1, 5, 90, 90)], "while"),
    "left twice": ([*_hold(1, 5, 0), *_hold(2, 6, 50), _said(Kind.LEAVE, 1, 5, 99, 99)], "while"),
    "never left": ([_enter(1, 5, 0, 10)], "lost"),
    "a clash": ([_said(Kind.CLASH, 1, 5, 0, 1)], "same place"),
    "refused by nobody": ([*_hold(1, 5, 0), _said(Kind.REFUSED, 2, 0, 31, 40)], "nobody in the way"),
    "refused by itself": ([_said(Kind.REFUSED, 2, 0, 31, 40)], "nobody in the way"),
    "not seen": ([*_hold(1, 5, 0), _said(Kind.LOOK, 2, 0, 12, 18)], "while it was held"),
    "an orphan not seen": (
        [*KILLED_INSIDE, _said(Kind.CHILD, 1, 5, 90, 90), _said(Kind.LOOK, 2, 0, 50, 60)],
        "while it was held",
    ),
    "seen when nobody was there": ([*_hold(1, 5, 0), _said(Kind.LOOK, 2, -1, 40, 50)], "nobody can"),
    "seen before": ([*_hold(1, 5, 0), *_hold(2, 6, 100), _said(Kind.LOOK, 3, 6, 5, 20)], "not there then"),
    "seen after": ([*_hold(1, 5, 0), *_hold(2, 6, 100), _said(Kind.LOOK, 3, 5, 115, 119)], "not there then"),
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_history_of_one_lock_passes(history: list[Record]) -> None:
    assert check(history).violations == []


@pytest.mark.parametrize(("history", "why"), BAD.values(), ids=BAD)
def test_a_history_of_no_lock_is_found(history: list[Record], why: str) -> None:
    assert any(why in violation for violation in check(history).violations)


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    place = tmp_path / "history"
    written = [*_hold(1, 2**53, 0), _said(Kind.LOOK, 7, -1, 10**18, 10**18 + 1)]
    place.write_bytes(b"".join(record.packed() for record in written))
    assert place.stat().st_size == 4 * SIZE and read_history(place) == written
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="torn"):
        read_history(place)


def test_what_is_counted() -> None:
    found = check([*GOOD["one after the other"], *GOOD["refused beside another try"], *GOOD["looks"][3:]])
    assert (found.acquisitions, found.releases, found.refusals, found.looks) == (3, 3, 2, 5)
    assert found.operations == 8
