"""A person approves at a real terminal, by typing what was shown; nothing else will do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.interfaces.cli.samples import create

BY = ("--by", "agent:coder", "--intent", "change \x1b[31msomething\u202e")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def waiting(cli: Any, workspace: Path, patch: bytes = create("guarded/a.md")) -> str:
    done = cli("-C", workspace, "propose", "--patch", "-", *BY, "--json", stdin=patch)
    assert done.code == 3, done
    return str(done.json["plan_id"])


def phrase_on(screen: str) -> str:
    found = re.search(r"approve [0-9a-f]{8}", _ESCAPES.sub("", screen))
    assert found, screen
    return found[0]


def test_typing_the_phrase_approves_exactly_what_was_shown(cli: Any, terminal: Any, workspace: Path) -> None:
    plan = waiting(cli, workspace)
    shown = terminal("-C", str(workspace), "approve", plan, "--by", "maria", "--note", "read it")
    screen = shown.until("> ")
    plain = _ESCAPES.sub("", screen)
    assert "NEED_APPROVAL" in plain
    assert "guarded/a.md" in plain
    assert "+hello" in plain
    assert "\x1b[32m+hello" in screen, "the diff is coloured"
    assert "\x1b[31msomething" not in screen, "the intent cannot colour anything"
    assert "change \\x1b[31msomething\\u202e" in plain
    shown.type(phrase_on(screen) + "\n")
    assert shown.end() == 0
    assert "APPROVED" in shown.seen
    facts = cli("-C", workspace, "show", plan, "--json").json
    (approval,) = facts["approvals"]
    assert (approval["method"], approval["approved_by"], approval["note"]) == ("terminal", "maria", "read it")
    assert "/dev/pts/" in approval["given_from"]
    assert cli("-C", workspace, "execute", plan, "--json").json["status"] == "completed"


def test_anything_else_leaves_the_plan_waiting(cli: Any, terminal: Any, workspace: Path) -> None:
    plan = waiting(cli, workspace)
    for typed in ("yes\n", "approve 00000000\n", "\n", "\x04"):
        shown = terminal("-C", str(workspace), "approve", plan, "--by", "maria")
        shown.until("> ")
        shown.type(typed)
        assert shown.end() == 4, typed
        assert "CONFIRMATION_MISMATCH" in shown.seen
    assert cli("-C", workspace, "show", plan, "--json").json["approvals"] == []


def test_nobody_is_asked_where_no_approval_would_count(cli: Any, terminal: Any, workspace: Path) -> None:
    def refused(plan: str) -> str:
        shown = terminal("-C", str(workspace), "approve", plan, "--by", "maria")
        assert shown.end() in (2, 4) and "type" not in shown.seen
        return " ".join(_ESCAPES.sub("", shown.seen).split())

    rejected = waiting(cli, workspace)
    cli("-C", workspace, "reject", rejected, "--by", "ada", "--note", "no")
    assert "PLAN_REJECTED" in refused(rejected)
    allowed = cli("-C", workspace, "propose", "--patch", "-", *BY, "--json", stdin=create("docs/a.md")).json["plan_id"]
    assert "APPROVAL_NOT_NEEDED" in refused(allowed) and f"lonelycat execute {allowed}" in refused(allowed)
    late = waiting(cli, workspace, create("guarded/b.md"))
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + "# another one\n")
    assert "POLICY_CHANGED" in refused(late) and f"--rebase {late}" in refused(late)


def test_ctrl_c_at_the_question_is_130_and_no_approval(cli: Any, terminal: Any, workspace: Path) -> None:
    plan = waiting(cli, workspace)
    shown = terminal("-C", str(workspace), "approve", plan, "--by", "maria")
    shown.until("> ")
    shown.press_ctrl_c()
    assert shown.end() == 130
    assert cli("-C", workspace, "show", plan, "--json").json["status"] == "awaiting_approval"


def test_the_proposer_cannot_approve(cli: Any, terminal: Any, workspace: Path) -> None:
    plan = waiting(cli, workspace)
    shown = terminal("-C", str(workspace), "approve", plan, "--by", "agent:coder")
    shown.type(phrase_on(shown.until("> ")) + "\n")
    assert shown.end() == 4
    assert "APPROVAL_" in shown.seen


def test_a_long_diff_is_shown_to_its_end_on_request(cli: Any, terminal: Any, workspace: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(400))
    plan = waiting(cli, workspace, create("guarded/long.md", text))
    shown = terminal("-C", str(workspace), "approve", plan, "--by", "maria")
    screen = shown.until("> ")
    assert "more lines of the diff" in screen
    assert "+line 399" not in screen
    shown.type("d\n")
    shown.until("+line 399")
    shown.type(phrase_on(screen) + "\n")
    assert shown.end() == 0
