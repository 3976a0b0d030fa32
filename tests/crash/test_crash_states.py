"""(d) A power cut at any point, under three models of what reaches the disk: recovery leaves the old or the new tree.

The new one if ``commit`` had returned; nothing in quarantine without an outsider; nothing left behind; and recovery run
again finds nothing to do. The states that a power cut may leave are worked out from a recording (``persistence.py``)
and recovered from by the executor's own code on a file system in memory (``memory.py``).

Exhaustive where few calls are pending between two barriers; where the combinations explode: all, none, each one alone
missing or there, and a seeded sample. States that are alike are counted, and recovered from, once in a session.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from tests.crash.descriptors import mounted
from tests.crash.judge import Enumerated, enumerate_session
from tests.crash.persistence import Model
from tests.crash.sessions import WAYS, Case, Session, died, failed, met_an_outsider, recovering, set_aside
from tests.crash.trees import File, Folder, applied, case
from tests.tally import counting

from lonelycat.changes.changeset import FileChange


def _sessions(seed: int) -> Iterator[Session]:
    """Yield four sessions of one case: one that is kept, one that is undone, and two others."""
    rng = random.Random(seed)
    this = case(seed)
    yield WAYS["kept"](this)
    yield WAYS["undone"](this)
    how = rng.choice(list(WAYS))
    calls = len(WAYS[how](this).calls)
    others: list[Callable[[], Session | None]] = [
        lambda: WAYS["abandoned"](this),
        # Who only begins to make the state may die early; the others may anywhere.
        lambda: died(this, how, rng.randrange(8)),
        lambda: died(this, how, rng.randrange(calls)),
        lambda: died(this, how, rng.randrange(calls), *(rng.randrange(12) for _ in range(rng.choice((1, 2))))),
        lambda: failed(this, rng.randrange(calls)),
        lambda: met_an_outsider(this),
    ]
    for other in rng.sample(others, 2):
        session = other()
        if session is not None:
            yield session


def _enumerate(seed: int, sessions: Iterator[Session], test: str, sample: int, exhaustive: int) -> Counter[str]:
    """Enumerate sessions and, for a crash state of each that leaves work, the recovery from there."""
    again_with = f"again with: python -m pytest tests/crash/test_crash_states.py -k {test} --seeds {seed}:{seed + 1}"
    rng = random.Random(seed)
    with mounted(), counting("crash-states") as counts:
        for session in sessions:
            counts["sessions"] += 1
            found = _every_model(session, rng, counts, sample, exhaustive)
            interesting = [one for done in found for one in done.interesting]
            for state, tree in rng.sample(interesting, min(1, len(interesting))):
                before = counts["states"]
                again = recovering(state.disk, tree, session, state.promises[-1])
                found += _every_model(again, rng, counts, sample, exhaustive)
                counts["of_recoveries"] += counts["states"] - before
            violations = [violation for done in found for violation in done.violations]
            assert not violations, f"{len(violations)} violations, first: {violations[0]}; seed {seed}; {again_with}"
    return counts


def _every_model(
    session: Session, rng: random.Random, counts: Counter[str], sample: int, exhaustive: int
) -> list[Enumerated]:
    found = [enumerate_session(session, model, rng, sample=sample, exhaustive=exhaustive) for model in Model]
    counts["states"] += sum(done.states for done in found)
    return found


def test_every_power_cut_leaves_old_or_new(seed: int) -> None:
    counts = _enumerate(seed, _sessions(seed), "test_every_power_cut_leaves_old_or_new", 1, 10)
    assert counts["states"] > 500 and counts["of_recoveries"] > 50


def test_every_power_cut_of_a_large_change_set_leaves_old_or_new() -> None:
    """One whose small old files are copied, not linked."""
    counts = _enumerate(4, _sessions(4), "test_long_every_power_cut_leaves_old_or_new", 1, 10)
    assert counts["states"] > 500 and counts["of_recoveries"] > 50


@pytest.mark.long
@pytest.mark.timeout(0)
def test_long_every_power_cut_leaves_old_or_new(states_seed: int) -> None:
    counts = _enumerate(states_seed, _sessions(states_seed), "test_long_every_power_cut_leaves_old_or_new", 2, 40)
    assert counts["states"] > 500 and counts["of_recoveries"] > 50


SMALLEST: dict[str, Case] = {
    "a file and its directory come": ({}, (FileChange.create("d/a", b"new"),), {"d": Folder(), "d/a": File(b"new")}),
    "a file and its directory go": ({"d": Folder(0o711), "d/a": File(b"old")}, (FileChange.delete("d/a", b"old"),), {}),
    "a file changes": ({"a": File(b"old")}, (FileChange.update("a", b"old", b"new"),), {"a": File(b"new")}),
    "a file moves": ({"a": File(b"old")}, (FileChange.rename("a", "b", b"old"),), {"b": File(b"old")}),
    "a file takes a directory's place": (
        {"d": Folder(0o750), "d/a": File(b"old")},
        (FileChange.rename("d/a", "d", b"old"),),
        {"d": File(b"old")},
    ),
    "a directory takes a file's place": (
        {"a": File(b"old")},
        (FileChange.rename("a", "a/b", b"old"),),
        {"a": Folder(), "a/b": File(b"old")},
    ),
}


def _dying_anywhere(name: str, ways: tuple[str, ...], share: float) -> Iterator[Session]:
    this, rng = SMALLEST[name], random.Random(name)
    assert applied(this[0], this[1]) == this[2]
    for how in ways:
        session = WAYS[how](this)
        yield session
        for at, call in enumerate(session.calls):
            # In the middle of applying and undoing is where the next process has most to do.
            if call.phase in ("apply", "undo") or rng.random() < share:
                yield died(this, how, at)


@pytest.mark.parametrize("name", ["a file and its directory go"])
def test_the_smallest_changes_dying_anywhere(name: str) -> None:
    _enumerate(0, _dying_anywhere(name, ("kept",), 0.0), "the_smallest_changes", 1, 10)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", SMALLEST)
def test_long_the_smallest_changes_dying_anywhere(name: str) -> None:
    _enumerate(0, _dying_anywhere(name, tuple(WAYS), 0.1), "long_the_smallest_changes", 2, 100)


def test_a_journal_that_rotted_is_set_aside_whole_and_once(seed: int) -> None:
    """What was told to lie in quarantine is there for good, though the one rename has two sides."""
    with mounted():
        for model, whole in ((Model.ORDERED, True), (Model.REORDERED, True), (Model.TORN, False)):
            done = enumerate_session(set_aside(case(seed), whole=whole), model, random.Random(seed))
            assert done.states > 2 and not done.violations, done.violations[:1]
