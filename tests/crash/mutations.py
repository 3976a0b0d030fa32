"""The protocol with one thing wrong at a time, and which model of persistence notices.

A mutation that no model notices is either a sign that the models are too weak, or it changes nothing that was promised;
then it says why, and a barrier that is not needed goes from the source.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.crash.disk import STATE, Field
from tests.crash.judge import enumerate_session
from tests.crash.memory import MemoryFileSystem
from tests.crash.persistence import Model
from tests.crash.protocol import steps, swapped
from tests.crash.sessions import WAYS, Case, Session, died, kept, met_an_outsider, recovering, set_aside, undone
from tests.crash.trees import File, Folder, case

from lonelycat.changes.changeset import FileChange
from lonelycat.executor.old_copies import ARCHIVE

ORDERED, REORDERED, TORN = Model
WEAK = (REORDERED, TORN)
ALL = tuple(Model)
Variant = Callable[[int], Iterator[tuple[Session, Callable[[int], bool]]]]


@dataclass(frozen=True)
class Mutation:
    """One thing wrong with the protocol.

    Attributes:
        what: what is wrong, in words.
        variant: yields the wrong sessions of a case.
        caught_by: the models that notice; none for one that breaks no promise, which ``harmless`` then explains.
    """

    what: str
    variant: Variant
    caught_by: tuple[Model, ...]
    harmless: str = ""


taken_out: set[str] = set()
"""Every barrier that a mutation takes out."""
EMPTYING: Case = ({"d": Folder(0o711), "d/a": File(b"old")}, (FileChange.delete("d/a", b"old"),), {})
"""The smallest change that takes a directory away."""


def sessions(seed: int) -> Iterator[Session]:
    """Yield sessions of one case that between them take every step of the protocol."""
    this = case(seed)
    for way in WAYS.values():
        yield way(this)
    theirs = met_an_outsider(this)
    if theirs is not None:
        yield theirs
    yield set_aside(this, whole=False)
    yield undone(EMPTYING)
    for each in (EMPTYING, this):
        calls = kept(each).calls
        applied = next(n for n, call in enumerate(calls) if call.phase == "commit" and call.barrier is not None)
        yield died(each, "kept", applied)
    yield from _recoveries(seed, kept(this))


def _recoveries(seed: int, session: Session) -> Iterator[Session]:
    rng = random.Random(seed)
    done = enumerate_session(session, TORN, rng, sample=4, exhaustive=20)
    for state, tree in rng.sample(done.interesting, min(2, len(done.interesting))):
        yield recovering(state.disk, tree, session, state.promises[-1])
    for state, tree in done.interesting if any("the copies" in step for step in steps(session)) else ():
        again = recovering(state.disk, tree, session, state.promises[-1])
        if FROM_A_COPY in steps(again):  # one side of an exchange was lost, and with it the old file
            yield again
            return


FROM_A_COPY = "recovery: fsync a backup from a copy"


def intact(seed: int) -> Iterator[tuple[Session, Callable[[int], bool]]]:
    """The program as it is."""
    for session in sessions(seed):
        yield session, lambda call: True


def without(*names: str) -> Variant:
    """A program that lacks these barriers."""
    taken_out.update(names)

    def variant(seed: int) -> Iterator[tuple[Session, Callable[[int], bool]]]:
        for session in sessions(seed):
            named = steps(session)
            if set(names) & set(named):
                yield session, lambda call, named=named: named[call] not in names  # type: ignore[misc]

    return variant


def in_other_order(*pairs: tuple[str, str]) -> Variant:
    """A program that takes the first step of a pair only after the second, which follows it."""

    def variant(seed: int) -> Iterator[tuple[Session, Callable[[int], bool]]]:
        for session in sessions(seed):
            for first, second in pairs:
                for wrong in swapped(session, first, second):
                    yield wrong, lambda call: True

    return variant


def working_as(protocol: type[MemoryFileSystem]) -> Variant:
    """A program that makes other calls."""

    def variant(seed: int) -> Iterator[tuple[Session, Callable[[int], bool]]]:
        for session in (kept(case(seed), protocol), undone(case(seed), protocol)):
            yield session, lambda call: True
        for at in range(8):
            yield died(case(seed), "kept", at, protocol=protocol), lambda call: True

    return variant


class Consuming(MemoryFileSystem):
    """Undo uses up its backups."""

    def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        if name.endswith(".old"):
            self.move(directory, name, to_directory, to_name)
        else:
            super().hard_link(directory, name, to_directory, to_name)


class Uncopied(MemoryFileSystem):
    """Nobody looks at the copies of the old files."""

    def open_file(self, directory: int, name: str) -> int:
        return super().open_file(directory, "no copies" if name == ARCHIVE else name)


class Hasty(MemoryFileSystem):
    """A directory of the state may be written to before its name is durable."""

    def fsync(self, fd: int) -> None:
        transactions = self.disk.find(f"{STATE}/tx")
        if self.phase == "open" and transactions is not None:
            self._change("set_mode", Field(transactions, "mode", stat.S_IFDIR | 0o700))
        super().fsync(fd)


class Undrafted(MemoryFileSystem):
    """The journal is written under its own name."""

    def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
        return super().create_file(directory, "journal" if name == "journal.draft" else name, mode)

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        if name != "journal.draft":
            super().move(directory, name, to_directory, to_name)


class Moving(MemoryFileSystem):
    """A file is updated by moving the old one out of the way and the new one into its place."""

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        self.move(to_directory, to_name, directory, name + ".aside")
        self.move(directory, name, to_directory, to_name)
        self.move(directory, name + ".aside", directory, name)


SEEDS = (0, 1, 4)
"""Cases that between them have every step; the last is large enough for syncfs."""


def noticed(mutation: Mutation, model: Model, seeds: tuple[int, ...] = SEEDS) -> str:
    """Return the first violation that ``model`` finds with this mutation; empty when it finds none.

    Raises:
        AssertionError: no session has the steps: the protocol changed, and the table has to.
    """
    there = False
    for seed in seeds:
        for session, holds in mutation.variant(seed):
            there = True
            rng = random.Random(seed)
            done = enumerate_session(session, model, rng, sample=25, exhaustive=80, holds=holds, stop_early=True)
            if done.violations:
                return done.violations[0]
    assert there, f"{mutation.what}: no such step"
    return ""


MUTATIONS = (
    Mutation("no fsync of the root that .lonelycat is made in", without("open: fsync the root"), WEAK),
    Mutation("no fsync of .lonelycat", without("open: fsync the state directory"), WEAK),
    Mutation("no fsync of the new contents", without("stage: fsync the new contents"), WEAK),
    Mutation("no syncfs of what is staged", without("stage: syncfs everything"), WEAK),
    Mutation("no fsync of the draft of the journal", without("stage: fsync the draft of the journal"), WEAK),
    Mutation("no fsync of the stage", without("stage: fsync the stage"), WEAK),
    Mutation("no fsync of the transactions", without("stage: fsync the transactions"), WEAK),
    Mutation("no syncfs of what was applied", without("commit: syncfs everything"), WEAK),
    Mutation("no fsync of COMMITTED", without("commit: fsync the journal"), WEAK),
    Mutation(
        "no fsync of the directories that undo touched",
        without("undo: fsync the tree", "recovery: fsync the tree"),
        WEAK,
    ),
    Mutation(
        "no syncfs of the directories that undo touched",
        without("undo: syncfs everything", "recovery: syncfs everything"),
        WEAK,
    ),
    Mutation("no fsync of UNDONE", without("undo: fsync the journal", "recovery: fsync the journal"), WEAK),
    Mutation(
        "no fsync of a directory that undo makes again",
        without("undo: fsync a directory made again", "recovery: fsync a directory made again"),
        WEAK,
    ),
    Mutation(
        "no fsync of the place that it is given",
        without(
            "undo: fsync the place of a directory made again", "recovery: fsync the place of a directory made again"
        ),
        WEAK,
    ),
    Mutation(
        "no fsync of the stage after undo", without("undo: fsync the stage", "recovery: fsync the stage"), (TORN,)
    ),
    Mutation(
        "no fsync of a backup made from a copy",
        without(FROM_A_COPY),
        WEAK,
    ),
    Mutation("no fsync of quarantine", without("undo: fsync quarantine", "recovery: fsync quarantine"), WEAK),
    Mutation(
        "no fsync of .lonelycat when quarantine is made",
        without("undo: fsync the state directory", "recovery: fsync the state directory"),
        WEAK,
    ),
    Mutation(
        "no fsync of the transactions when one is set aside", without("recovery: fsync the transactions"), (TORN,)
    ),
    Mutation(
        "old files linked or copied after the contents are written",
        in_other_order(
            ("stage: make the backups", "stage: make the new contents"),
            ("stage: make the copies", "stage: make the new contents"),
        ),
        (),
        "both are durable before INTENT is published",
    ),
    Mutation(
        "ballast reserved after INTENT is written",
        in_other_order(("stage: make ballast", "stage: make the draft of the journal")),
        (),
        "it is for full disks, not for crashes",
    ),
    Mutation(
        "contents made durable after INTENT is written",
        in_other_order(("stage: syncfs everything", "stage: make the draft of the journal")),
        (),
        "INTENT has its name only later",
    ),
    Mutation(
        "INTENT made durable before it is written",
        in_other_order(("stage: make the draft of the journal", "stage: fsync the draft of the journal")),
        WEAK,
    ),
    Mutation(
        "the journal published before INTENT is durable",
        in_other_order(("stage: fsync the draft of the journal", "stage: publish the journal")),
        WEAK,
    ),
    Mutation(
        "the stage made durable before the journal is published",
        in_other_order(("stage: publish the journal", "stage: fsync the stage")),
        WEAK,
    ),
    Mutation(
        "the transactions made durable before the stage",
        in_other_order(("stage: fsync the stage", "stage: fsync the transactions")),
        (),
        "both are durable before anything is applied",
    ),
    Mutation(
        "applied before the transactions are durable",
        in_other_order(("stage: fsync the transactions", "apply: change the tree")),
        WEAK,
    ),
    Mutation(
        "the tree made durable before it is changed",
        in_other_order(("apply: change the tree", "commit: syncfs everything")),
        WEAK,
    ),
    Mutation(
        "COMMITTED written before the tree is durable",
        in_other_order(("commit: syncfs everything", "commit: make the COMMITTED frame")),
        WEAK,
    ),
    Mutation(
        "COMMITTED made durable before it is written",
        in_other_order(("commit: make the COMMITTED frame", "commit: fsync the journal")),
        WEAK,
    ),
    Mutation(
        "the journal removed before COMMITTED is durable",
        in_other_order(("commit: fsync the journal", "clean-up: remove the journal")),
        ALL,
    ),
    Mutation(
        "the journal removed last after commit or undo",
        in_other_order(("clean-up: remove the journal", "clean-up: remove the rest")),
        (),
        "COMMITTED or UNDONE is durable and needs nothing of the rest",
    ),
    Mutation(
        "the journal removed last when a transaction is abandoned",
        in_other_order(("abandon: remove the journal", "abandon: remove the rest")),
        (),
        "every path holds its old content, so undo asks for no backup",
    ),
    Mutation(
        "directories made durable before undo touches them",
        in_other_order(
            ("undo: change the tree", "undo: fsync the tree"), ("undo: change the tree", "undo: syncfs everything")
        ),
        WEAK,
    ),
    Mutation(
        "a directory made again moved into place before it is durable",
        in_other_order(("undo: fsync a directory made again", "undo: change the tree")),
        WEAK,
    ),
    Mutation(
        "a directory made again filled before it has its place",
        in_other_order(
            ("undo: fsync the place of a directory made again", "undo: change the tree"),
            ("recovery: fsync the place of a directory made again", "recovery: change the tree"),
        ),
        WEAK,
    ),
    Mutation(
        "UNDONE written before the directories are durable",
        in_other_order(
            ("undo: fsync the tree", "undo: make the UNDONE frame"),
            ("undo: syncfs everything", "undo: make the UNDONE frame"),
        ),
        WEAK,
    ),
    Mutation(
        "UNDONE written before quarantine is durable",
        in_other_order(("undo: fsync quarantine", "undo: make the UNDONE frame")),
        WEAK,
    ),
    Mutation(
        "a directory made again made durable before it has its mode",
        in_other_order(("undo: make a directory made again", "undo: fsync a directory made again")),
        WEAK,
    ),
    Mutation(
        "UNDONE written before the stage is durable",
        in_other_order(("undo: fsync the stage", "undo: make the UNDONE frame")),
        (TORN,),
    ),
    Mutation(
        "UNDONE made durable before it is written",
        in_other_order(("undo: make the UNDONE frame", "undo: fsync the journal")),
        WEAK,
    ),
    Mutation(
        "the journal removed before UNDONE is durable",
        in_other_order(("undo: fsync the journal", "clean-up: remove the journal")),
        ALL,
    ),
    Mutation(
        "the ballast freed after undo has begun",
        in_other_order(("undo: free the ballast", "undo: change the tree")),
        (),
        "it is for full disks, not for crashes",
    ),
    Mutation("a directory of the state written to before its name is durable", working_as(Hasty), WEAK),
    Mutation("undo uses up its backups", working_as(Consuming), ALL),
    Mutation("no copies of the old files", working_as(Uncopied), (TORN,)),
    Mutation("the journal written under its own name", working_as(Undrafted), ALL),
    Mutation("a file updated by two moves", working_as(Moving), ALL),
)
