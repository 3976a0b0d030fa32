"""What a power cut may leave of a recorded session: three models, from strong to weak.

A *barrier* is an fsync or syncfs. It makes durable what was done before it: fsync of a file its bytes, size and mode;
fsync of a directory its entries; syncfs everything. It promises no more than POSIX does: fsync of a new file does not
make its name durable, fsync of one directory says nothing about the other side of a rename, and nothing that was not
covered by a barrier need be there, in any order, however long ago it was.

- ``ordered``: the calls reach the disk one after the other; a power cut leaves a prefix. (A process that is killed
  leaves the same.)
- ``reordered``: each call reaches the disk whole or not at all, but any of those that no barrier covers may be missing.
  A rename is one call: a barrier on either directory covers both sides. This is weaker than ext4, XFS or btrfs with
  their journals, which keep most of the order.
- ``torn``: each side of a call by itself. A rename may be seen on one side only: under both names, under neither; an
  exchange under one name twice. A write may be missing where the size is there (zeros, or what the block held before),
  cut off at any byte, or lack a block in the middle. This is ext2, or ext4 without a journal.

What a file system's own check puts right before anybody sees it is put right here too: of two names of a directory one
goes; link counts are those of the names; what no name leads to does not count. No name means an inode that does not
exist, and no symbolic link is without its target.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.crash.disk import Data, Disk, Effect, Inode, Size
from tests.crash.memory import EVERYTHING, Call
from tests.crash.sessions import Promise, Session

SECTOR = 512


class Model(StrEnum):
    """How much of what no barrier covers may be missing."""

    ORDERED = "ordered"
    REORDERED = "reordered"
    TORN = "torn"


@dataclass(frozen=True)
class CrashState:
    """A disk after a power cut: when ``calls`` of the session's calls were made."""

    calls: int
    disk: Disk
    promises: tuple[Promise, ...]


@dataclass(eq=False)
class _Unit:
    """What reaches the disk by itself: wholly, in another of its forms, or not at all."""

    forms: tuple[tuple[Effect, ...], ...]
    homes: frozenset[int]
    durable: bool


Choice = tuple[tuple[Effect, ...], ...]
ABSENT: tuple[Effect, ...] = ()


def crash_states(
    session: Session,
    model: Model,
    rng: random.Random,
    *,
    sample: int,
    exhaustive: int,
    holds: Callable[[int], bool] = lambda call: True,
) -> Iterator[CrashState]:
    """Yield the states that a power cut during ``session`` may leave, at every point of it.

    What is pending only grows between two barriers, and all of its subsets are looked at: so it is enough to look right
    before each barrier, wherever a promise changes, and at the end.

    Args:
        exhaustive: up to how many combinations of what may be missing at one point all are looked at.
        sample: how many are where there are more.
        holds: tells whether the barrier with this number does its work, or is as good as taken out of the program.
    """
    working = [call.barrier is not None and holds(index) for index, call in enumerate(session.calls)]
    if model is Model.ORDERED:
        yield from _prefixes(session)
        return
    points = {index for index, _ in session.promises} | {len(session.calls)}
    points |= {index for index, works in enumerate(working) if works}
    pending = _Pending(session.base.copy(), session.born, model, rng, sample, exhaustive)
    for index, call in enumerate(session.calls):
        if index in points:
            yield from pending.states(index, promises_at(session, index))
        if working[index]:
            pending.settle(call)
        else:
            pending.add(call)
    end = len(session.calls)
    yield from pending.states(end, promises_at(session, end))


def _prefixes(session: Session) -> Iterator[CrashState]:
    disk = session.base.copy()
    for index, call in enumerate(session.calls):
        yield CrashState(index, disk.copy(), promises_at(session, index))
        for effect in call.effects:
            disk.make(effect, session.born)
    end = len(session.calls)
    yield CrashState(end, disk, promises_at(session, end))


def promises_at(session: Session, calls: int) -> tuple[Promise, ...]:
    """Return every promise that holds when ``calls`` calls were made: what was promised then, and just before."""
    now = [promise for index, promise in session.promises if index == calls]
    before = [promise for index, promise in session.promises if index < calls]
    return tuple(now) if any(promise.anew for promise in now) else (*before[-1:], *now)


class _Pending:
    """The durable disk, and what came after it."""

    def __init__(
        self, disk: Disk, born: dict[int, Inode], model: Model, rng: random.Random, sample: int, exhaustive: int
    ) -> None:
        self._disk = disk
        self._born = born
        self._model = model
        self._rng = rng
        self._sample = sample
        self._exhaustive = exhaustive
        self._units: list[_Unit] = []
        self._seen: set[_Unit] = set()
        self._seen_under: tuple[Promise, ...] = ()

    def add(self, call: Call) -> None:
        """A call was made, of which nothing need be durable."""
        if self._model is Model.REORDERED:
            parts: list[tuple[Effect, ...]] = [call.effects] if call.effects else []
        else:
            parts = [(effect,) for effect in call.effects]
        for effects in parts:
            forms = (effects, *self._torn(effects), ABSENT)
            self._units.append(_Unit(forms, frozenset(effect.home for effect in effects), call.durable))

    def _torn(self, effects: tuple[Effect, ...]) -> Iterator[tuple[Effect, ...]]:
        if self._model is not Model.TORN or not isinstance(effects[0], Data):
            return
        home, offset, data = effects[0]
        size = Size(home, offset + len(data))
        cut = self._rng.randrange(len(data))
        yield (size,)
        yield (Data(home, offset, self._rng.randbytes(len(data))),)
        yield (Data(home, offset, data[:cut]),)
        yield (size, Data(home, offset, data[:cut]))
        sectors = range(offset // SECTOR, (offset + len(data) - 1) // SECTOR + 1)
        if len(sectors) > 1:
            lost = self._rng.choice(sectors)
            start, end = max(lost * SECTOR - offset, 0), (lost + 1) * SECTOR - offset
            yield (Data(home, offset, data[:start] + bytes(len(data[start:end])) + data[end:]),)

    def settle(self, barrier: Call) -> None:
        """A barrier made what it covers durable."""
        at = barrier.barrier
        for unit in self._units:
            if at == EVERYTHING or at in unit.homes:
                unit.durable = True
        while self._units and self._units[0].durable:
            for effect in self._units.pop(0).forms[0]:
                self._disk.make(effect, self._born)

    def states(self, calls: int, promises: tuple[Promise, ...]) -> Iterator[CrashState]:
        """Yield what may be left now."""
        open_units = [unit for unit in self._units if not unit.durable]
        combinations = math.prod(len(unit.forms) for unit in open_units)
        exhaustive = combinations <= self._exhaustive
        choices = itertools.product(*(unit.forms for unit in open_units)) if exhaustive else self._some(open_units)
        seen = self._seen if self._seen_under == promises else set[_Unit]()
        fresh = [number for number, unit in enumerate(open_units) if unit not in seen]
        for choice in choices:
            # Without anything new it is one of the states of the point before, which all were looked at.
            if not exhaustive or not seen or any(choice[number] for number in fresh):
                for disk in self._made(choice).checked():
                    yield CrashState(calls, disk, promises)
        self._seen = set(self._units) if exhaustive else set()
        self._seen_under = promises

    def _made(self, choice: Choice) -> Disk:
        disk, born = self._disk.copy(), self._born
        chosen = iter(choice)
        for unit in self._units:
            for effect in unit.forms[0] if unit.durable else next(chosen):
                disk.make(effect, born)
        return disk

    def _some(self, units: list[_Unit]) -> Iterator[Choice]:
        """Yield all, none, each one alone missing or there, then random ones of several densities."""
        whole = [unit.forms[0] for unit in units]
        yield tuple(whole)
        yield (ABSENT,) * len(units)
        for number, unit in enumerate(units):
            for form in unit.forms[1:]:
                yield (*whole[:number], form, *whole[number + 1 :])
            yield (*(ABSENT,) * number, whole[number], *(ABSENT,) * (len(units) - number - 1))
        for _ in range(self._sample):
            there = self._rng.choice((0.15, 0.5, 0.85))
            first_part = self._rng.randrange(len(units) + 1) if self._rng.random() < 0.3 else len(units)
            yield tuple(
                self._form(unit) if number < first_part and self._rng.random() < there else ABSENT
                for number, unit in enumerate(units)
            )

    def _form(self, unit: _Unit) -> tuple[Effect, ...]:
        return unit.forms[0] if self._rng.random() < 0.6 else self._rng.choice(unit.forms)
