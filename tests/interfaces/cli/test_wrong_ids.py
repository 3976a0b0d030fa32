"""A command that is meant for another thing, or another directory, says so and makes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES
from tests.interfaces.cli.test_commands import run

NOBODY = ("--by", "maria")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("revert", "exec_x", *NOBODY), 2),
        (("show", "exec_x"), 2),
        (("diff", "exec_x"), 2),
        (("execute", "plan_x"), 2),
        (("approve", "plan_x", *NOBODY), 2),
        (("confirm", "exec_x", *NOBODY), 2),
        (("release", "0" * 64, *NOBODY, "--reason", "x"), 2),
        (("unfreeze", *NOBODY, "--reason", "x"), 2),
        (("audit", "verify"), 2),
        (("audit", "export"), 2),
        (("recover",), 0),
        (("gc",), 0),
        (("gc", "--dry-run"), 0),
        (("log",), 0),
        (("status",), 0),
        (("drift",), 0),
        (("doctor",), 0),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_where_nothing_was_recorded_nothing_is_made(
    cli: Any, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = cli("-C", elsewhere, *words, "--json")
    assert done.code == code, done
    assert list(elsewhere.iterdir()) == [], "a directory that was not meant is left as it is"


def test_an_id_of_another_thing_is_told_what_it_belongs_to(cli: Any, workspace: Path) -> None:
    done = run(cli, workspace, UPDATE_NOTES)
    plan, execution = done["plan_id"], done["execution_id"]
    for words in (
        ("execute", execution),
        ("reject", done["changeset_id"], *NOBODY),
        ("propose", "--rebase", execution),
    ):
        refused = cli("-C", workspace, *words, "--json").json
        assert (refused["code"], plan in refused["hint"]) == ("PLAN_UNKNOWN", True), refused
    refused = cli("-C", workspace, "revert", plan, *NOBODY, "--json").json
    assert (refused["code"], execution in refused["hint"]) == ("EXECUTION_UNKNOWN", True), refused
    assert "status" in cli("-C", workspace, "execute", "plan_x", "--json").json["hint"]
