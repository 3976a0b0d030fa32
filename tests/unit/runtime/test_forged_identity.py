"""A journal that does not say whose transaction it is, is damage: told, kept aside, and never an unforeseen error."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.acceptance.ground import Ground
from tests.forged_journals import GONE, HOSTILE, Place, forge, frames_of, places, with_other
from tests.unit.runtime.dying import assert_dies, die

from lonelycat import FileChange, LonelyCat, LonelyCatError
from lonelycat.errors import StateError
from lonelycat.executor.recovery import RecoveryOutcome
from lonelycat.executor.transaction import Transaction
from lonelycat.lifecycle import Status
from lonelycat.runtime import finishing
from lonelycat.runtime.transaction_identity import read_identity, read_result


def _die(ground: Ground, *, after_commit: bool) -> None:
    plan_id = ground.keep([FileChange.update("app/settings.txt", "old\n", "new\n")]).plan.id
    with pytest.MonkeyPatch.context() as patch:
        if after_commit:
            patch.setattr(Transaction, "clean_up", die)
            patch.setattr(finishing.Finisher, "_record", die)
        else:
            patch.setattr(Transaction, "commit", die)
        assert_dies(lambda: ground.cat().execute(plan_id))


@pytest.fixture(params=["before the commit point", "after it"])
def left(request: pytest.FixtureRequest, begun: Ground) -> Ground:
    """A workspace in which an executor died, before or after the commit point."""
    _die(begun, after_commit=request.param == "after it")
    return begun


def _journal(ground: Ground) -> Path:
    (execution_id,) = ground.leftovers()
    return ground.root / ".lonelycat/tx" / execution_id / "journal"


def test_a_whole_one_is_read_as_it_was_written(left: Ground) -> None:
    frames = frames_of(_journal(left).read_bytes())
    (execution_id,) = left.leftovers()
    written = frames[0]["body"]["identity"]
    assert read_identity(written, execution_id).model_dump(mode="json") == written
    for frame in frames[1:]:
        if frame["type"] == "committed":
            assert read_result(frame["body"], execution_id).model_dump(mode="json") == frame["body"]["result"]


def test_any_other_is_damage_or_says_what_it_says(left: Ground) -> None:
    (execution_id,) = left.leftovers()
    frames = frames_of(_journal(left).read_bytes())
    refused = 0
    for said, read in ((frames[0]["body"]["identity"], read_identity), (frames[-1]["body"], read_result)):
        for place in [place for place in places(said) if place]:
            for value in HOSTILE:
                try:
                    read(with_other(said, place, value), execution_id)
                except StateError as error:
                    assert error.code == "JOURNAL_DAMAGED" and error.hint
                    refused += 1
    assert refused > 700


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((), {}),
        (("plan",), GONE),
        (("plan",), {}),
        (("plan", "id"), "../plan"),
        (("execution_id",), "exec_another"),
        (("ttl_seconds",), "soon"),
        (("approvals",), None),
        (("started_at",), "yesterday"),
        (("started_at",), "0001-01-01T00:00:00+14:00"),
        (("files_changed",), 7),
        (("files_changed", 0), "../victim"),
        (("checksum",), 7),
    ],
)
def test_what_cannot_be_recorded_is_not_taken_back_either(left: Ground, place: Place, value: Any) -> None:
    before, execution_id = left.tree(), left.leftovers()[0]
    whole = frames_of(_journal(left).read_bytes())[0]["body"]["identity"]
    other = value if not place else with_other(whole, place, value)
    forge(_journal(left), lambda frames: frames[0]["body"].update(identity=other))
    (found,) = left.cat().recover().recovered
    assert found.outcome is RecoveryOutcome.DAMAGED and found.message
    assert left.tree() == before and left.leftovers() == []
    frozen = left.cat().status().frozen
    assert frozen is not None and "quarantine" in frozen.reason and frozen.execution_id == execution_id
    assert left.cat().log() == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((), {"status": "completed"}),
        (("execution_id",), "exec_another"),
        (("steps", 1, "name"), "\ud800"),
        (("steps", 1, "duration_seconds"), float("nan")),
        (("fence",), 2**64),
        (("finished_at",), "9999-12-31T23:59:59-14:00"),
    ],
)
def test_a_result_that_cannot_be_recorded_is_damage(begun: Ground, place: Place, value: Any) -> None:
    _die(begun, after_commit=True)

    def change(frames: list[dict[str, Any]]) -> None:
        result = frames[-1]["body"]["result"]
        frames[-1]["body"]["result"] = with_other(result, place, value) if place else value

    forge(_journal(begun), change)
    (found,) = begun.cat().recover().recovered
    assert found.outcome is RecoveryOutcome.DAMAGED and begun.cat().status().frozen is not None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_recovery_ends_in_an_answer_whatever_one_field_says(left: Ground, tmp_path: Path, data: st.DataObject) -> None:
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(left.root, copy, symlinks=True)
    (execution_id,) = left.leftovers()
    journal = copy / ".lonelycat/tx" / execution_id / "journal"
    frames = frames_of(journal.read_bytes())
    place = data.draw(st.sampled_from([place for place in places(frames) if len(place) > 1]))
    forged = with_other(frames, place, data.draw(st.sampled_from(HOSTILE)))
    forge(journal, lambda frames: frames.__setitem__(slice(None), forged))
    cat = LonelyCat.open(copy)
    try:
        (found,) = cat.recover().recovered
    except LonelyCatError as error:
        assert error.code in ("JOURNAL_VERSION", "FENCE_STALE") and error.hint
        return
    if found.outcome is RecoveryOutcome.DAMAGED:
        assert cat.status().frozen is not None
    else:
        assert [row.result.status for row in cat.log()] in ([Status.COMPLETED], [Status.ROLLED_BACK], [Status.CONFLICT])
