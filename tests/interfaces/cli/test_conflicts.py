"""A CONFLICT on the command line: every path, what was expected and found, who else wrote it; and nothing touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, create, quiet_environment
from tests.interfaces.cli.test_commands import BY, propose, run, tree

from lonelycat.changes.digest import sha256_hex


def commit(workspace: Path, message: str) -> str:
    """Commit everything as Grace and return the commit's id."""
    environment = quiet_environment(workspace.parent)
    git = ["git", "-c", "user.name=Grace", "-c", "user.email=g@localhost"]
    subprocess.run([*git, "add", "-A"], cwd=workspace, check=True, env=environment)
    subprocess.run([*git, "commit", "-q", "-m", message], cwd=workspace, check=True, env=environment)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=workspace, check=True, env=environment, capture_output=True)
    return head.stdout.decode().strip()


def conflicts(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert answer["exit_code"] == 5, answer
    return {one["path"]: one for one in answer["details"]["conflicts"]}


MANY = b"".join(
    (
        UPDATE_NOTES,
        create("made.txt"),
        b"diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\n"
        b"--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
        b"diff --git a/run.sh b/run.sh\nold mode 100755\nnew mode 100644\n",
        b"diff --git a/there.txt b/there.txt\n--- a/there.txt\n+++ b/there.txt\n@@ -1 +1 @@\n-x\n+y\n",
    )
)


def test_every_path_is_named_with_what_differs(cli: Any, workspace: Path) -> None:
    for name in ("gone.txt", "run.sh", "there.txt"):
        (workspace / name).write_text("x\n")
    (workspace / "run.sh").chmod(0o755)
    plan = propose(cli, workspace, MANY)["plan_id"]
    (workspace / "notes.md").write_text("one\ntwo\nthree\nfour\n")
    (workspace / "made.txt").write_text("theirs\n")
    (workspace / "gone.txt").unlink()
    (workspace / "run.sh").chmod(0o644)
    (workspace / "there.txt").unlink()
    (workspace / "there.txt").mkdir()
    before = tree(workspace)
    answer = cli("-C", workspace, "execute", plan, "--json").json
    found = conflicts(answer)
    assert {path: one["code"] for path, one in found.items()} == {
        "notes.md": "FILE_CHANGED",
        "made.txt": "FILE_EXISTS",
        "gone.txt": "FILE_MISSING",
        "run.sh": "MODE_CHANGED",
        "there.txt": "PATH_IS_DIRECTORY",
    }
    notes = found["notes.md"]
    assert notes["expected_hash"] == sha256_hex(b"one\ntwo\nthree\n")
    assert notes["found_hash"] == sha256_hex(b"one\ntwo\nthree\nfour\n")
    assert notes["lines"] == {"added": 1, "removed": 0, "first": 4}
    assert notes["phase"] == "stage"
    assert (found["run.sh"]["expected_mode"], found["run.sh"]["found_mode"]) == ("100755", "100644")
    assert (found["made.txt"]["expected_hash"], found["gone.txt"]["found_hash"]) == (None, None)
    assert f"--rebase {plan}" in answer["hint"]
    assert tree(workspace) == before
    text = cli("-C", workspace, "execute", plan).text
    for words in (
        "5 paths in conflict",
        "notes.md  does not hold",
        "+1 -0, from line 4 on",
        "made.txt  exists already",
    ):
        assert words in text, text
    assert f"lonelycat propose --rebase {plan}" in text
    assert "because" not in text


def test_it_says_which_execution_wrote_a_path_and_whether_that_is_what_is_there(cli: Any, workspace: Path) -> None:
    stale = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    other = UPDATE_NOTES.replace(b"+TWO", b"+2")
    done = run(cli, workspace, other)
    write = conflicts(cli("-C", workspace, "execute", stale, "--json").json)["notes.md"]["last_execution"]
    assert (write["execution_id"], write["plan_id"]) == (done["execution_id"], done["plan_id"])
    assert (write["intent"], write["proposed_by"], write["left_this"]) == ("change something", "agent:coder", True)
    text = cli("-C", workspace, "execute", stale).text
    assert f"{done['execution_id']} 'change something' by agent:coder" in text
    assert "left exactly this" in text
    (workspace / "notes.md").write_text("by hand\n")
    write = conflicts(cli("-C", workspace, "execute", stale, "--json").json)["notes.md"]["last_execution"]
    assert write["left_this"] is False


def test_it_says_what_git_knows(cli: Any, workspace: Path) -> None:
    (workspace / "other.txt").write_text("x\n")
    commit(workspace, "Add another")
    plan = propose(cli, workspace, UPDATE_NOTES + create("fresh.txt"))["plan_id"]
    (workspace / "notes.md").write_text("committed\n")
    head = commit(workspace, "Rewrite the notes \x1b[31m")
    (workspace / "fresh.txt").write_text("untracked\n")
    found = conflicts(cli("-C", workspace, "execute", plan, "--json").json)
    view = found["notes.md"]["git"]
    assert (view["state"], view["commit"], view["author"]) == ("committed", head, "Grace")
    assert found["fresh.txt"]["git"]["state"] == "untracked"
    text = cli("-C", workspace, "execute", plan).text
    assert f"committed in {head[:10]} by Grace" in text and "\x1b[31m" not in text
    (workspace / "notes.md").write_text("not committed\n")
    found = conflicts(cli("-C", workspace, "execute", plan, "--json").json)
    assert found["notes.md"]["git"] == {
        "state": "uncommitted", "commit": None, "author": None, "committed_at": None, "subject": None,
    }  # fmt: skip


def signed_by_nobody(workspace: Path) -> None:
    """Make HEAD a commit that says it is signed, so that a git that is told to would check the signature."""
    git = ["git", "-C", str(workspace)]
    raw = subprocess.run([*git, "cat-file", "commit", "HEAD"], check=True, capture_output=True).stdout
    head, _, body = raw.partition(b"\n\n")
    seal = b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n YWJj\n -----END PGP SIGNATURE-----"
    made = subprocess.run(
        [*git, "hash-object", "-t", "commit", "-w", "--stdin"],
        input=head + seal + b"\n\n" + body, check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run([*git, "update-ref", "HEAD", made.stdout.decode().strip()], check=True)


def test_git_runs_no_program_of_the_repository(cli: Any, workspace: Path, tmp_path: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES + create("fresh.txt"))["plan_id"]
    (workspace / "fresh.txt").write_text("theirs\n")
    commit(workspace, "Theirs")
    signed_by_nobody(workspace)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    (workspace / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (workspace / "notes.md").write_text("one\ntwo\nthree\nfour\n")
    with (workspace / ".git/config").open("a") as config:
        config.write(
            f'[filter "evil"]\n\tclean = {program}\n\trequired = true\n[diff "evil"]\n\ttextconv = {program}\n'
        )
        config.write(f"[core]\n\tfsmonitor = {program}\n\tpager = {program}\n[log]\n\tshowSignature = true\n")
        config.write(f"[gpg]\n\tprogram = {program}\n[diff]\n\texternal = {program}\n")
    found = conflicts(cli("-C", workspace, "execute", plan, "--json").json)
    states = {path: one["git"]["state"] for path, one in found.items()}
    assert states == {"notes.md": "uncommitted", "fresh.txt": "committed"}
    assert found["fresh.txt"]["git"]["author"] == "Grace"
    cli("-C", workspace, "propose", "--rebase", plan, "--json")
    cli("-C", workspace, "drift", "--json")
    assert not (tmp_path / "ran").exists()


def test_without_git_and_without_a_base_the_rest_is_still_told(cli: Any, workspace: Path) -> None:
    subprocess.run(["rm", "-rf", str(workspace / ".git")], check=True)
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    subprocess.run(["rm", "-rf", str(workspace / ".lonelycat/blobs")], check=True)
    (workspace / "notes.md").write_text("mine\n")
    one = conflicts(cli("-C", workspace, "execute", plan, "--json").json)["notes.md"]
    assert (one["git"], one["lines"], one["last_execution"]) == (None, None, None)
    assert one["found_hash"] == sha256_hex(b"mine\n")


def test_a_patch_that_does_not_fit_is_told_in_the_same_form(cli: Any, workspace: Path) -> None:
    (workspace / "notes.md").write_text("one\nzwei\nthree\n")
    before = tree(workspace)
    done = cli("-C", workspace, "propose", "--patch", "-", *BY, "--json", stdin=UPDATE_NOTES)
    one = conflicts(done.json)["notes.md"]
    assert (one["code"], one["hunk"], one["line"], one["phase"]) == ("HUNK_MISMATCH", 1, 2, "propose")
    assert (one["expected"], one["found"]) == ("'two\\n'", "'zwei\\n'")
    assert done.json["details"]["line"] == 2  # as it was told before
    assert (one["git"]["state"], one["last_execution"]) == ("uncommitted", None)
    assert not (workspace / ".lonelycat/lonelycat.db").exists()
    checked = cli("-C", workspace, "check", "--patch", "-", *BY, "--json", stdin=UPDATE_NOTES).json
    assert checked["details"] == done.json["details"]
    text = cli("-C", workspace, "propose", "--patch", "-", *BY, stdin=UPDATE_NOTES)
    assert text.code == 5 and "notes.md  does not match: hunk 1 at line 2" in text.err
    missing = cli("-C", workspace, "run", "--patch", "-", *BY, "--json", stdin=UPDATE_NOTES.replace(b"notes", b"nodes"))
    assert conflicts(missing.json)["nodes.md"]["code"] == "FILE_MISSING"
    assert tree(workspace) == before


def test_a_patch_that_does_not_fit_says_who_wrote_the_file(cli: Any, workspace: Path) -> None:
    done = run(cli, workspace, UPDATE_NOTES.replace(b"+TWO", b"+zwei"))
    one = conflicts(cli("-C", workspace, "propose", "--patch", "-", *BY, "--json", stdin=UPDATE_NOTES).json)["notes.md"]
    assert one["last_execution"]["execution_id"] == done["execution_id"]
    assert one["last_execution"]["left_this"] is True


def test_what_is_changed_while_the_change_is_in_place(cli: Any, workspace: Path) -> None:
    policy = workspace / "agent/policies/default.yaml"
    shell = "printf 'theirs\\\\n' >> broken/a.md; rm broken/b.md; exit 1"
    failing = policy.read_text().split("  failing:\n")[1].split("    argv: ")[1].split("\n")[0]
    policy.write_text(policy.read_text().replace(failing, f'[sh, -c, "{shell}"]'))
    (workspace / "broken").mkdir()
    for name in ("a", "b"):
        (workspace / f"broken/{name}.md").write_text("one\ntwo\nthree\n")
    patches = [UPDATE_NOTES.replace(b"notes.md", b"broken/%s.md" % name) for name in (b"a", b"b")]
    answer = cli("-C", workspace, "run", "--patch", "-", *BY, "--json", stdin=b"".join(patches)).json
    assert answer["code"] == "VERIFY_FAILED"
    found = conflicts(answer)
    assert {path: (one["code"], one["phase"]) for path, one in found.items()} == {
        "broken/a.md": ("FILE_CHANGED", "rollback"),
        "broken/b.md": ("FILE_MISSING", "rollback"),
    }
    assert found["broken/a.md"]["expected_hash"] == sha256_hex(b"one\nTWO\nthree\n")
    assert found["broken/a.md"]["lines"] == {"added": 1, "removed": 0, "first": 4}
    for one in found.values():
        assert (workspace / one["quarantined"]).read_text() == "one\ntwo\nthree\n"
    assert (workspace / "broken/a.md").read_text() == "one\nTWO\nthree\ntheirs\n"
    shown = cli("-C", workspace, "show", answer["execution_id"]).text
    assert "broken/a.md  was changed meanwhile" in shown and "because VERIFY_FAILED" in shown


def test_many_conflicts_are_all_named_and_a_few_explained(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, b"".join(create(f"n/{number}.txt") for number in range(45)))["plan_id"]
    (workspace / "n").mkdir()
    for number in range(45):
        (workspace / f"n/{number}.txt").write_text("theirs\n")
    found = cli("-C", workspace, "execute", plan, "--json").json["details"]["conflicts"]
    assert len(found) == 45
    assert sum(1 for one in found if one["git"] is not None) == 20
    assert "… and 25 more" in cli("-C", workspace, "execute", plan).text


@pytest.mark.parametrize("secret", ["AKIA" + "Q7ZP4MXW2KLT5VBD", "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"])
def test_no_secret_of_the_file_is_told_or_stored(cli: Any, workspace: Path, secret: str) -> None:
    (workspace / "notes.md").write_text("one\ntwo\n" + "same\n" * 8)
    patch = UPDATE_NOTES.replace(b" three\n", b" same\n")
    plan = propose(cli, workspace, patch)["plan_id"]
    (workspace / "notes.md").write_text(f"one\n{secret}\n" + "same\n" * 8)
    for arguments in (("execute", plan), ("propose", "--rebase", plan), ("propose", "--patch", "-", *BY)):
        done = cli("-C", workspace, *arguments, "--json", stdin=patch)
        assert done.code == 5
        assert secret not in done.text
        shown = cli("-C", workspace, *arguments, stdin=patch)
        assert secret not in shown.err + shown.text
    for place in (workspace / ".lonelycat").rglob("*"):
        if place.is_file():
            assert secret.encode() not in place.read_bytes(), place


def test_the_conflict_of_a_fifo_is_told_without_hanging(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    (workspace / "notes.md").unlink()
    os.mkfifo(workspace / "notes.md")
    done = cli("-C", workspace, "execute", plan, "--json")
    assert (done.code, done.json["code"]) == (4, "OBJECT_NOT_A_FILE")
    rebased = conflicts(cli("-C", workspace, "propose", "--rebase", plan, "--json").json)
    assert rebased["notes.md"]["found"] == "a FIFO, socket or device"
