"""The history of a lock: what every process did, in an append-only file, and whether one lock can explain it.

Invariants:
- One record is one write to a file opened for appending, so the order of the file is an order in which things were
  said: ENTER and LEAVE are said while the lock is held, CHILD while an inherited descriptor holds it.
- Times are those of the machine's monotonic clock, which all processes share.
- A process that was killed may have been in the middle of anything between its last record and its end.

The checker answers whether the history is linearisable: whether each operation can have taken effect at one moment
between its call and its return, such that the lock has at most one holder, fences grow, and looks tell the truth.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_FORM = struct.Struct("<BxxxIqqq")
SIZE = _FORM.size


class Kind(IntEnum):
    """What a record says."""

    ENTER = 1
    """Holds the lock; began is when it called."""
    LEAVE = 2
    """Still holds it, and is about to let go."""
    RELEASED = 3
    """Has let go; began is when it began to."""
    REFUSED = 4
    """Did not want to wait (any longer)."""
    UNSAFE = 5
    """Was refused because of what lies in the place of the lock files."""
    CHILD = 6
    """A child of a holder, which may be dead by now, is at work."""
    LOOK = 7
    """Asked who holds; fence is 0 for nobody, -1 for somebody unknown."""
    KILLED = 8
    """Said by the one who killed it; began is before the signal, ended after its end."""
    CLASH = 9
    """Found the mark of somebody else in what is to be its own."""


class Record(NamedTuple):
    """One thing that happened; times in nanoseconds."""

    kind: Kind
    who: int
    fence: int
    began: int
    ended: int

    def packed(self) -> bytes:
        """Return the form that is written."""
        return _FORM.pack(*self)


def read_history(path: Path) -> list[Record]:
    """Return the records of a file in its order."""
    data = path.read_bytes()
    whole = len(data) - len(data) % SIZE
    assert whole == len(data), "a record was torn"
    return [Record(Kind(kind), who, fence, began, ended) for kind, who, fence, began, ended in _FORM.iter_unpack(data)]


@dataclass
class _Hold:
    who: int
    fence: int
    called: int
    entered: int
    left: int | None = None
    released: int | None = None
    last_child: int = 0
    next_entered: int | None = None
    previous_left: int = 0

    def certainly_until(self, killed: Record | None) -> int:
        """When it still held for certain, at the latest."""
        own = self.left if self.left is not None else killed.began if killed else self.entered
        return max(own, self.last_child)

    def possibly(self, killed: Record | None) -> tuple[int, int]:
        """From when to when it may have held."""
        if self.released is not None:
            end = max(self.released, self.last_child)
        else:
            end = max(killed.ended if killed else self.entered, self.last_child)
        return max(self.called, self.previous_left), end


@dataclass
class Verdict:
    """What a history comes to: how many operations of each kind, and what one lock cannot explain."""

    acquisitions: int = 0
    releases: int = 0
    refusals: int = 0
    looks: int = 0
    kills: int = 0
    orphans: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def operations(self) -> int:
        """Acquisitions, releases and tries that were refused; looks are not counted."""
        return self.acquisitions + self.releases + self.refusals


class _Spans:
    """Many intervals, and whether any of them meets a given one."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._spans = sorted(spans)
        self._starts = [began for began, _ in self._spans]
        self._reach: list[int] = []
        furthest = -1
        for _, ended in self._spans:
            furthest = max(furthest, ended)
            self._reach.append(furthest)

    def meet(self, began: int, ended: int) -> bool:
        """Whether one of them shares a moment with ``began`` to ``ended``."""
        before = bisect_left(self._starts, ended + 1)
        return before > 0 and self._reach[before - 1] >= began


def check(history: list[Record]) -> Verdict:
    """Judge a history."""
    verdict = Verdict()
    killed = {record.who: record for record in history if record.kind is Kind.KILLED}
    verdict.kills = len(killed)
    holds = _holds(history, killed, verdict)
    _judge_the_others(history, killed, holds, verdict)
    return verdict


def _holds(history: list[Record], killed: dict[int, Record], verdict: Verdict) -> list[_Hold]:
    """Walk the file in order: at most one holder at a time, with its children, and growing fences."""
    holds: list[_Hold] = []
    say = verdict.violations.append
    for record in history:
        last = holds[-1] if holds else None
        match record.kind:
            case Kind.ENTER:
                verdict.acquisitions += 1
                if last is not None:
                    _judge_entry(record, last, killed, say)
                holds.append(_Hold(record.who, record.fence, record.began, record.ended))
                if last is not None:
                    last.next_entered = record.ended
                    holds[-1].previous_left = last.left or 0
            case Kind.LEAVE:
                if last is None or (last.who, last.fence) != (record.who, record.fence):
                    say(f"{record} while {last} holds")
                else:
                    last.left = record.began
            case Kind.RELEASED:
                verdict.releases += 1
                for hold in reversed(holds[-50:]):
                    if (hold.who, hold.fence) == (record.who, record.fence):
                        hold.released = record.ended
                        break
            case Kind.CHILD:
                if last is None or last.fence != record.fence:
                    say(f"{record} while {last} holds")
                else:
                    verdict.orphans += last.last_child == 0
                    last.last_child = record.ended
            case Kind.CLASH:
                say(f"{record}: two in the same place")
    for hold in holds:
        if hold.left is None and hold.who not in killed:
            say(f"{hold} was lost: it neither ended nor was killed")
    return holds


def _judge_entry(record: Record, last: _Hold, killed: dict[int, Record], say: Callable[[str], None]) -> None:
    if record.fence <= last.fence:
        say(f"{record}: the fence did not grow above {last.fence}")
    if last.left is not None:
        return
    death = killed.get(last.who)
    if death is None or death.began > record.ended:
        say(f"{record} while {last} holds")


def _unfinished(history: list[Record], killed: dict[int, Record]) -> Iterator[tuple[int, int]]:
    """Yield when processes that were killed may have been in the middle of something."""
    last: dict[int, int] = {}
    for record in history:
        if record.kind is not Kind.KILLED and record.kind is not Kind.CHILD:
            last[record.who] = record.ended
    for who, death in killed.items():
        yield last.get(who, 0), death.ended


def _judge_the_others(history: list[Record], killed: dict[int, Record], holds: list[_Hold], verdict: Verdict) -> None:
    """Refusals need somebody in the way; looks must tell what was so at some moment of theirs."""
    say = verdict.violations.append
    tries = [record for record in history if record.kind in (Kind.REFUSED, Kind.UNSAFE)]
    possible = _Spans([*(hold.possibly(killed.get(hold.who)) for hold in holds), *_unfinished(history, killed)])
    trying = {who: _Spans(spans) for who, spans in _by_process(tries).items()}
    certain = sorted((hold.entered, hold.certainly_until(killed.get(hold.who))) for hold in holds)
    starts = [began for began, _ in certain]
    by_fence = {hold.fence: hold for hold in holds}
    for record in history:
        if record.kind is Kind.REFUSED:
            verdict.refusals += 1
            if not possible.meet(record.began, record.ended) and not _met_by_another(record, trying):
                say(f"{record}: refused, with nobody in the way")
        elif record.kind is Kind.LOOK:
            verdict.looks += 1
            if record.fence == 0:
                at = bisect_left(starts, record.began + 1) - 1
                if at >= 0 and certain[at][1] > record.ended:
                    say(f"{record}: nobody seen, while it was held {certain[at]}")
            elif not possible.meet(record.began, record.ended) and not _met_by_another(record, trying):
                say(f"{record}: somebody seen, while nobody can have held it")
            elif record.fence > 0:
                seen = by_fence.get(record.fence)
                told_until = record.ended if seen is None or seen.next_entered is None else seen.next_entered
                if seen is not None and (record.ended < seen.called or record.began > told_until):
                    say(f"{record}: saw {seen}, which was not there then")


def _by_process(tries: list[Record]) -> dict[int, list[tuple[int, int]]]:
    spans: dict[int, list[tuple[int, int]]] = {}
    for record in tries:
        spans.setdefault(record.who, []).append((record.began, record.ended))
    return spans


def _met_by_another(record: Record, trying: dict[int, _Spans]) -> bool:
    """Whether another's try was going on: of two at once, each may find the other in the way."""
    return any(who != record.who and spans.meet(record.began, record.ended) for who, spans in trying.items())
