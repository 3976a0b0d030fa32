"""Recovers from crash states with the executor's own code and holds what comes of it against what was promised."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.disk import STATE, Disk, Key
from tests.crash.driver import recover
from tests.crash.persistence import CrashState, Model, crash_states
from tests.crash.sessions import Promise, Session

from lonelycat.errors import LonelyCatError


@dataclass(frozen=True)
class Verdict:
    """What recovery made of a crash state: the name of the tree, what is in quarantine, what is wrong.

    ``outcomes`` are what recovery told; none if there was nothing to do.
    """

    tree: str
    kept: frozenset[bytes]
    outcomes: frozenset[str]
    problem: str

    def breaks(self, promise: Promise) -> str:
        """Return how this breaks a promise; empty when it does not."""
        if self.problem:
            return f"{self.tree}; {self.problem}"
        if self.tree not in promise.trees:
            return f"{self.tree}, promised {sorted(promise.trees)}"
        if promise.kept is not None and self.kept != promise.kept:
            return f"quarantine holds {set(self.kept)}, promised {set(promise.kept)}"
        if promise.reports and not self.outcomes - {"nothing_applied"}:
            return f"{self.tree}, and neither history nor recovery knows why"
        return "recovery had more to do" if promise.settled and self.outcomes else ""


@dataclass
class Enumerated:
    """What an enumeration did."""

    states: int = 0
    violations: list[str] = field(default_factory=list)
    interesting: list[tuple[CrashState, str]] = field(default_factory=list)
    """Crash states from which recovery had something to put back, with the tree that it came to."""


def judge(disk: Disk, session: Session, recorded: frozenset[str]) -> Verdict:
    """Recover from ``disk``, twice; ``disk`` is changed."""
    memory = session.protocol(disk, session.born.copy())
    outcomes: frozenset[str] = frozenset()
    problem = ""
    try:
        results = recover(memory, memory.root, set(recorded))
        outcomes = frozenset(str(item.outcome) for item in results)
        if not outcomes <= session.outcomes:
            problem = f"recovery ended as {sorted(outcomes)}: {[(item.undo, item.message) for item in results]}"
        before = disk.key()
        if recover(memory, memory.root, set(recorded)) or disk.key() != before:
            problem = problem or "recovery did not come to an end"
    except (LonelyCatError, OSError) as error:
        problem = f"recovery raised {error!r}"
    finally:
        memory.let_go()
    return Verdict(_name(disk, session), _kept(disk), outcomes, problem or _left(disk))


def _name(disk: Disk, session: Session) -> str:
    tree = disk.tree()
    return next((name for name, known in session.trees.items() if known == tree), "a mix")


def _kept(disk: Disk) -> frozenset[bytes]:
    quarantine = disk.find(f"{STATE}/quarantine")
    return frozenset() if quarantine is None else frozenset(disk.inodes[at].data for _, at in disk.walk(quarantine))


def _left(disk: Disk) -> str:
    transactions = disk.find(f"{STATE}/tx")
    if transactions is not None and disk.entries[transactions]:
        return f"left behind: {[path for path, _ in disk.walk(transactions)]}"
    quarantine = f"{STATE}/quarantine/"
    named = Counter(at for path, at in disk.walk() if at not in disk.entries and not path.startswith(quarantine))
    return "" if all(count == 1 for count in named.values()) else "a file has more than one name"


def enumerate_session(
    session: Session,
    model: Model,
    rng: random.Random,
    *,
    sample: int = 40,
    exhaustive: int = 300,
    holds: Callable[[int], bool] = lambda call: True,
    stop_early: bool = False,
) -> Enumerated:
    """Look at every crash state of ``session`` under ``model``; states that are alike count and run once."""
    done = Enumerated()
    known: dict[tuple[Key, frozenset[str]], Verdict] = {}
    for state in crash_states(session, model, rng, sample=sample, exhaustive=exhaustive, holds=holds):
        shape = state.disk.key()
        for promise in state.promises:
            verdict = known.get((shape, promise.recorded))
            if verdict is None:
                verdict = known[shape, promise.recorded] = judge(state.disk.copy(), session, promise.recorded)
                done.states += 1
                if verdict.tree in session.trees and has_work(state.disk):
                    done.interesting.append((state, verdict.tree))
            broken = verdict.breaks(promise)
            if broken:
                done.violations.append(f"{session.name}, {model}, power cut after {state.calls} calls: {broken}")
                if stop_early:
                    return done
    return done


def has_work(disk: Disk) -> bool:
    """Tell whether a journal is there, so that recovery has more to do than to clear away."""
    transactions = disk.find(f"{STATE}/tx")
    return transactions is not None and any(path.endswith("/journal") for path, _ in disk.walk(transactions))
