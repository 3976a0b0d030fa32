"""``propose --rebase``: a new plan on today's content, or a conflict that names file, hunk and line."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, create, quiet_environment
from tests.interfaces.cli.test_commands import BY, propose, run, tree
from tests.interfaces.cli.test_conflicts import commit, conflicts

LONG = "".join(f"{number}\n" for number in range(1, 31))


def rebase(cli: Any, workspace: Path, plan: str) -> dict[str, Any]:
    return cli("-C", workspace, "propose", "--rebase", plan, "--json").json  # type: ignore[no-any-return]


def patch_of(workspace: Path, new: str, path: str = "long.txt") -> bytes:
    """Return git's diff of the file to ``new``, and leave the file as it was."""
    place = workspace / path
    before = place.read_bytes()
    place.write_text(new)
    environment = quiet_environment(workspace.parent)
    done = subprocess.run(["git", "diff", "--binary"], cwd=workspace, check=True, capture_output=True, env=environment)
    place.write_bytes(before)
    return done.stdout


@pytest.fixture
def long(workspace: Path) -> Path:
    """The workspace with a committed file of thirty lines."""
    (workspace / "long.txt").write_text(LONG)
    commit(workspace, "A long file")
    return workspace


def test_the_hunks_move_and_the_new_plan_runs(cli: Any, long: Path) -> None:
    new = LONG.replace("\n5\n", "\nfive\n").replace("\n25\n", "\nXXV\n")
    old = propose(cli, long, patch_of(long, new))
    (long / "long.txt").write_text("0\n" + LONG.replace("\n15\n", "\n15\n15.5\n"))
    before = tree(long)
    answer = rebase(cli, long, old["plan_id"])
    assert (answer["exit_code"], answer["verdict"], answer["rebased_from"]) == (0, "ALLOW", old["plan_id"])
    assert answer["rebased"] == [{"path": "long.txt", "how": "moved", "offsets": [1, 2]}]
    assert answer["plan_id"] != old["plan_id"] and answer["changeset_id"] != old["changeset_id"]
    assert answer["checksum"] != old["checksum"]
    assert (answer["intent"], answer["created_by"]) == (old["intent"], old["created_by"])
    assert tree(long) == before
    assert cli("-C", long, "execute", answer["plan_id"], "--json").json["status"] == "completed"
    expected = "0\n" + new.replace("\n15\n", "\n15\n15.5\n")
    assert (long / "long.txt").read_text() == expected
    assert cli("-C", long, "audit", "verify", "--json").code == 0


def test_the_screen_says_where_the_hunks_are_now(cli: Any, long: Path) -> None:
    new = LONG.replace("\n5\n", "\nfive\n").replace("\n25\n", "\nXXV\n")
    plan = propose(cli, long, patch_of(long, new))["plan_id"]
    (long / "long.txt").write_text(LONG.replace("\n15\n", "\n"))
    text = cli("-C", long, "propose", "--rebase", plan).text
    assert f"rebased from {plan}" in text
    assert "long.txt  changed since; 1 hunk in place, 1 hunk 1 line further up" in text
    assert "what now: lonelycat execute plan_" in text


def test_the_link_to_the_old_plan_and_to_its_conflict(cli: Any, long: Path) -> None:
    plan = propose(cli, long, patch_of(long, LONG.replace("\n5\n", "\nfive\n")))["plan_id"]
    (long / "long.txt").write_text("0\n" + LONG)
    execution = cli("-C", long, "execute", plan, "--json").json["execution_id"]
    second = rebase(cli, long, plan)["plan_id"]
    (long / "long.txt").write_text("-1\n0\n" + LONG)
    third = rebase(cli, long, second)["plan_id"]
    with closing(sqlite3.connect(long / ".lonelycat/lonelycat.db")) as database:
        plans = {key: json.loads(text) for key, text in database.execute("SELECT plan_id, plan FROM proposals")}
    assert (plans[second]["correlation_id"], plans[second]["parent_execution_id"]) == (plan, execution)
    assert f"Rebased from {plan}." in plans[second]["rationale"]
    assert (plans[third]["correlation_id"], plans[third]["parent_execution_id"]) == (plan, execution)
    assert f"Rebased from {second}." in plans[third]["rationale"]
    exported = [json.loads(line) for line in cli("-C", long, "audit", "export").text.splitlines()]
    made = [item["payload"] for item in exported if item["type"] == "proposal.created"]
    links = {item["plan_id"]: item.get("rebased_from") for item in made}
    assert links == {plan: None, second: plan, third: second}


def test_an_approval_does_not_carry_over_and_the_author_stays(cli: Any, workspace: Path, tmp_path: Path) -> None:
    key = tmp_path / "maria.key"
    policy = workspace / "agent/policies/default.yaml"
    lines = cli("-C", workspace, "approver", "new", "maria", "--out", key, "--json").json["policy_lines"]
    policy.write_text(policy.read_text() + lines + "\n")
    (workspace / "guarded").mkdir()
    (workspace / "guarded/a.txt").write_text(LONG)
    commit(workspace, "guarded")
    patch = patch_of(workspace, LONG.replace("\n15\n", "\nXV\n"), "guarded/a.txt")
    plan = propose(cli, workspace, patch)["plan_id"]
    approve = ("--by", "maria", "--note", "fine", "--key", key, "--json")
    assert cli("-C", workspace, "approve", plan, *approve).code == 0
    (workspace / "guarded/a.txt").write_text("0\n" + LONG)
    answer = rebase(cli, workspace, plan)
    assert (answer["exit_code"], answer["verdict"], answer["created_by"]) == (3, "NEED_APPROVAL", "agent:coder")
    new = answer["plan_id"]
    assert cli("-C", workspace, "show", new, "--json").json["approvals"] == []
    assert cli("-C", workspace, "execute", new, "--json").json["code"] == "APPROVAL_MISSING"
    assert cli("-C", workspace, "approve", new, *approve).code == 0
    assert cli("-C", workspace, "execute", new, "--json").json["status"] == "completed"


def test_the_gate_judges_it_anew(cli: Any, long: Path) -> None:
    plan = propose(cli, long, patch_of(long, LONG.replace("\n5\n", "\nfive\n")))["plan_id"]
    policy = long / "agent/policies/default.yaml"
    policy.write_text(policy.read_text().replace('["**/.env"]', '["**/.env", "long.txt"]'))
    (long / "long.txt").write_text("0\n" + LONG)
    answer = rebase(cli, long, plan)
    assert (answer["exit_code"], answer["verdict"]) == (4, "DENY")


def test_what_does_not_apply_is_named_and_nothing_is_stored(cli: Any, long: Path) -> None:
    both = patch_of(long, LONG.replace("\n5\n", "\nfive\n").replace("\n25\n", "\nXXV\n")) + UPDATE_NOTES
    plan = propose(cli, long, both)["plan_id"]
    (long / "long.txt").write_text("0\n" + LONG.replace("\n25\n", "\ntheirs\n"))
    (long / "notes.md").write_text("theirs\n")
    answer = rebase(cli, long, plan)
    found = conflicts(answer)
    one = found["long.txt"]
    assert (one["code"], one["hunk"], one["line"], one["phase"]) == ("HUNK_MISMATCH", 2, 26, "rebase")
    assert (one["expected"], one["found"]) == ("'25\\n'", "'theirs\\n'")
    assert one["lines"] == {"added": 2, "removed": 1, "first": 1}
    assert (found["notes.md"]["hunk"], found["notes.md"]["line"]) == (1, 1)
    assert "hunk 2 does not apply at line 26" in answer["message"]
    text = cli("-C", long, "propose", "--rebase", plan)
    assert text.code == 5 and "long.txt  does not match: hunk 2 at line 26" in text.err
    status = cli("-C", long, "status", "--json").json
    assert [item["plan_id"] for item in status["approved"]] == [plan]


def test_what_is_there_already_is_said_and_nothing_proposed(cli: Any, long: Path) -> None:
    new = LONG.replace("\n5\n", "\nfive\n")
    plan = propose(cli, long, patch_of(long, new) + create("made.txt"))["plan_id"]
    (long / "long.txt").write_text(new)
    answer = rebase(cli, long, plan)
    assert [(one["path"], one["how"]) for one in answer["rebased"]] == [
        ("long.txt", "already_there"),
        ("made.txt", "as_it_was"),
    ]
    assert [change["path"] for change in answer["changes"]] == ["made.txt"]
    (long / "made.txt").write_text("hello\n")
    done = cli("-C", long, "propose", "--rebase", plan, "--json")
    assert (done.code, done.json["stored"], done.json["plan_id"], done.json["verdict"]) == (0, False, None, None)
    assert "ALREADY THERE" in cli("-C", long, "propose", "--rebase", plan).text
    assert len(cli("-C", long, "status", "--json").json["approved"]) == 2


def test_an_unchanged_base_makes_the_same_change_again(cli: Any, long: Path) -> None:
    old = propose(cli, long, patch_of(long, LONG.replace("\n5\n", "\nfive\n")))
    answer = rebase(cli, long, old["plan_id"])
    assert answer["plan_id"] != old["plan_id"]
    assert answer["checksum"] == old["checksum"]
    assert answer["rebased"] == [{"path": "long.txt", "how": "as_it_was", "offsets": []}]


# -- bases ---------------------------------------------------------------------------------------------------------


def test_the_base_of_a_git_range_comes_from_git(cli: Any, long: Path, tmp_path: Path) -> None:
    (long / "long.txt").write_text(LONG.replace("\n5\n", "\nfive\n"))
    commit(long, "five")
    environment = quiet_environment(tmp_path)
    subprocess.run(["git", "checkout", "-q", "HEAD~1", "--", "."], cwd=long, check=True, env=environment)
    (long / "long.txt").write_text("0\n" + LONG)  # never what the range begins at
    plan = cli("-C", long, "propose", "--git", "HEAD~1..HEAD", *BY, "--json").json["plan_id"]
    assert not (long / ".lonelycat/blobs").exists()
    assert rebase(cli, long, plan)["rebased"][0]["offsets"] == [1]


def test_without_any_base_only_the_whole_file_counts(cli: Any, long: Path) -> None:
    plan = propose(cli, long, patch_of(long, LONG.replace("\n5\n", "\nfive\n")))["plan_id"]
    subprocess.run(["rm", "-rf", str(long / ".lonelycat/blobs"), str(long / ".git")], check=True)
    (long / "long.txt").write_text("0\n" + LONG)
    assert conflicts(rebase(cli, long, plan))["long.txt"]["code"] == "FILE_CHANGED"
    (long / "long.txt").write_text(LONG)
    assert rebase(cli, long, plan)["exit_code"] == 0


def test_an_altered_base_is_not_believed(cli: Any, long: Path) -> None:
    plan = propose(cli, long, patch_of(long, LONG.replace("\n5\n", "\nfive\n")))["plan_id"]
    subprocess.run(["rm", "-rf", str(long / ".git")], check=True)
    (blob,) = [path for path in (long / ".lonelycat/blobs").rglob("*") if path.is_file()]
    assert blob.read_text() == LONG
    blob.write_text("0\n" + LONG)
    (long / "long.txt").write_text("0\n" + LONG)
    assert conflicts(rebase(cli, long, plan))["long.txt"]["code"] == "FILE_CHANGED"
    blob.unlink()
    os.mkfifo(blob)
    assert conflicts(rebase(cli, long, plan))["long.txt"]["code"] == "FILE_CHANGED"


def test_a_base_with_a_secret_is_not_kept_and_one_goes_with_its_proposal(cli: Any, long: Path) -> None:
    secret = "AKIA" + "Q7ZP4MXW2KLT5VBD"
    (long / "notes.md").write_text(f"one\ntwo\nthree\n{secret}\n")
    propose(cli, long, UPDATE_NOTES)
    propose(cli, long, create("docs/a.md"))
    blobs = long / ".lonelycat/blobs"
    assert [path for path in blobs.rglob("*") if path.is_file()] == []
    (long / "image").write_bytes(b"\0old")
    (long / "text").write_bytes(b"becomes binary\n")
    draft = [
        {"operation": "update", "path": name, "content": {"base64": "AG5ldw=="}} for name in ("image", "text")
    ]  # what is binary on one side has no hunks
    document = json.dumps({"changes": draft}).encode()
    assert cli("-C", long, "propose", "--changeset", "-", *BY, "--json", stdin=document).json["stored"]
    assert [path for path in blobs.rglob("*") if path.is_file()] == []
    (long / "notes.md").write_text("one\ntwo\nthree\n")
    propose(cli, long, UPDATE_NOTES)
    (kept,) = [path for path in blobs.rglob("*") if path.is_file()]
    os.utime(kept, (1_000_000_000, 1_000_000_000))
    assert cli("-C", long, "gc", "--keep-days", "1", "--json").json["blobs"] == 0
    assert kept.exists()
    assert cli("-C", long, "gc", "--keep-days", "0", "--keep-count", "0", "--json").json["blobs"] == 1
    assert not kept.exists()


# -- hostile -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ("plan_unknown", "PLAN_UNKNOWN"),
        ("", "PLAN_UNKNOWN"),
        ("../../etc/passwd", "PLAN_UNKNOWN"),
        ("plan_%'; DROP TABLE proposals; --", "PLAN_UNKNOWN"),
        ("x" * 100_000, "PLAN_UNKNOWN"),
        ("plan_\u202e\x1b[31m", "PLAN_UNKNOWN"),
        (os.fsdecode(b"plan_\xff"), "PLAN_UNKNOWN"),
        ("--", None),
    ],
)
def test_any_plan_id_gets_an_answer(cli: Any, workspace: Path, plan: str, code: str | None) -> None:
    done = cli("-C", workspace, "--json", "propose", f"--rebase={plan}")
    assert done.code == 2
    if code is not None:
        assert done.json["code"] == code
    text = cli("-C", workspace, "propose", f"--rebase={plan}")
    assert text.code == 2 and "\x1b[31m" not in text.err


def test_ended_tampered_and_redacted_plans_are_refused(cli: Any, workspace: Path) -> None:
    rejected = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    cli("-C", workspace, "reject", rejected, "--by", "maria", "--note", "no")
    assert rebase(cli, workspace, rejected)["code"] == "PLAN_REJECTED"
    secret = create("docs/key.md", "AKIA" + "Q7ZP4MXW2KLT5VBD" + "\n")
    redacted = propose(cli, workspace, secret)
    assert redacted["verdict"] == "DENY"
    assert rebase(cli, workspace, redacted["plan_id"])["code"] == "CONTENT_NOT_KEPT"
    edited = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    with closing(sqlite3.connect(workspace / ".lonelycat/lonelycat.db")) as database, database:
        database.execute("UPDATE proposals SET changeset = replace(changeset, 'TWO', 'EVIL')")
    assert rebase(cli, workspace, edited)["code"] == "STORED_CHANGESET_TAMPERED"


@pytest.mark.parametrize("more", [("--patch", "-"), ("--intent", "x"), ("--by", "y"), ("--git", "A..B")])
def test_nothing_else_goes_with_it(cli: Any, workspace: Path, more: tuple[str, str]) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    done = cli("-C", workspace, "propose", "--rebase", plan, *more, "--json", stdin=UPDATE_NOTES)
    assert (done.code, done.json["code"]) == (2, "USAGE")


@pytest.mark.parametrize("kind", ["link", "link above", "fifo", "directory", "huge", "binary"])
def test_whatever_stands_in_the_files_place(cli: Any, long: Path, tmp_path: Path, kind: str) -> None:
    (long / "d").mkdir()
    (long / "d/f.txt").write_text(LONG)
    commit(long, "d")
    plan = propose(cli, long, patch_of(long, LONG.replace("\n15\n", "\nXV\n"), "d/f.txt"))["plan_id"]
    place = long / "d/f.txt"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f.txt").write_text("0\n" + LONG)
    place.unlink()
    if kind == "link":
        place.symlink_to(outside / "f.txt")
    elif kind == "link above":
        (long / "d").rmdir()
        (long / "d").symlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "huge":
        with place.open("wb") as file:
            file.truncate(300 * 1024 * 1024)
    else:
        place.write_bytes(b"\0" + LONG.encode())
    answer = rebase(cli, long, plan)
    assert set(conflicts(answer)) == {"d/f.txt"}
    assert (outside / "f.txt").read_text() == "0\n" + LONG


def test_odd_names_and_a_repeat_of_one_plan(cli: Any, workspace: Path) -> None:
    name = 'a b "c" ümlaut.txt'
    (workspace / name).write_text(LONG)
    commit(workspace, "odd")
    plan = propose(cli, workspace, patch_of(workspace, LONG.replace("\n15\n", "\nXV\n"), name))["plan_id"]
    (workspace / name).write_text("0\n" + LONG)
    first, second = rebase(cli, workspace, plan), rebase(cli, workspace, plan)
    assert first["plan_id"] != second["plan_id"] and first["checksum"] == second["checksum"]
    assert run(cli, workspace, create("docs/x.md"))["status"] == "completed"
    assert cli("-C", workspace, "execute", first["plan_id"], "--json").json["status"] == "completed"
    again = rebase(cli, workspace, plan)
    assert (again["exit_code"], again["stored"], again["rebased"][0]["how"]) == (0, False, "already_there")
