"""Errors, clock, lifecycle, settings and the shipped files."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lonelycat import errors
from lonelycat.clock import RandomIds, SystemClock, isoformat
from lonelycat.errors import Category, LonelyCatError
from lonelycat.lifecycle import OUTCOMES, RUNNING, TRANSITIONS, Status, advance
from lonelycat.settings import Limits, Settings, child_environment
from lonelycat.shipped import shipped_bytes

# -- errors ----------------------------------------------------------------------------------------------------------

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LonelyCatError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_carries_code_message_hint_and_category(kind: type[LonelyCatError]) -> None:
    error = kind("SOME_CODE", "what happened", "what to do", details={"n": 1})
    assert (error.code, error.message, error.hint, error.details) == (
        "SOME_CODE",
        "what happened",
        "what to do",
        {"n": 1},
    )
    assert str(error) == "SOME_CODE: what happened" and isinstance(error.category, Category)
    assert kind("X", "y").details == {} and kind("X", "y").details is not kind("X", "y").details


def test_details_are_a_copy() -> None:
    given = {"a": 1}
    error = LonelyCatError("X", "y", details=given)
    given["a"] = 2
    assert error.details == {"a": 1}


def test_codes_in_the_source_are_upper_case_and_have_a_message() -> None:
    root = Path(errors.__file__).parent
    names = "|".join(kind.__name__ for kind in KINDS)
    raised = re.compile(rf'(?:{names})\(\s*"([^"]+)"')
    codes = [code for path in root.rglob("*.py") for code in raised.findall(path.read_text(encoding="utf-8"))]
    assert len(codes) > 50
    assert [code for code in codes if not re.fullmatch(r"[A-Z][A-Z0-9_]+", code)] == []


# -- clock -----------------------------------------------------------------------------------------------------------


class _At:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def test_the_system_clock_tells_utc_and_goes_on() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    before = clock.monotonic()
    clock.sleep(0)
    assert clock.monotonic() >= before


def test_ids_are_unique_well_formed_and_sort_by_time() -> None:
    clock = _At(datetime(2030, 1, 1, tzinfo=UTC))
    ids = RandomIds(clock)
    made = []
    for _ in range(200):
        made.append(ids.new("exec"))
        clock.sleep(0.001)
    assert made == sorted(made) and len(set(made)) == 200
    assert all(re.fullmatch(r"exec_[0-9a-hjkmnp-tv-z]{26}", each) for each in made)
    assert len({ids.new("x") for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "2030-01-02T03:04:05.000000Z"),
        (datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))), "2030-01-02T01:04:05.000006Z"),
    ],
)
def test_there_is_one_spelling_of_a_moment(moment: datetime, text: str) -> None:
    assert isoformat(moment) == text and datetime.fromisoformat(text) == moment


# -- lifecycle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("current", "following"), list(itertools.product(Status, Status)))
def test_only_moves_of_the_table_are_possible(current: Status, following: Status) -> None:
    if following in TRANSITIONS[current]:
        assert advance(current, following) is following
        return
    with pytest.raises(LonelyCatError, match="ILLEGAL_TRANSITION"):
        advance(current, following)


def test_every_state_is_in_the_table_and_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS) == set(Status)
    reached = {Status.PROPOSED}
    while more := {each for state in reached for each in TRANSITIONS[state]} - reached:
        reached |= more
    assert reached == set(Status)
    assert all(current not in following for current, following in TRANSITIONS.items())
    ends = {state for state, following in TRANSITIONS.items() if not following}
    assert ends == OUTCOMES - {Status.INDETERMINATE} | {Status.DENIED}


def test_a_running_execution_can_always_end_and_never_as_kept_before_its_checks() -> None:
    for state in RUNNING:
        assert TRANSITIONS[state] & OUTCOMES
    waiting = {Status.WATCHING, Status.AWAITING_CONFIRMATION}
    touched = {Status.APPLYING, Status.RESTARTING, Status.VERIFYING, Status.HEALTH_CHECKING, *waiting}
    for state in touched:
        assert {Status.ROLLED_BACK, Status.ROLLBACK_FAILED, Status.CONFLICT} <= TRANSITIONS[state]
        assert Status.REJECTED not in TRANSITIONS[state], "something was touched"
    into_completed = {state for state, following in TRANSITIONS.items() if Status.COMPLETED in following}
    assert into_completed <= {Status.VERIFYING, Status.HEALTH_CHECKING, Status.INDETERMINATE, *waiting}
    order = [Status.HEALTH_CHECKING, Status.WATCHING, Status.AWAITING_CONFIRMATION]
    for state, earlier in zip(order[1:], order, strict=False):
        assert state in TRANSITIONS[earlier] and earlier not in TRANSITIONS[state], "no way back to an earlier check"


# -- settings --------------------------------------------------------------------------------------------------------


def test_without_an_environment_everything_lies_in_the_workspace(tmp_path: Path) -> None:
    settings = Settings.for_workspace(tmp_path / "x" / "..", {})
    root = tmp_path.resolve()
    assert settings.workspace == root
    assert settings.state_dir == settings.local_dir == root / ".lonelycat"
    assert settings.policy_path == root / "agent/policies/default.yaml"
    assert (settings.database_url, settings.approver_key) == (None, None) and settings.user
    assert settings.limits == Limits()


def test_each_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.for_workspace(
        tmp_path,
        {
            "LONELYCAT_STATE_DIR": str(tmp_path / "state"),
            "LONELYCAT_POLICY": "other.yaml",
            "LONELYCAT_DATABASE_URL": "postgresql://x",
            "LONELYCAT_APPROVER_KEY": "/k",
            "LOGNAME": "l",
            "USER": "u",
            "SUDO_USER": "s",
        },
    )
    assert settings.state_dir == (tmp_path / "state").resolve()
    assert settings.local_dir == tmp_path.resolve() / ".lonelycat"
    assert settings.policy_path == tmp_path.resolve() / "other.yaml"
    assert (settings.database_url, settings.approver_key, settings.user) == ("postgresql://x", Path("/k"), "s")
    assert Settings.for_workspace(tmp_path, {"LOGNAME": "l", "USER": "u"}).user == "u"
    assert Settings.for_workspace(tmp_path, {"LOGNAME": "l"}).user == "l"
    assert Settings.for_workspace(tmp_path, {"LONELYCAT_POLICY": "/etc/p.yaml"}).policy_path == Path("/etc/p.yaml")


def test_the_process_own_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONELYCAT_DATABASE_URL", "sqlite:///x")
    assert Settings.for_workspace(tmp_path).database_url == "sqlite:///x"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        Settings.for_workspace(tmp_path, {}).workspace = tmp_path  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Limits().max_changes = 5  # type: ignore[misc]


def test_a_child_gets_only_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s")
    monkeypatch.setenv("WANTED", "w")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("TZ", raising=False)
    found = child_environment({"EXTRA": "e", "PATH": "/other"}, ("WANTED", "ABSENT"))
    assert found["WANTED"] == "w" and found["EXTRA"] == "e" and found["PATH"] == "/other"
    assert not {"SECRET_TOKEN", "ABSENT", "TZ"} & set(found)
    assert child_environment({})["PATH"] == "/bin"


# -- shipped files ---------------------------------------------------------------------------------------------------


def test_the_shipped_files_are_those_of_the_checkout() -> None:
    root = Path(__file__).parents[3]
    assert shipped_bytes("default.yaml") == (root / "agent/policies/default.yaml").read_bytes()
    assert shipped_bytes("execute_changeset.md") == (root / "agent/workflows/execute_changeset.md").read_bytes()
    with pytest.raises(KeyError):
        shipped_bytes("other")
