"""A change set whose stored text lies in parts, from proposing it to taking it back, each time by another process."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, create
from tests.interfaces.cli.test_commands import propose

from lonelycat.changes import changeset, stored_form


@pytest.fixture
def long(cli: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the plan of a proposal of two changes that counts as long for the process that stores it."""
    with monkeypatch.context() as patch:
        patch.setattr(changeset, "_LONG", 2)
        patch.setattr(stored_form, "_TOGETHER", 1)
        plan = propose(cli, workspace, UPDATE_NOTES + create("added.md", "added\n"))["plan_id"]
    assert len(_sql(workspace, "SELECT text FROM changeset_parts")) == 4
    return str(plan)


def _sql(workspace: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(workspace / ".lonelycat/lonelycat.db")) as database, database:
        return database.execute(statement).fetchall()


def test_it_is_shown_executed_rebased_and_taken_back(process: Any, workspace: Path, long: str) -> None:
    def ok(*arguments: str) -> Any:
        done = process("-C", workspace, *arguments, "--json")
        assert done.code == 0, (arguments, done.out)
        return done.json

    ok("show", long)
    assert ok("propose", "--rebase", long)["rebased_from"] == long
    execution = ok("execute", long)["execution_id"]
    assert (workspace / "notes.md").read_text() == "one\nTWO\nthree\n"
    assert (workspace / "added.md").read_text() == "added\n"
    assert "+TWO" in ok("diff", execution)["diff"]
    ok("revert", execution, "--by", "maria")
    assert (workspace / "notes.md").read_text() == "one\ntwo\nthree\n" and not (workspace / "added.md").exists()
    for arguments in (("status",), ("log",), ("doctor",), ("audit", "verify"), ("gc",)):
        ok(*arguments)


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE changeset_parts SET text = replace(text, 'TWO', 'EVIL')",
        "DELETE FROM changeset_parts WHERE position = 2",
        "DELETE FROM changeset_parts",
    ],
)
def test_an_edited_part_is_refused_and_found(process: Any, workspace: Path, long: str, edit: str) -> None:
    _sql(workspace, edit)
    for arguments in (("execute", long), ("propose", "--rebase", long)):
        refused = process("-C", workspace, *arguments, "--json")
        assert (refused.code, refused.json["code"]) == (4, "STORED_CHANGESET_TAMPERED")
    assert (workspace / "notes.md").read_text() == "one\ntwo\nthree\n"
    verified = process("-C", workspace, "audit", "verify", "--json")
    assert verified.code == 4 and long in verified.json["problems"][0]["message"]
    assert process("-C", workspace, "doctor", "--json").code != 0
