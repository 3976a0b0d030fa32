"""Quarantine is seen: ``status`` lists it, ``doctor`` says what to do about each, ``gc`` leaves it alone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES
from tests.interfaces.cli.test_commands import run

OLD = "one\ntwo\nthree\n"


@pytest.fixture
def quarantined(cli: Any, workspace: Path) -> Path:
    """A workspace in which ``broken/a.md`` was edited while the change to it was checked, which failed."""
    policy = workspace / "agent/policies/default.yaml"
    failing = policy.read_text().split("  failing:\n")[1].split("    argv: ")[1].split("\n")[0]
    policy.write_text(policy.read_text().replace(failing, '[sh, -c, "echo theirs >> broken/a.md; exit 1"]'))
    (workspace / "broken").mkdir()
    (workspace / "broken/a.md").write_text(OLD)
    answer = run(cli, workspace, UPDATE_NOTES.replace(b"notes.md", b"broken/a.md"))
    assert answer["status"] == "conflict"
    return workspace


def listed(cli: Any, workspace: Path) -> list[dict[str, Any]]:
    return cli("-C", workspace, "status", "--json").json["quarantined"]  # type: ignore[no-any-return]


def findings(cli: Any, workspace: Path) -> list[dict[str, Any]]:
    found = cli("-C", workspace, "doctor", "--json").json["findings"]
    return [one for one in found if one["code"] == "QUARANTINED"]


def test_status_lists_path_execution_size_and_date(cli: Any, quarantined: Path) -> None:
    (one,) = listed(cli, quarantined)
    (entry,) = cli("-C", quarantined, "log", "--json").json["executions"]
    assert (one["path"], one["execution_id"], one["holds"]) == ("broken/a.md", entry["execution_id"], "old_content")
    assert one["size"] == len(OLD)
    assert one["kept_at"][:16] == entry["finished_at"][:16] or one["kept_at"] < entry["finished_at"]
    assert (quarantined / one["place"]).read_text() == OLD
    text = cli("-C", quarantined, "status").text
    assert "in quarantine (1)" in text and "broken/a.md  14 bytes  20" in text and one["place"] in text


def test_doctor_says_what_to_do_and_it_is_the_right_thing(cli: Any, quarantined: Path) -> None:
    place = listed(cli, quarantined)[0]["place"]
    (one,) = findings(cli, quarantined)
    assert f"{place} holds what broken/a.md held before the change" in one["message"]
    assert f"diff {place} broken/a.md" in one["hint"]
    (quarantined / "broken/a.md").unlink()
    assert f"move {place} there to put it back" in findings(cli, quarantined)[0]["hint"]
    (quarantined / "broken/a.md").write_text(OLD)
    assert f"holds exactly this at broken/a.md: delete {place}" in findings(cli, quarantined)[0]["hint"]
    assert listed(cli, quarantined)[0]["in_place"] is True
    (quarantined / place).unlink()
    assert findings(cli, quarantined) == []
    assert "quarantine" not in cli("-C", quarantined, "status").text


def test_clean_up_leaves_it_and_what_explains_it(cli: Any, quarantined: Path) -> None:
    before = listed(cli, quarantined)
    for _ in range(2):
        done = cli("-C", quarantined, "gc", "--keep-days", "0", "--keep-count", "0", "--json")
        assert done.json["executions"] == []
    assert listed(cli, quarantined) == before
    (quarantined / before[0]["place"]).unlink()
    gone = cli("-C", quarantined, "gc", "--keep-days", "0", "--keep-count", "0", "--json").json["executions"]
    assert gone == [before[0]["execution_id"]]


def test_whatever_else_lies_there_is_listed_and_not_touched(cli: Any, quarantined: Path, tmp_path: Path) -> None:
    directory = quarantined / ".lonelycat/quarantine"
    (known,) = listed(cli, quarantined)
    (directory / "a note").write_text("mine")
    (directory / "exec_01k0000000000000000000000a.000007.old").write_text("of an execution that is gone")
    (directory / f"{known['execution_id']}.000099.new").write_text("a number that it does not have")
    (directory / f"{known['execution_id']}.000000.new.1").write_text("theirs")
    (directory / "exec_01k0000000000000000000000a.transaction").mkdir()
    (directory / "exec_x.000000.old\n\x1b[31m").write_text("hostile name")
    os.mkfifo(directory / f"{known['execution_id']}.000000.undo")
    (directory / "link").symlink_to(tmp_path)
    found = {one["place"].rpartition("/")[2]: one for one in listed(cli, quarantined)}
    assert len(found) == 9
    holds = {name: (one["holds"], one["path"], one["size"]) for name, one in found.items()}
    assert holds["a note"] == ("unknown", None, 4)
    assert holds["link"] == ("unknown", None, None)
    assert holds["exec_01k0000000000000000000000a.000007.old"] == ("old_content", None, 28)
    assert holds["exec_01k0000000000000000000000a.transaction"] == ("transaction", None, None)
    assert holds[f"{known['execution_id']}.000099.new"] == ("outside_content", None, 30)
    assert holds[f"{known['execution_id']}.000000.new.1"] == ("outside_content", "broken/a.md", 6)
    assert holds[f"{known['execution_id']}.000000.undo"] == ("outside_content", "broken/a.md", None)
    assert len(findings(cli, quarantined)) == 9
    assert all(one["hint"] for one in findings(cli, quarantined))
    assert any("unfreeze" in one["hint"] for one in findings(cli, quarantined))
    for command in ("status", "doctor"):
        assert "\x1b[31m" not in cli("-C", quarantined, command).text
    assert len(list(directory.iterdir())) == 9


@pytest.mark.parametrize("what", ["link", "file", "fifo"])
def test_a_quarantine_that_is_no_directory(cli: Any, quarantined: Path, tmp_path: Path, what: str) -> None:
    directory = quarantined / ".lonelycat/quarantine"
    directory.rename(tmp_path / "aside")
    if what == "link":
        directory.symlink_to(tmp_path / "aside")
    elif what == "file":
        directory.write_text("x")
    else:
        os.mkfifo(directory)
    assert listed(cli, quarantined) == []


def test_an_edited_history_does_not_hide_it(cli: Any, quarantined: Path) -> None:
    with closing(sqlite3.connect(quarantined / ".lonelycat/lonelycat.db")) as database, database:
        database.execute("DELETE FROM execution_paths")
    assert listed(cli, quarantined)[0]["path"] == "broken/a.md"
