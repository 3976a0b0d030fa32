"""``lonelycat policy pins`` from the outside: what it prints, proposes and refuses, and ``init --offline``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.test_pin_reading import CI, Upstream

WORKFLOW = ".github/workflows/ci.yml"


@pytest.fixture
def pinned(tmp_path: Path, cli: Any) -> tuple[Path, Path, str]:
    """Return a workspace that pins an action by commit, the mirrors that know it, and the commit."""
    mirrors = tmp_path / "mirrors"
    commit = Upstream(mirrors).commit("one", "v1.0.0")
    root = tmp_path / "pinned"
    (root / ".github/workflows").mkdir(parents=True)
    (root / WORKFLOW).write_text(CI.format(commit, "v1.0.0"))
    done = cli("-C", root, "init", "--offline", "--json")
    assert done.code == 0 and "nothing is known offline" in done.json["summary"][-1], done
    return root, mirrors, commit


def test_it_proposes_what_it_read(cli: Any, pinned: tuple[Path, Path, str]) -> None:
    root, mirrors, _ = pinned
    facts = cli("-C", root, "policy", "pins", "--from", mirrors, "--json")
    assert facts.code == 3
    assert (facts.json["verdict"], facts.json["path"]) == ("NEED_APPROVAL", "agent/policies/pins.json")
    assert (facts.json["pinned"], facts.json["known"], facts.json["unseen"]) == (1, 1, {})
    shown = cli("-C", root, "policy", "pins", "--from", mirrors)
    assert "1 of 1 pinned commits" in shown.text and "a person has to approve" in shown.text
    assert cli("-C", root, "show", facts.json["plan_id"], "--json").json["created_by"] == "lonelycat:pins"


def test_it_prints_the_file(cli: Any, pinned: tuple[Path, Path, str]) -> None:
    root, mirrors, commit = pinned
    printed = cli("-C", root, "policy", "pins", "--from", mirrors, "--print")
    assert printed.code == 0
    assert json.loads(printed.out) == {"format": 1, "repositories": {"acme/setup": {"v1.0.0": commit}}}
    (root / "agent/policies/pins.json").write_bytes(printed.out)
    again = cli("-C", root, "policy", "pins", "--from", mirrors, "--json")
    assert again.code == 0 and again.json["plan_id"] is None


def test_a_place_is_meant_from_where_the_command_runs(cli: Any, pinned: tuple[Path, Path, str]) -> None:
    root, mirrors, _ = pinned
    facts = cli("-C", root, "policy", "pins", "--from", f"../{mirrors.name}", "--json", cwd=root)
    assert (facts.code, facts.json["known"], facts.json["unseen"]) == (3, 1, {})
    intent = cli("-C", root, "show", facts.json["plan_id"], "--json").json["intent"]
    assert str(mirrors) in intent, "whoever approves it reads from where, wherever they are"


def test_where_nobody_answers_it_says_so(cli: Any, pinned: tuple[Path, Path, str], tmp_path: Path) -> None:
    root, _, _ = pinned
    refused = cli("-C", root, "policy", "pins", "--from", tmp_path / "gone", "--json")
    assert refused.code != 0 and refused.json["code"] == "PINS_UNREACHABLE" and "--from" in refused.json["hint"]
    (root / WORKFLOW).write_text(CI.format("v1", "x"))
    none = cli("-C", root, "policy", "pins", "--json")
    assert (none.code, none.json["code"]) == (2, "PINS_NONE")


def test_known_pins_that_nobody_asked_for_are_not_adopted_in_silence(cli: Any, tmp_path: Path) -> None:
    """They belong to the policy that ``init`` adopts, and say what somebody wrote who was there before it."""
    root, commit = tmp_path / "seeded", "1" * 40
    pins = root / "agent/policies/pins.json"
    (root / ".github/workflows").mkdir(parents=True)
    (root / WORKFLOW).write_text(CI.format(commit, "v1.0.0"))
    pins.parent.mkdir(parents=True)
    pins.write_text(json.dumps({"format": 1, "repositories": {"acme/setup": {"v1.0.0": commit}}}))
    before = pins.read_bytes()
    done = cli("-C", root, "init", "--offline", "--json")
    assert (done.code, done.json["kept"], pins.read_bytes()) == (0, ["agent/policies/pins.json"], before)
    assert "was there before" in done.json["summary"][-1], "and nothing that was read is said of it"
    again = cli("-C", root, "init", "--offline", "--json")
    assert again.json["kept"][:2] == ["agent/policies/pins.json", "agent/policies/default.yaml"]
