"""The file of known pins: made by ``init`` or proposed, adopted by a person, and then what lets a commit pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.acceptance.ground import POLICY_PATH, Ground
from tests.unit.runtime.test_pin_reading import CI, Upstream

from lonelycat import FileChange, LonelyCat, LonelyCatError, Verdict
from lonelycat.governance.bumps.known_pins import KnownPins, render
from lonelycat.runtime import pin_reading, pinning
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.consent import TerminalConfirmation
from lonelycat.runtime.pinning import PROPOSER
from lonelycat.settings import Settings
from lonelycat.shipped import shipped_bytes

WORKFLOW = ".github/workflows/ci.yml"
PINS = str(Path(POLICY_PATH).with_name("pins.json"))


@pytest.fixture
def mirrors(tmp_path: Path) -> Path:
    return tmp_path / "mirrors"


@pytest.fixture
def commits(mirrors: Path) -> tuple[str, str]:
    upstream = Upstream(mirrors)
    one = upstream.commit("one", "v1.0.0")
    return one, upstream.commit("two", "v1.1.0", parent=one)


def _begin(ground: Ground, commits: tuple[str, str]) -> None:
    ground.begin({WORKFLOW: CI.format(commits[0], "v1.0.0"), "app/settings.txt": "old\n"})
    ground.keep((FileChange.create("docs/first.md", "first\n"),))


def _bump(commits: tuple[str, str]) -> tuple[FileChange, ...]:
    old, new = CI.format(commits[0], "v1.0.0"), CI.format(commits[1], "v1.1.0")
    return (FileChange.update(WORKFLOW, old.encode(), new.encode()),)


def _approve(ground: Ground, plan_id: str) -> None:
    cat = ground.cat()
    cat.approve(
        plan_id, by="human:owner", confirmation=TerminalConfirmation(cat.confirmation_phrase(plan_id), "/dev/p")
    )


def _trusted(ground: Ground) -> bool:
    return Wiring(Settings.for_workspace(ground.root)).policy().trusted


def test_a_person_lets_the_pins_be_known_and_then_a_commit_passes(
    ground: Ground, mirrors: Path, commits: tuple[str, str]
) -> None:
    _begin(ground, commits)
    held = ground.judge(_bump(commits)).decision
    assert held.verdict is Verdict.NEED_APPROVAL
    assert "nothing is known of the tags of acme/setup" in " ".join(reason.message for reason in held.reasons)
    report = ground.cat().policy_pins(base=str(mirrors))
    assert (report.path, report.read.pinned, report.read.known) == (PINS, 1, 1)
    assert report.judgement is not None and report.judgement.plan.created_by == PROPOSER
    assert str(mirrors) in report.judgement.plan.intent
    assert report.judgement.decision.verdict is Verdict.NEED_APPROVAL
    assert not (ground.root / PINS).exists(), "asking writes nothing"
    _approve(ground, report.judgement.plan.id)
    done = ground.cat().execute(report.judgement.plan.id)
    assert done.success, done
    assert json.loads((ground.root / PINS).read_bytes())["repositories"]["acme/setup"]["v1.1.0"] == commits[1]
    assert _trusted(ground), "what was approved is adopted with the policy"
    passed = ground.judge(_bump(commits)).decision
    assert passed.verdict is Verdict.ALLOW, passed.reasons
    assert "PIN_VERIFIED" in {reason.code for reason in passed.reasons}
    assert ground.cat().policy_pins(base=str(mirrors)).judgement is None, "nothing new to know"


def test_pins_that_were_written_by_hand_hold_everything(ground: Ground, commits: tuple[str, str]) -> None:
    _begin(ground, commits)
    decided = ground.judge((FileChange.create("docs/a.md", "a\n"),))
    assert decided.decision.verdict is Verdict.ALLOW
    forged = {"format": 1, "repositories": {"acme/setup": {"v1.0.0": commits[0], "v1.1.0": "e1" * 20}}}
    (ground.root / PINS).write_text(json.dumps(forged))
    bump = ground.judge(_bump((commits[0], "e1" * 20))).decision
    assert bump.verdict is Verdict.NEED_APPROVAL
    assert "POLICY_NOT_ADOPTED" in {reason.code for reason in bump.reasons}
    refused = ground.execute(decided)
    assert not refused.success and refused.error_code == "POLICY_CHANGED"


def test_a_change_of_the_pins_needs_a_person_wherever_the_policy_lies(
    ground: Ground, commits: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _begin(ground, commits)
    (ground.root / "rules").mkdir()
    (ground.root / "rules/mine.yaml").write_bytes((ground.root / POLICY_PATH).read_bytes())
    monkeypatch.setenv("LONELYCAT_POLICY", "rules/mine.yaml")
    decision = ground.judge((FileChange.create("rules/pins.json", '{"format": 1, "repositories": {}}\n'),)).decision
    assert decision.verdict is Verdict.NEED_APPROVAL
    assert {reason.rule for reason in decision.reasons if reason.code == "GOVERNANCE_PATH"} == {
        "builtin.policy_in_force"
    }


@pytest.mark.parametrize("data", [b"{}", b"\xff", b"[" * 100_000])
def test_pins_that_cannot_be_read_let_nothing_pass(ground: Ground, commits: tuple[str, str], data: bytes) -> None:
    _begin(ground, commits)
    (ground.root / PINS).write_bytes(data)
    note = ground.keep((FileChange.create("docs/a.md", "a\n"),))
    _approve(ground, note.plan.id)
    held = ground.judge(_bump(commits)).decision
    assert held.verdict is Verdict.NEED_APPROVAL
    assert "file of known pins" in " ".join(reason.message for reason in held.reasons if reason.code == "PIN_MOVED")


@pytest.mark.parametrize(("make", "code"), [("link", "PINS_UNREADABLE"), ("large", "PINS_TOO_LARGE")])
def test_pins_that_are_no_plain_file_close_the_workspace(
    ground: Ground, commits: tuple[str, str], make: str, code: str
) -> None:
    _begin(ground, commits)
    if make == "link":
        (ground.root / PINS).symlink_to("/dev/null")
    else:
        with (ground.root / PINS).open("wb") as file:
            file.truncate(64 << 20)
    with pytest.raises(LonelyCatError) as refused:
        ground.judge(_bump(commits))
    assert refused.value.code == code


def test_what_cannot_be_asked_this_time_stays_known(ground: Ground, mirrors: Path, commits: tuple[str, str]) -> None:
    other = Upstream(mirrors, "acme/other").commit("one", "v3")
    both = CI.format(commits[0], "v1.0.0") + f"      - uses: acme/other@{other} # v3\n"
    ground.begin({WORKFLOW: both, "app/settings.txt": "old\n"})
    report = ground.cat().policy_pins(base=str(mirrors))
    assert report.judgement is not None
    _approve(ground, report.judgement.plan.id)
    assert ground.cat().execute(report.judgement.plan.id).success
    (mirrors / "acme/other").rename(mirrors / "acme/gone")
    again = ground.cat().policy_pins(base=str(mirrors))
    assert again.judgement is None and set(again.read.unseen) == {"acme/other"}
    assert again.read.tags == {"acme/other": 1, "acme/setup": 2}


def test_nothing_pinned_and_nobody_there_are_said(ground: Ground, mirrors: Path, tmp_path: Path) -> None:
    ground.begin({WORKFLOW: CI.format("v1", "x"), "app/settings.txt": "old\n"})
    with pytest.raises(LonelyCatError) as refused:
        ground.cat().policy_pins(base=str(mirrors))
    assert refused.value.code == "PINS_NONE"
    (ground.root / WORKFLOW).write_text(CI.format("a1" * 20, "v1"))
    with pytest.raises(LonelyCatError) as unreachable:
        ground.cat().policy_pins(base=str(mirrors))
    assert unreachable.value.code == "PINS_UNREACHABLE"


def _workspace(tmp_path: Path, commit: str) -> Path:
    root = tmp_path / "own"
    (root / ".github/workflows").mkdir(parents=True)
    (root / WORKFLOW).write_text(CI.format(commit, "v1.0.0"))
    return root


def test_init_knows_the_pins_from_the_start(
    tmp_path: Path, mirrors: Path, commits: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _workspace(tmp_path, commits[0])
    seen = pin_reading.see_pins
    monkeypatch.setattr(pinning, "see_pins", lambda names, **how: seen(names, **{**how, "base": str(mirrors)}))
    report = LonelyCat.open(root).init()
    assert PINS in report.created
    assert report.summary[-1] == "pins: 1 of 1 pinned commits are known by their tags"
    found = Wiring(Settings.for_workspace(root)).policy()
    assert found.trusted and found.loaded.pins.tags_of("acme/setup", commits[1]) == ("v1.1.0",)


def test_init_says_what_it_does_not_know(tmp_path: Path, mirrors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _workspace(tmp_path, "a1" * 20)
    asked: list[object] = []
    monkeypatch.setattr(pinning, "see_pins", lambda *names, **_: asked.append(names))
    offline = LonelyCat.open(root).init(offline=True)
    assert not asked and "nothing is known offline of acme/setup" in offline.summary[-1]
    assert not (root / PINS).exists()
    other = _workspace(tmp_path / "other", "a1" * 20)
    seen = pin_reading.see_pins
    monkeypatch.setattr(pinning, "see_pins", lambda names, **how: seen(names, **{**how, "base": str(mirrors)}))
    unreached = LonelyCat.open(other).init()
    assert "the tags could not be read of acme/setup" in unreached.summary[-1]
    assert not (other / PINS).exists()


CHECKOUT = "11bd71901bbe5b1630ceea73d27597364c9af683"
"""What actions/checkout's own v4.2.2 points to."""
MUCH_USED = f"""\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@{CHECKOUT} # v4.2.2
      - uses: acme/setup@{"a1" * 20} # v1.0.0
"""


def _much_used(root: Path) -> Path:
    (root / ".github/workflows").mkdir(parents=True)
    (root / WORKFLOW).write_text(MUCH_USED)
    return root


def test_what_is_shipped_is_known_where_nobody_can_be_asked(
    tmp_path: Path, mirrors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = pin_reading.see_pins
    monkeypatch.setattr(pinning, "see_pins", lambda names, **how: seen(names, **{**how, "base": str(mirrors)}))
    for name, offline in (("offline", True), ("unreached", False)):
        root = _much_used(tmp_path / name)
        report = LonelyCat.open(root).init(offline=offline)
        assert "1 of 2 pinned commits are known" in report.summary[-1]
        assert "only as this version of LonelyCat knew them: actions/checkout;" in report.summary[-1]
        found = Wiring(Settings.for_workspace(root)).policy().loaded.pins
        assert found.tags_of("actions/checkout", CHECKOUT) == ("v4.2.2",)
        assert set(found.repositories) == {"actions/checkout"}, "only what the workspace names is written down"


def test_what_its_owner_says_stands_against_what_is_shipped(tmp_path: Path, mirrors: Path) -> None:
    own = Upstream(mirrors, "actions/checkout").commit("one", "v4.2.2")
    root = _much_used(tmp_path / "own")
    LonelyCat.open(root).init(offline=True)
    report = LonelyCat.open(root).policy_pins(base=str(mirrors))
    assert report.read.shipped == ()
    assert b"v4.2.2" in report.read.data and own.encode() in report.read.data
    assert CHECKOUT.encode() not in report.read.data


def test_what_the_workspace_knew_stands_against_what_is_shipped(mirrors: Path) -> None:
    pins = pinning.pins_in(WORKFLOW, MUCH_USED.encode())
    before = {"actions/checkout": {"v9": "b2" * 20}}
    read = pinning.read_pins(pins, before, base=str(mirrors))
    assert read is not None
    assert (read.shipped, dict(read.tags), read.known) == ((), {"actions/checkout": 1}, 0)


def test_what_is_shipped_is_of_the_files_own_form() -> None:
    data = shipped_bytes("known_pins.json")
    assert not KnownPins(data).problem
    assert render(pinning.shipped_pins()) == data
    assert len(pinning.shipped_pins()) > 40
