"""A person keeps a waiting change at a real terminal, sees how long is left, and releases one that had failed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.conftest import POLICY
from tests.interfaces.cli.samples import create

BY = ("--by", "agent:coder", "--intent", "change something")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def asking(workspace: Path) -> Path:
    policy = POLICY.replace(
        "  require_health_checks_for_risk: []\n", "  require_health_checks_for_risk: []\n  confirm: 5m\n"
    )
    (workspace / "agent/policies/default.yaml").write_text(policy)
    return workspace


def _plan(cli: Any, root: Path, patch: bytes) -> str:
    done = cli("-C", root, "propose", "--patch", "-", *BY, "--json", stdin=patch)
    assert done.code in (0, 3), done
    return str(done.json["plan_id"])


def _plain(shown: str) -> str:
    return _ESCAPES.sub("", shown)


def _waiting(terminal: Any, cli: Any, root: Path) -> tuple[Any, str]:
    plan = _plan(cli, root, create("docs/a.md"))
    running = terminal("-C", str(root), "execute", plan)
    running.until("lonelycat confirm exec_")
    found = re.search(r"lonelycat confirm (exec_\w+)", _plain(running.seen))
    assert found
    return running, found[1]


def _type_phrase(shown: Any, word: str) -> None:
    screen = _plain(shown.until("> "))
    found = re.search(rf"{word} [0-9a-f]{{8}}", screen)
    assert found, screen
    shown.type(found[0] + "\n")


def test_a_change_is_kept_by_typing_what_is_shown(cli: Any, terminal: Any, asking: Path) -> None:
    running, execution_id = _waiting(terminal, cli, asking)
    running.until("left, then the change goes back")
    status = cli("-C", asking, "status").text
    assert f"lonelycat confirm {execution_id} --by NAME" in status
    assert re.search(r"waits for a person (4 min|5 min)", status), status
    facts = cli("-C", asking, "status", "--json").json["awaiting_confirmation"]
    assert facts["execution_id"] == execution_id and 200 < facts["seconds_left"] <= 300
    shown_facts = cli("-C", asking, "show", execution_id, "--json").json
    assert shown_facts["status"] == "awaiting_confirmation"
    asked = terminal("-C", str(asking), "confirm", execution_id, "--by", "maria", "--note", "seen it")
    _type_phrase(asked, "confirm")
    assert asked.end() == 0
    assert "CONFIRMED" in asked.seen and "+hello" in _plain(asked.seen), "the diff of what is in place is shown"
    assert running.end() == 0
    assert "COMPLETED" in running.seen
    assert (asking / "docs/a.md").exists()


def test_anything_else_leaves_it_waiting_and_reject_takes_it_back(cli: Any, terminal: Any, asking: Path) -> None:
    running, execution_id = _waiting(terminal, cli, asking)
    for typed in ("yes\n", "confirm 00000000\n", "\x04"):
        asked = terminal("-C", str(asking), "confirm", execution_id, "--by", "maria")
        asked.until("> ")
        asked.type(typed)
        assert asked.end() == 4
        assert "CONFIRMATION_MISMATCH" in asked.seen
    own = terminal("-C", str(asking), "confirm", execution_id, "--by", "agent:coder")
    _type_phrase(own, "confirm")
    assert own.end() == 4
    assert "APPROVAL_BY_PROPOSER" in own.seen
    done = cli("-C", asking, "confirm", execution_id, "--by", "maria", "--reject", "--note", "ugly", "--json")
    assert (done.code, done.json["said"]) == (0, "take_back")
    assert running.end() == 6
    assert "ROLLED BACK" in running.seen and "CONFIRM_REJECTED" in running.seen
    late = cli("-C", asking, "confirm", execution_id, "--by", "maria", "--reject", "--json")
    assert (late.code, late.json["code"]) == (4, "CONFIRMATION_ENDED")
    unknown = cli("-C", asking, "confirm", "exec_01k0000000000000000000000a", "--by", "maria", "--reject", "--json")
    assert (unknown.code, unknown.json["code"]) == (2, "CONFIRMATION_UNKNOWN")


def test_without_a_terminal_or_a_key_nobody_confirms(process: Any, cli: Any, terminal: Any, asking: Path) -> None:
    running, execution_id = _waiting(terminal, cli, asking)
    done = process("-C", asking, "confirm", execution_id, "--by", "maria", "--json")
    assert (done.code, done.json["code"]) == (2, "APPROVAL_NEEDS_PERSON")
    running.press_ctrl_c()
    assert running.end() == 130
    assert "INTERRUPTED" in running.seen and "as they were" in running.seen
    assert not (asking / "docs/a.md").exists()


def test_a_failed_change_is_released_by_a_person(cli: Any, terminal: Any, process: Any, workspace: Path) -> None:
    patch = create("broken/a.md")
    plan = _plan(cli, workspace, patch)
    assert cli("-C", workspace, "execute", plan, "--json").code == 6
    again = cli("-C", workspace, "execute", plan, "--json")
    assert (again.code, again.json["code"]) == (3, "DIGEST_QUARANTINED")
    checked = cli("-C", workspace, "check", "--patch", "-", *BY, "--json", stdin=patch)
    assert (checked.code, checked.json["verdict"]) == (3, "NEED_APPROVAL")
    assert "DIGEST_QUARANTINED" in {reason["code"] for reason in checked.json["reasons"]}
    ran = cli("-C", workspace, "run", "--patch", "-", *BY, "--json", stdin=patch)
    assert ran.code == 3
    checksum = checked.json["checksum"]
    nobody = process("-C", workspace, "release", checksum, "--by", "maria", "--reason", "flaky", "--json")
    assert (nobody.code, nobody.json["code"]) == (2, "APPROVAL_NEEDS_PERSON")
    asked = terminal("-C", str(workspace), "release", checksum, "--by", "maria", "--reason", "flaky")
    _type_phrase(asked, "release")
    assert asked.end() == 0
    assert "RELEASED" in asked.seen
    assert cli("-C", workspace, "check", "--patch", "-", *BY, "--json", stdin=patch).code == 0
    log = cli("-C", workspace, "audit", "export").text
    assert any(json.loads(line)["type"] == "digest.released" for line in log.splitlines())


@pytest.mark.parametrize("command", ["confirm", "release"])
@pytest.mark.parametrize("identifier", ["", "x", "../../etc/passwd", "\ud800", "exec_" + "a" * 400, "' OR 1=1"])
def test_odd_identifiers_are_refused_in_words(cli: Any, workspace: Path, command: str, identifier: str) -> None:
    more = ["--reject"] if command == "confirm" else ["--reason", "r"]
    done = cli("-C", workspace, command, identifier, "--by", "maria", *more, "--json")
    assert done.code == 2
    assert done.json["code"] in ("CONFIRMATION_UNKNOWN", "NOT_QUARANTINED", "USAGE")
