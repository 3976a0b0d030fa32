"""A credential in the name of a file is told nowhere, whatever becomes of the change; what is matched is the name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import create
from tests.interfaces.cli.test_commands import BY, propose

TOKEN = "ghp_" + "q7Rz0Lx4Kd9Wm2Ty6Vb1Nc8Pf3Hj5Gs0Ua4E"
OTHER = "ghp_" + "Z3xW8vB2nM5kJ7hG1fD4sA6pQ9rT0yU2iO4e"
MASK = "[REDACTED-github-token]"


def _stored(workspace: Path) -> list[str]:
    """Return the files of the state that hold a token."""
    found = [path for path in (workspace / ".lonelycat").rglob("*") if path.is_file()]
    return [str(path) for path in found if any(token.encode() in path.read_bytes() for token in (TOKEN, OTHER))]


def _tells_nothing(done: Any) -> Any:
    for token in (TOKEN, OTHER):
        assert token[4:20] not in done.text + done.err, done
    return done


def test_a_denied_name_is_told_nowhere(cli: Any, workspace: Path) -> None:
    patch = create(f"docs/{TOKEN}.md")
    for command in ("check", "propose", "run"):
        for more in ((), ("--json",)):
            done = _tells_nothing(cli("-C", workspace, command, "--patch", "-", *BY, *more, stdin=patch))
            assert done.code == 4 and f"docs/{MASK}.md" in done.text, (command, done)
    answer = propose(cli, workspace, patch)
    (reason,) = [each for each in answer["reasons"] if each["code"] == "SECRET_FOUND"]
    assert reason["paths"] == [f"docs/{MASK}.md"] and "in the name" in reason["message"]
    assert [change["path"] for change in answer["changes"]] == [f"docs/{MASK}.md"]
    assert not _stored(workspace)
    for asked in (("show", answer["plan_id"]), ("diff", answer["plan_id"]), ("status",), ("log",), ("doctor",)):
        for more in ((), ("--json",)):
            assert _tells_nothing(cli("-C", workspace, *asked, *more)).code == 0, asked
    _tells_nothing(cli("-C", workspace, "policy", "explain", "--patch", "-", *BY, stdin=patch))
    _tells_nothing(cli("-C", workspace, "audit", "export"))
    verified = cli("-C", workspace, "audit", "verify", "--json")
    assert (verified.code, verified.json["problems"]) == (0, []), "a name that is told instead is no tampering"
    shown = cli("-C", workspace, "show", answer["plan_id"], "--json").json
    assert (shown["checksum"], shown["changes"][0]["path"]) == (answer["checksum"], f"docs/{MASK}.md")
    executed = cli("-C", workspace, "execute", answer["plan_id"], "--json")
    assert (executed.code, executed.json["code"]) == (4, "CONTENT_NOT_KEPT"), executed


@pytest.mark.parametrize(
    "paths",
    [
        (f"docs/{TOKEN}.md", f"docs/{OTHER}.md"),
        (f"docs/{TOKEN}", f"docs/{OTHER}/a"),
        (f"docs/{TOKEN}.md", f"docs/{MASK}.md"),
        (f"docs/{TOKEN}.md", f"docs/{OTHER}.md", "[redacted-name-1]/x"),
        (f"docs/{'a' * 232}.AKIAQ7RZ2LX4KD6WM2TY/b",),
        (f"docs/{TOKEN}/{OTHER}/{TOKEN}.md",),
        (f"docs/\u00e9 {TOKEN}.md",),
    ],
    ids=["twins", "file and directory", "its mask", "its number", "too long", "twice", "not ascii"],
)
def test_names_that_are_told_alike_can_still_be_kept(cli: Any, workspace: Path, paths: tuple[str, ...]) -> None:
    document = {"changes": [{"operation": "create", "path": path, "content": "hi\n"} for path in paths]}
    (workspace.parent / "set.json").write_text(json.dumps(document))
    asked = ("--changeset", str(workspace.parent / "set.json"), *BY, "--json")
    done = _tells_nothing(cli("-C", workspace, "propose", *asked))
    assert done.code == 4, done
    shown = _tells_nothing(cli("-C", workspace, "show", done.json["plan_id"], "--json"))
    assert shown.code == 0 and len({change["path"] for change in shown.json["changes"]}) == len(paths), shown
    assert not _stored(workspace)
    assert cli("-C", workspace, "audit", "verify", "--json").json["problems"] == []


def test_a_kept_name_is_exact_in_the_tree_and_masked_where_it_is_told(cli: Any, workspace: Path) -> None:
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + "content: {secrets: allow}\n")
    path = f"docs/{TOKEN}.md"
    for more in ((), ("--json",)):
        _tells_nothing(cli("-C", workspace, "check", "--patch", "-", *BY, *more, stdin=create(path)))
    done = _tells_nothing(cli("-C", workspace, "run", "--patch", "-", *BY, "--json", stdin=create(path)))
    assert (done.code, done.json["files_changed"]) == (0, [f"docs/{MASK}.md"])
    assert (workspace / path).read_text() == "hello\n"
    (workspace / path).write_text("another\n")
    for asked in (("show", done.json["execution_id"]), ("log",), ("log", "--path", path), ("status",), ("drift",)):
        for more in ((), ("--json",)):
            _tells_nothing(cli("-C", workspace, *asked, *more))
    assert len(cli("-C", workspace, "log", "--path", path, "--json").json["executions"]) == 1, "found by its name"
    assert cli("-C", workspace, "drift", path, "--json").json["drift"][0]["path"] == f"docs/{MASK}.md"
    conflict = _tells_nothing(cli("-C", workspace, "revert", done.json["execution_id"], "--by", "maria"))
    assert conflict.code == 5
    (workspace / path).write_text("hello\n")
    assert cli("-C", workspace, "revert", done.json["execution_id"], "--by", "maria").code == 0
    assert not (workspace / path).exists()


def test_a_path_that_is_refused_tells_no_name_either(cli: Any, workspace: Path) -> None:
    for path in (f".git/{TOKEN}", f"../{TOKEN}", f"docs/{TOKEN}:x"):
        for more in ((), ("--json",)):
            done = _tells_nothing(cli("-C", workspace, "check", "--patch", "-", *BY, *more, stdin=create(path)))
            assert done.code in (2, 4)
