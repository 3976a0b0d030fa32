"""The steps of the protocol, found in a recording by what they act on, and recordings with a step taken out or swapped.

A step is named by what the executor is about and what it acts on, never by a number: ``stage: fsync the stage``. One
that a recording does not have is not missed here; the table of mutations says which there are.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from tests.crash.disk import STATE, Data, Disk, Effect, Entry
from tests.crash.memory import EVERYTHING, Call
from tests.crash.sessions import Promise, Session

TREE = "the tree"
TOLD_READERS = "make generation"


def steps(session: Session) -> list[str]:
    """Return the name of the step that each call belongs to."""
    disk = session.base.copy()
    named: list[str] = []
    for index, call in enumerate(session.calls):
        if call.barrier is not None:
            what = "everything" if call.barrier == EVERYTHING else _thing(disk, call.barrier, call.phase)
            if what == TREE and _gives_a_place(session.calls[:index], disk):
                what = "the place of a directory made again"
            named.append(f"{call.phase}: {call.name} {what}")
        elif call.effects and (change := _change(disk, call)) != TOLD_READERS:
            named.append(f"{call.phase}: {change}")
        else:
            named.append(named[-1] if named else "nothing")  # nothing was written, or nothing that a crash is to leave
        for effect in call.effects:
            disk.make(effect, session.born)
    return named


def _gives_a_place(before: list[Call], disk: Disk) -> bool:
    """Tell whether what was done last before a barrier was to move a directory into the tree."""
    effect = before[-1].effects[-1] if before and before[-1].name == "move" else None
    return isinstance(effect, Entry) and effect.inode in disk.entries


def _thing(disk: Disk, inode: int, phase: str) -> str:
    path = disk.path_of(inode)
    parts = (path or "").split("/")
    if not path:
        return "the root" if phase == "open" else TREE
    if parts[0] != STATE:
        return TREE
    if len(parts) < 4:
        names = {1: "the state directory", 2: {"tx": "the transactions"}.get(parts[-1], parts[-1]), 3: "the stage"}
        return str(names[len(parts)])
    return _member(parts[3])


def _member(name: str) -> str:
    number, _, kind = name.partition(".")
    if not number.isdecimal():
        named = {"journal": "the journal", "journal.draft": "the draft of the journal", "old.tar": "the copies"}
        return named.get(name, name)
    kinds = {
        "new": "the new contents",
        "old": "the backups",
        "copy": "a backup from a copy",
        "room": "a directory made again",
    }
    return kinds.get(kind, "a directory made again" if kind == "pruned" else "what undo took out")


def _change(disk: Disk, call: Call) -> str:
    """Say what a changing call is about: the step that neighbouring calls of a kind make up."""
    things = [_about(disk, effect, call.phase) for effect in call.effects]
    if things == ["ballast"] and call.phase in ("undo", "recovery") and call.name == "unlink":
        return "free the ballast"
    if call.name in ("unlink", "remove_directory") and TREE not in things:
        return "remove the journal" if things == ["the journal"] else "remove the rest"
    # A backup that gets a further name is linked into the tree, or to be exchanged into it.
    if call.phase != "stage" and (TREE in things or call.name == "hard_link"):
        return "change the tree"
    if call.name == "move" and "the journal" in things:
        return "publish the journal"
    return f"make {things[-1]}"


def _about(disk: Disk, effect: Effect, phase: str) -> str:
    if not isinstance(effect, Entry):
        what = _thing(disk, effect.home, phase)
        return f"the {_frame(effect.data)} frame" if isinstance(effect, Data) and what == "the journal" else what
    directory = _thing(disk, effect.home, phase)
    if directory == "the stage":
        return _member(effect.name)
    return {"the transactions": "the stage", "the state directory": "the state"}.get(directory, directory)


def _frame(data: bytes) -> str:
    return next((name for name in ("COMMITTED", "UNDONE") if f'"type":"{name.lower()}"'.encode() in data), "other")


def swapped(session: Session, first: str, second: str) -> list[Session]:
    """Return the session with two neighbouring steps in the other order, for each place where they are neighbours."""
    named = steps(session)
    runs: list[tuple[str, int, int]] = []
    for name, numbers in itertools.groupby(range(len(named)), key=named.__getitem__):
        at = list(numbers)
        runs.append((name, at[0], at[-1] + 1))
    found = []
    for one, other in itertools.pairwise(runs):
        if (one[0], other[0]) == (first, second):
            found.append(_swap(session, one[1], one[2], other[2]))
    return found


def neighbours(session: Session) -> set[tuple[str, str]]:
    """Return every pair of neighbouring steps."""
    runs = [name for name, _ in itertools.groupby(steps(session))]
    return set(itertools.pairwise(runs))


def _swap(session: Session, start: int, middle: int, end: int) -> Session:
    calls = [*session.calls[:start], *session.calls[middle:end], *session.calls[start:middle], *session.calls[end:]]
    promises = []
    before: Promise | None = None
    for index, promise in session.promises:
        at = index + end - middle if start < index < middle else index
        if middle <= index < end:
            # What the steps let be promised is promised after both; what the second begins with, before it.
            weaker = before is not None and before.trees < promise.trees
            at = index - middle + start if weaker else end
        promises.append((at, promise))
        before = promise
    name = f"{session.name}, steps swapped at call {middle}"
    return replace(session, name=name, calls=calls, promises=sorted(promises, key=lambda item: item[0]))
