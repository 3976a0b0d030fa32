"""(e) One thing wrong with the protocol at a time: the crash states must tell, or it must be harmless and say why.

Each barrier is taken out and each two neighbouring steps whose order could matter are swapped. Nothing here counts
calls: a step is found by what it acts on (``protocol.py``), and one that is gone fails the table.
"""

from __future__ import annotations

import pytest
from tests.crash.descriptors import mounted
from tests.crash.mutations import MUTATIONS, SEEDS, Model, Mutation, intact, noticed, sessions, taken_out
from tests.crash.protocol import steps
from tests.tally import tally

SLICE = [mutation for mutation in MUTATIONS if mutation.caught_by][::6]


@pytest.mark.parametrize("mutation", SLICE, ids=lambda mutation: mutation.what)
def test_the_weakest_model_notices_that(mutation: Mutation) -> None:
    with mounted():
        assert noticed(mutation, mutation.caught_by[-1])


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_long_every_model_notices_what_the_table_says(mutation: Mutation) -> None:
    with mounted():
        found = {model: noticed(mutation, model) for model in Model}
    by = tuple(model for model in Model if found[model])
    tally(
        "protocol-mutations",
        mutations=1,
        caught=int(bool(by)),
        harmless=int(not by),
        violations=int(by != mutation.caught_by),
    )
    assert by == mutation.caught_by, f"{mutation.what}: noticed by {by}: {found}"


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("model", Model)
def test_long_with_nothing_wrong_nothing_is_noticed(model: Model) -> None:
    with mounted():
        assert not noticed(Mutation("nothing", intact, ()), model)


def test_every_barrier_that_the_executor_makes_is_taken_out_by_one() -> None:
    with mounted():
        recordings = [session for seed in SEEDS for session in sessions(seed)]
    barriers = {
        step
        for session in recordings
        for step, call in zip(steps(session), session.calls, strict=True)
        if call.barrier is not None
    }
    assert barriers == taken_out


def test_what_no_model_notices_says_why() -> None:
    assert all(bool(mutation.harmless) is not bool(mutation.caught_by) for mutation in MUTATIONS)
    assert len({mutation.what for mutation in MUTATIONS}) == len(MUTATIONS)
