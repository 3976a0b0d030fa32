"""``lonelycat status`` as a person and a program read it: all that waits is there, or counted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, create
from tests.interfaces.cli.test_commands import propose, run

from lonelycat import LonelyCat
from lonelycat.runtime.requests import ChangeRequest


def _clone_executed(workspace: Path, plan: str, times: int) -> None:
    """Store ``times`` newer plans like ``plan``, each executed as it was; nobody looks at those any more."""
    database = sqlite3.connect(workspace / ".lonelycat/lonelycat.db")
    for table, key, newer in (("proposals", "plan_id", "created_at"), ("executions", "execution_id", "finished_at")):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(f"{name} || ?1" if name in {key, "plan_id", newer} else name for name in columns)
        database.executemany(
            f"INSERT INTO {table} SELECT {values} FROM {table} WHERE plan_id = ?2",
            [(f"{number:05}", plan) for number in range(times)],
        )
    database.commit()
    database.close()


def test_no_plan_is_hidden_behind_newer_ones(cli: Any, workspace: Path) -> None:
    ready = propose(cli, workspace, create("docs/a.md"))["plan_id"]
    waiting = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    done = run(cli, workspace, UPDATE_NOTES)["plan_id"]
    _clone_executed(workspace, done, 150)
    facts = cli("-C", workspace, "status", "--json").json
    assert [item["plan_id"] for item in facts["approved"]] == [ready]
    assert [item["plan_id"] for item in facts["awaiting_approval"]] == [waiting]
    assert facts["not_listed"] == {"awaiting_approval": 0, "approved": 0, "void": 0}


def test_what_status_does_not_list_it_counts(cli: Any, workspace: Path) -> None:
    service = LonelyCat.open(workspace)
    patches = [create(f"docs/{number}.md") for number in range(103)]
    kept = [service.propose(ChangeRequest(patch, intent="write", by="agent:x")).plan.id for patch in patches]
    facts = cli("-C", workspace, "status", "--json").json
    assert [item["plan_id"] for item in facts["approved"]] == kept[:2:-1], "the newest first"
    assert facts["not_listed"] == {"awaiting_approval": 0, "approved": 3, "void": 0}
    shown = cli("-C", workspace, "status").text
    assert "ready to execute (103)" in shown and "… and 93 older ones" in shown
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + "# another one\n")
    facts = cli("-C", workspace, "status", "--json").json
    assert (len(facts["void"]), facts["not_listed"]) == (100, {"awaiting_approval": 0, "approved": 0, "void": 3})
    shown = cli("-C", workspace, "status").text
    assert "void (103)" in shown and "… and 100 older ones" in shown


@pytest.mark.parametrize("text", ["", "[]", "{", '{"expires_at": 1}', '{"expires_at": "soon"}', "null"])
def test_a_decision_that_was_edited_beyond_reading_hides_no_other(cli: Any, workspace: Path, text: str) -> None:
    ready = propose(cli, workspace, create("docs/a.md"))["plan_id"]
    edited = propose(cli, workspace, create("docs/b.md"))["plan_id"]
    with closing(sqlite3.connect(workspace / ".lonelycat/lonelycat.db")) as database:
        database.execute("UPDATE proposals SET decision = ? WHERE plan_id = ?", (text, edited))
        database.commit()
    facts = cli("-C", workspace, "status", "--json").json
    assert [item["plan_id"] for item in facts["approved"]] == [ready]
