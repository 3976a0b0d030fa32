"""``lonelycat revert`` of what was reverted already, or is proposed to be: it says so, and touches nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, create
from tests.interfaces.cli.test_commands import propose, run, tree

from lonelycat import LonelyCat
from lonelycat.runtime.consent import TerminalConfirmation

OLD, NEW = "one\ntwo\nthree\n", "one\nTWO\nthree\n"


def _revert(cli: Any, workspace: Path, execution: str, *more: str) -> Any:
    return cli("-C", workspace, "revert", execution, "--by", "maria", *more, "--json")


def _plans(cli: Any, workspace: Path) -> int:
    facts = cli("-C", workspace, "status", "--json").json
    return sum(len(facts[name]) for name in ("approved", "awaiting_approval", "void"))


def test_what_was_reverted_says_by_what_and_how_to_put_it_back(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, UPDATE_NOTES)["execution_id"]
    back = _revert(cli, workspace, first).json["execution_id"]
    before, plans = tree(workspace), _plans(cli, workspace)
    again = _revert(cli, workspace, first)
    assert (again.code, again.json["code"]) == (2, "ALREADY_REVERTED")
    assert f"{first} was reverted by {back} at 20" in again.json["message"]
    assert f"`lonelycat revert {back}`" in again.json["hint"]
    assert again.json["details"]["reverted_by"] == back
    assert (tree(workspace), _plans(cli, workspace)) == (before, plans), "nothing is touched, nothing proposed"
    assert cli("-C", workspace, "show", first, "--json").json["reverted_by"] == back
    shown = cli("-C", workspace, "show", first).text
    assert f"reverted by {back}" in shown and "is in place" not in shown
    assert _revert(cli, workspace, back).code == 0
    assert (workspace / "notes.md").read_text() == NEW


def test_a_change_that_goes_to_and_fro_is_followed(cli: Any, workspace: Path) -> None:
    chain = [run(cli, workspace, UPDATE_NOTES)["execution_id"]]
    for number in range(4):
        chain.append(_revert(cli, workspace, chain[-1]).json["execution_id"])
        assert chain[-1], number
        shown = cli("-C", workspace, "show", chain[0], "--json").json["reverted_by"]
        assert shown == (None if number % 2 else chain[-1]), "after every second one it stands again"
    third = _revert(cli, workspace, chain[0]).json["execution_id"]  # its change is in place
    assert (workspace / "notes.md").read_text() == OLD
    refused = _revert(cli, workspace, chain[0]).json
    assert refused["code"] == "ALREADY_REVERTED" and third in refused["message"]


def test_what_somebody_made_again_can_be_reverted_again(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, UPDATE_NOTES)["execution_id"]
    assert _revert(cli, workspace, first).code == 0
    (workspace / "notes.md").write_text(NEW)
    assert _revert(cli, workspace, first).code == 0
    assert (workspace / "notes.md").read_text() == OLD
    (workspace / "notes.md").write_text(NEW)
    (workspace / "notes.md").chmod(0o755)
    assert _revert(cli, workspace, first).json["code"] == "ALREADY_REVERTED", "another mode is not what it left"


def test_another_execution_of_the_same_change_is_not_the_reverted_one(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, UPDATE_NOTES)["execution_id"]
    assert _revert(cli, workspace, first).code == 0
    second = run(cli, workspace, UPDATE_NOTES)["execution_id"]
    assert cli("-C", workspace, "show", second, "--json").json["reverted_by"] is None
    (workspace / "notes.md").write_text("something else\n")
    conflict = _revert(cli, workspace, second)
    assert (conflict.code, conflict.json["code"]) == (5, "FILE_CHANGED"), "nobody has reverted this one"


def test_a_revert_that_was_reverted_has_taken_nothing_back(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, UPDATE_NOTES)["execution_id"]
    back = _revert(cli, workspace, first).json["execution_id"]
    assert _revert(cli, workspace, back).code == 0
    (workspace / "notes.md").write_text("something else\n")
    assert _revert(cli, workspace, first).json["code"] == "FILE_CHANGED"


@pytest.mark.parametrize("path", ["docs/a.md", "guarded/a.md"])
def test_a_revert_that_is_proposed_says_where_it_stands(cli: Any, workspace: Path, path: str) -> None:
    made = propose(cli, workspace, create(path))["plan_id"]
    if path.startswith("guarded"):
        service = LonelyCat.open(workspace)
        typed = TerminalConfirmation(service.confirmation_phrase(made), "/dev/pts/test")
        service.approve(made, by="human:owner", confirmation=typed)
    first = cli("-C", workspace, "execute", made, "--json").json["execution_id"]
    assert "proposed before" not in _revert(cli, workspace, first, "--propose-only").text
    earlier = cli("-C", workspace, "show", first, "--json").json["reverts_proposed"]
    assert len(earlier) == 1
    said = cli("-C", workspace, "revert", first, "--by", "bob", "--propose-only").text
    verb = "approve" if path.startswith("guarded") else "execute"
    assert "The same revert was proposed before, by maria" in said and f"lonelycat {verb} {earlier[0]}" in said
    assert f"a revert is proposed by maria: lonelycat show {earlier[0]}" in cli("-C", workspace, "show", first).text
    assert (workspace / path).exists()


def test_a_repeat_of_what_was_reverted_says_that_it_is_not_in_place(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    first = cli("-C", workspace, "execute", plan, "--json").json["execution_id"]
    repeat = cli("-C", workspace, "execute", plan, "--json").json
    assert (repeat["cached"], repeat["warnings"], repeat["hint"]) == (True, [], "")
    back = _revert(cli, workspace, first).json["execution_id"]
    repeat = cli("-C", workspace, "execute", plan, "--json").json
    assert (repeat["cached"], repeat["execution_id"]) == (True, first), "executed once, whatever became of it"
    assert f"the change was reverted since, by {back}" in repeat["warnings"][0]
    said = cli("-C", workspace, "execute", plan).text
    assert "the change was reverted since" in said and f"lonelycat revert {back}" in said
    assert f"revert {first}" not in said, "that would be refused"
    assert (workspace / "notes.md").read_text() == OLD


def _told(cli: Any, workspace: Path) -> dict[str, str | None]:
    """Return what `log` says took each execution back; `status` has to say the same of the last ones."""
    told = {one["execution_id"]: one["reverted_by"] for one in cli("-C", workspace, "log", "--json").json["executions"]}
    recent = cli("-C", workspace, "status", "--json").json["recent"]
    assert recent and all(one["reverted_by"] == told[one["execution_id"]] for one in recent)
    return told


def test_the_log_marks_what_was_reverted(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, UPDATE_NOTES)["execution_id"]
    other = run(cli, workspace, create("other.md"))["execution_id"]
    assert _told(cli, workspace) == {first: None, other: None}
    back = _revert(cli, workspace, first).json["execution_id"]
    assert _told(cli, workspace) == {first: back, other: None, back: None}
    for command in ("log", "status"):
        text = cli("-C", workspace, command).text
        (line,) = [line for line in text.splitlines() if f" {first} " in line]
        assert line.endswith(f"reverted by {back}") and text.count("reverted by") == 1
    forth = _revert(cli, workspace, back).json["execution_id"]
    assert _told(cli, workspace) == {first: None, other: None, back: forth, forth: None}


def test_the_log_marks_what_the_filters_leave_though_the_revert_is_not_among_it(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, UPDATE_NOTES)
    back = _revert(cli, workspace, first["execution_id"]).json["execution_id"]
    (entry,) = cli("-C", workspace, "log", "--plan", first["plan_id"], "--json").json["executions"]
    assert (entry["execution_id"], entry["reverted_by"]) == (first["execution_id"], back)


def test_the_log_of_a_change_that_goes_to_and_fro_agrees_with_show(cli: Any, workspace: Path) -> None:
    chain = [run(cli, workspace, UPDATE_NOTES)["execution_id"]]
    for _ in range(5):
        chain.append(_revert(cli, workspace, chain[-1]).json["execution_id"])
    told = _told(cli, workspace)
    assert told == {one: cli("-C", workspace, "show", one, "--json").json["reverted_by"] for one in chain}
    assert [told[one] for one in chain] == [chain[5], None, chain[5], None, chain[5], None]


@pytest.mark.parametrize(
    "edited", ['{"parent_execution_id":"', '["parent_execution_id":"x"]', '{"parent_execution_id":"exec_0"}']
)
def test_a_revert_whose_record_was_edited_marks_nothing(cli: Any, workspace: Path, edited: str) -> None:
    first = run(cli, workspace, UPDATE_NOTES)["execution_id"]
    back = _revert(cli, workspace, first).json
    with closing(sqlite3.connect(workspace / ".lonelycat/lonelycat.db")) as database, database:
        database.execute("UPDATE proposals SET plan = ? WHERE plan_id = ?", (edited, back["plan_id"]))
    assert _told(cli, workspace) == {first: None, back["execution_id"]: None}


def _guarded(cli: Any, workspace: Path) -> str:
    """Return an execution whose revert needs a person."""
    made = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    _approve(workspace, made)
    return str(cli("-C", workspace, "execute", made, "--json").json["execution_id"])


def _approve(workspace: Path, plan_id: str) -> None:
    service = LonelyCat.open(workspace)
    typed = TerminalConfirmation(service.confirmation_phrase(plan_id), "/dev/pts/test")
    service.approve(plan_id, by="human:owner", confirmation=typed)


def test_a_revert_that_waits_for_a_person_is_not_proposed_twice(cli: Any, workspace: Path) -> None:
    first = _guarded(cli, workspace)
    waits = _revert(cli, workspace, first)
    assert (waits.code, waits.json["code"]) == (3, "NEEDS_APPROVAL")
    plan, plans = waits.json["plan_id"], _plans(cli, workspace)
    for more in ((), ("--propose-only",), ("--intent", "In other words")):
        again = _revert(cli, workspace, first, *more)
        assert (again.code, again.json["code"], again.json["plan_id"]) == (3, "NEEDS_APPROVAL", plan)
        assert f"lonelycat approve {plan}" in again.json["hint"]
        assert f"proposed before, by maria, and waits for a person: lonelycat approve {plan}" in str(again.json)
    text = cli("-C", workspace, "revert", first, "--by", "bob").text
    assert "The same revert was proposed before, by maria" in text and f"lonelycat approve {plan}" in text
    assert _plans(cli, workspace) == plans and (workspace / "guarded/a.md").exists()


def test_a_revert_that_a_person_approved_is_executed_by_the_next_one(cli: Any, workspace: Path) -> None:
    first = _guarded(cli, workspace)
    plan = _revert(cli, workspace, first).json["plan_id"]
    _approve(workspace, plan)
    ready = _revert(cli, workspace, first, "--propose-only")
    assert (ready.code, ready.json["plan_id"], ready.json["hint"]) == (0, plan, f"lonelycat execute {plan}")
    assert (workspace / "guarded/a.md").exists()
    done = _revert(cli, workspace, first)
    assert (done.code, done.json["plan_id"], done.json["status"]) == (0, plan, "completed")
    assert not (workspace / "guarded/a.md").exists()
    assert _revert(cli, workspace, first).json["code"] == "ALREADY_REVERTED"


def test_a_revert_that_was_rejected_is_proposed_anew(cli: Any, workspace: Path) -> None:
    first = _guarded(cli, workspace)
    plan = _revert(cli, workspace, first).json["plan_id"]
    assert cli("-C", workspace, "reject", plan, "--by", "owner", "--note", "no").code == 0
    again = _revert(cli, workspace, first)
    assert (again.code, again.json["code"]) == (3, "NEEDS_APPROVAL")
    assert again.json["plan_id"] != plan and "proposed before" not in str(again.json)


def test_a_created_file_that_is_gone_says_that_nothing_is_left_to_undo(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, create("made.md") + UPDATE_NOTES)["execution_id"]
    (workspace / "made.md").unlink()
    before, plans = tree(workspace), _plans(cli, workspace)
    told = _revert(cli, workspace, first)
    assert (told.code, told.json["code"]) == (5, "FILE_MISSING")
    assert f"made.md, which {first} made, is gone already: nothing is left to undo for it" in told.json["message"]
    assert f"`lonelycat diff {first}`" in told.json["hint"]
    (conflict,) = told.json["details"]["conflicts"]
    assert (conflict["path"], conflict["found"]) == ("made.md", "nothing")
    assert (tree(workspace), _plans(cli, workspace)) == (before, plans), "nothing is touched, nothing proposed"
    (workspace / "made.md").write_text("hello\n")
    assert _revert(cli, workspace, first).code == 0
    assert (workspace / "notes.md").read_text() == OLD and not (workspace / "made.md").exists()


@pytest.mark.parametrize("waits", [False, True])
def test_where_all_is_as_before_there_is_nothing_to_revert(cli: Any, workspace: Path, waits: bool) -> None:
    first = (
        _guarded(cli, workspace) if waits else run(cli, workspace, create("guarded.md") + UPDATE_NOTES)["execution_id"]
    )
    if waits:
        assert _revert(cli, workspace, first).json["code"] == "NEEDS_APPROVAL"
    before = _plans(cli, workspace)
    for name in ("guarded.md", "guarded/a.md"):
        (workspace / name).unlink(missing_ok=True)
    (workspace / "notes.md").write_text(OLD)
    told = _revert(cli, workspace, first)
    assert (told.code, told.json["code"]) == (2, "NOTHING_TO_REVERT")
    assert f"nothing of {first} is left" in told.json["message"] and told.json["hint"]
    assert _plans(cli, workspace) == before
    assert cli("-C", workspace, "show", first, "--json").json["reverted_by"] is None


def test_a_deleted_file_that_somebody_made_again_is_nothing_to_revert(cli: Any, workspace: Path) -> None:
    patch = b"diff --git a/notes.md b/notes.md\ndeleted file mode 100644\n--- a/notes.md\n+++ /dev/null\n"
    first = run(cli, workspace, patch + b"@@ -1,3 +0,0 @@\n-one\n-two\n-three\n")["execution_id"]
    (workspace / "notes.md").write_text(OLD)
    assert _revert(cli, workspace, first).json["code"] == "NOTHING_TO_REVERT"
    (workspace / "notes.md").write_text("another\n")
    assert _revert(cli, workspace, first).json["code"] == "FILE_EXISTS"
    (workspace / "notes.md").unlink()
    (workspace / "notes.md").mkdir()
    assert _revert(cli, workspace, first).json["code"] not in ("NOTHING_TO_REVERT", None)
