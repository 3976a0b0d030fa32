"""What went wrong elsewhere, replayed against the command line. Each test says what it is about.

Paths, objects, documents, policies and state have files of their own beside this one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.interfaces.hostile.siege import BY, POLICY_PATH, Answer, Siege, draft, ended, patch, sha
from tests.patience import until

from lonelycat.errors import StateError

OLD = b"old\n"


@pytest.fixture
def ground(siege: Siege) -> Siege:
    return siege.begin()


def _run(siege: Siege, *changes: dict[str, object], command: str = "run") -> Answer:
    return siege.cli(command, "--changeset", "-", *BY, stdin=json.dumps({"changes": changes}).encode())


def _key(siege: Siege) -> Path:
    path = siege.outside / "owner.pem"
    if not path.exists():
        public = siege.cli("approver", "new", "owner", "--out", path).facts["public_key"]
        siege.policy["approvals"] = {"approvers": {"owner": {"public_key": public}}}
        siege.write_policy()
    return path


def test_one_part_that_fails_takes_all_of_it_back(ground: Siege) -> None:
    """apply_patch keeps partial success."""
    (ground.root / "taken").write_text("there\n")
    tree = ground.tree()
    text = b"".join(patch(name) for name in ("a", "b", "taken", "c"))
    done = ground.cli("run", "--patch", "-", *BY, stdin=text)
    ground.refused(done, "FILE_EXISTS", {5}, "taken")
    assert ground.tree() == tree


@pytest.mark.parametrize(
    "path",
    [
        ".claude/settings.json",
        ".cursor/mcp.json",
        ".codex/config.toml",
        ".vscode/settings.json",
        ".mcp.json",
        "AGENTS.md",
        "sub/CLAUDE.md",
        ".github/workflows/new.yml",
        ".GitHub/workflows/new.yml",
        "agent/policies/second.yaml",
        ".husky/pre-commit",
    ],
)
def test_what_would_give_power_is_held_though_it_is_not_there_yet(ground: Siege, path: str) -> None:
    """A configuration that did not exist was created to gain power."""
    tree = ground.tree()
    done = _run(ground, draft("create", path))
    assert (done.exit, done.code) == (3, "NEEDS_APPROVAL"), done
    assert ground.tree() == tree


def test_a_policy_does_not_widen_itself(ground: Siege) -> None:
    """The repository grants itself trust: its change is judged by the policy in force, and voids open approvals."""
    key = _key(ground)
    held = _run(ground, draft("create", ".github/workflows/a.yml"), command="propose")
    approved = ground.cli("approve", held.facts["plan_id"], "--by", "owner", "--key", key)
    assert approved.exit == 0, approved
    old = (ground.root / POLICY_PATH).read_bytes()
    wide = json.dumps({**ground.policy, "content": {**ground.policy["content"], "secrets": "allow"}}, indent=1).encode()
    change = draft("update", POLICY_PATH, content={"text": wide.decode()}, old_hash=sha(old))
    assert _run(ground, change).exit == 3
    (ground.root / POLICY_PATH).write_bytes(wide)
    done = ground.cli("execute", held.facts["plan_id"])
    ground.refused(done, "POLICY_CHANGED", {4})
    assert _run(ground, draft("create", "docs/a.md")).codes & {"POLICY_NOT_ADOPTED"}


def test_two_pending_approvals_cannot_be_crossed(ground: Siege) -> None:
    """Approved A, ran B."""
    key = _key(ground)
    first = _run(ground, draft("create", ".github/workflows/a.yml"), command="propose")
    second = _run(ground, draft("create", ".github/workflows/b.yml"), command="propose")
    assert ground.cli("approve", first.facts["plan_id"], "--by", "owner", "--key", key).exit == 0
    tree = ground.tree()
    ground.refused(ground.cli("execute", second.facts["plan_id"]), "APPROVAL_MISSING", {3})
    assert ground.tree() == tree
    assert ground.cli("execute", first.facts["plan_id"]).exit == 0


def test_a_gate_that_crashes_denies(ground: Siege, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate failed open."""

    def crash(*_: object) -> None:
        raise RecursionError("hostile input")

    tree = ground.tree()
    monkeypatch.setattr("lonelycat.governance.rules.RAISING", (crash,))
    done = _run(ground, draft("create", "docs/a.md"))
    ground.refused(done, "GATE_INTERNAL_ERROR", {4})
    assert done.facts["verdict"] == "DENY"
    assert ground.tree() == tree


def test_a_rollback_leaves_alone_what_others_did_meanwhile(siege: Siege) -> None:
    """A restore destroyed other work, or cleaned away what was not its own."""
    others = (
        "pathlib.Path('untracked.txt').write_text('mine')\npathlib.Path('readme.md').write_text('edited')\n"
        "os.makedirs('app/new-by-others'); pathlib.Path('app/new-by-others/x').write_text('mine')\nsys.exit(3)"
    )
    siege.policy["verification"]["look"]["argv"] = siege.argv(others)
    siege.begin()
    done = _run(siege, draft("update", "app/settings.txt"), draft("create", "app/new/deep.txt"))
    assert done.exit == 6, done
    assert (siege.root / "untracked.txt").read_text() == "mine"
    assert (siege.root / "readme.md").read_text() == "edited"
    assert (siege.root / "app/new-by-others/x").read_text() == "mine"
    assert (siege.root / "app/settings.txt").read_bytes() == OLD
    assert not (siege.root / "app/new").exists()


def test_a_rollback_brings_back_modes_links_and_what_was_a_directory(siege: Siege) -> None:
    """A restore lost mode, links or bytes."""
    siege.policy["verification"]["look"]["argv"] = siege.argv("sys.exit(3)")
    siege.write({"app/settings.txt": OLD, "app/tool": b"#!/bin/sh\r\n\xff", "tree/leaf": b"leaf"})
    (siege.root / "app/tool").chmod(0o750)
    (siege.root / "app/link").symlink_to("tool")
    (siege.root / "tree").chmod(0o711)
    siege.begin({"readme.md": b"r\n"})
    before = siege.contents()
    done = _run(
        siege,
        draft("update", "app/tool", new_mode="100644"),
        draft("update", "app/link", content={"text": "settings.txt"}),
        draft("delete", "app/settings.txt"),
        draft("create", "app/settings.txt/now/a/directory"),
        draft("delete", "tree/leaf"),
        draft("create", "tree", content={"text": "a file now"}),
    )
    assert done.exit == 6, done
    assert siege.contents() == before


@pytest.mark.parametrize(
    "output", ["", "collected 0 items", "no tests ran in 0.01s", "Ran 0 tests in 0.000s", "5 skipped in 0.1s"]
)
def test_a_verification_that_tested_nothing_is_a_failure(siege: Siege, output: str) -> None:
    """A test gamed by being skipped scored full marks."""
    profile = siege.policy["verification"]["look"]
    profile["argv"] = siege.argv(f"print({output!r})")
    profile["no_tests"] = {"output_patterns": ["no tests ran", "Ran 0 tests"], "require_output_pattern": r"\d+ passed"}
    siege.begin()
    before = siege.contents()
    done = _run(siege, draft("create", "app/x"))
    assert (done.exit, (done.code or "")[:7]) == (6, "VERIFY_"), done
    assert siege.contents() == before


@pytest.mark.parametrize(
    "check",
    [
        {"kind": "http", "with": {"url": "http://127.0.0.1:1/"}},
        {"kind": "tcp", "with": {"host": "127.0.0.1", "port": 1}},
        {"kind": "file", "with": {"path": "no/such/file"}},
        {"kind": "sqlite", "with": {"path": "no.db", "query": "SELECT 1", "expect": 1}},
        {"kind": "command", "with": {"argv": ["/no/such/program"]}},
    ],
    ids=lambda value: value["kind"],
)
def test_no_answer_is_not_healthy(siege: Siege, check: dict[str, object]) -> None:
    """No data, or nothing conclusive, counted as healthy."""
    siege.policy["executor"]["require_health_checks_for_risk"] = ["LOW"]
    siege.policy["health_checks"] = {"up": {**check, "attempts": 1, "timeout": 2}}
    siege.begin()
    before = siege.contents()
    done = _run(siege, draft("create", "app/x"))
    assert done.exit in (4, 6), done
    assert (done.code or "").startswith("HEALTH_"), done
    assert siege.contents() == before


def test_emptying_a_tree_is_not_a_small_change(siege: Siege) -> None:
    """Mass deletion."""
    siege.policy["executor"]["constraints"]["max_deletions"] = 5
    names = [f"app/{number}.txt" for number in range(6)]
    siege.begin({name: OLD for name in names})
    tree = siege.tree()
    done = _run(siege, *(draft("delete", name) for name in names))
    assert (done.exit, done.facts["verdict"]) == (4, "DENY"), done
    assert siege.tree() == tree


def test_what_would_be_done_and_what_is_done_are_judged_alike(ground: Siege) -> None:
    """A dry run differs from the real run."""
    for change in (
        draft("create", "docs/a.md"),
        draft("create", ".env"),
        draft("create", ".github/workflows/a.yml"),
        draft("create", ".git/hooks/x"),
    ):
        checked, proposed = _run(ground, change, command="check"), _run(ground, change, command="propose")
        assert (checked.exit, checked.facts["verdict"]) == (proposed.exit, proposed.facts["verdict"])
        assert checked.facts["reasons"] == proposed.facts["reasons"]
        assert checked.facts["checksum"] == proposed.facts["checksum"]


def test_a_secret_is_nowhere_in_what_is_kept_or_said(ground: Siege) -> None:
    """Secrets in plans, diffs and history."""
    token = "ghp_" + "x7Kq2mZp9RtY4wLs8VbN" + "3cJh6FdG1eTaUoQi"
    done = _run(ground, draft("create", "docs/a.md", content={"text": f"token: {token}\n"}))
    assert (done.exit, done.facts["verdict"]) == (4, "DENY"), done
    said = [done, ground.cli("show", done.facts["plan_id"]), ground.cli("diff", done.facts["plan_id"])]
    assert token not in json.dumps([answer.facts for answer in said]) + done.err
    for path in (ground.root / ".lonelycat").rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path


def test_what_a_check_prints_is_masked_before_it_is_kept(siege: Siege) -> None:
    token = "ghp_" + "x7Kq2mZp9RtY4wLs8VbN" + "3cJh6FdG1eTaUoQi"
    half = len(token) // 2
    code = f"print('leak: ' + {token[:half]!r} + {token[half:]!r}); sys.exit(3)"
    siege.policy["verification"]["look"]["argv"] = siege.argv(code)
    siege.begin()
    done = _run(siege, draft("create", "app/x"))
    assert done.exit == 6, done
    assert token not in json.dumps([done.facts, siege.cli("show", done.facts["execution_id"]).facts])
    logs = [path for path in (siege.root / ".lonelycat/executions").rglob("*.log")]
    assert any(b"leak: " in path.read_bytes() for path in logs)
    for path in (siege.root / ".lonelycat").rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path


def test_a_restart_that_was_lost_with_its_executor_is_made_up_for(siege: Siege) -> None:
    """A restart lost after a later failure, and the rerun succeeds unrestarted."""
    note = "print(pathlib.Path('app/settings.txt').read_text().strip(), file=(notes / 'restarts').open('a'))"
    wait = "(notes / 'applied').touch()\nwhile not (notes / 'go').exists(): time.sleep(0.005)"
    siege.policy["services"] = {"web": {"kind": "command", "with": {"argv": siege.argv(note)}, "touches": ["**"]}}
    siege.policy["verification"]["look"]["argv"] = siege.argv(wait)
    siege.begin()
    document = siege.file("d.json", {"changes": [draft("update", "app/settings.txt")]})
    process = siege.start("run", "--changeset", document, *BY)
    try:
        until((siege.notes / "applied").exists, "the verification")
    finally:
        ended([process])
    (siege.notes / "go").touch()
    assert (siege.notes / "restarts").read_text() == "evil\n"
    assert siege.cli("recover").exit == 0
    assert (siege.notes / "restarts").read_text() == "evil\nold\n"


def test_rolled_back_is_not_success_in_any_field(siege: Siege) -> None:
    """Rolled back, but reported as a success."""
    siege.policy["verification"]["look"]["argv"] = siege.argv("sys.exit(3)")
    siege.begin()
    done = _run(siege, draft("create", "app/x"))
    assert (done.exit, done.facts["ok"], done.facts["success"]) == (6, False, False)
    assert (done.facts["status"], done.facts["verification_passed"]) == ("rolled_back", False)
    (row,) = siege.cli("log").facts["executions"]
    assert row["success"] is False
    again = siege.cli("execute", done.facts["plan_id"])
    assert again.facts.get("cached") is not True, "a failure does not answer for a repeat"


def test_nothing_depends_on_who_the_user_is_to_git(ground: Siege) -> None:
    """Commits without an identity silently saved nothing: nothing here needs an identity, a home or a configuration."""
    environment = {"HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "USER": ""}
    done = ground.process("run", "--patch", ground.file("a.patch", patch("app/p")), *BY, env=environment)
    assert done.exit == 0, done


def test_a_person_can_release_what_is_frozen_and_it_is_in_the_audit_log(ground: Siege) -> None:
    """A freeze without break-glass."""
    assert _run(ground, draft("create", "app/first")).exit == 0
    stray = ground.root / ".lonelycat/tx/exec_damaged"
    stray.mkdir()
    (stray / "journal").write_bytes(b"damage")
    ground.refused(_run(ground, draft("create", "app/x")), "WORKSPACE_FROZEN", {7})
    assert ground.cli("unfreeze", "--by", "owner", "--reason", "compared by hand").exit == 0
    assert _run(ground, draft("create", "app/x")).exit == 0
    records = ground.cli("audit", "export").facts
    assert "compared by hand" in json.dumps(records)
    assert ground.cli("audit", "verify").exit == 0


def test_clean_up_keeps_what_is_in_use_and_survives_being_interrupted(
    ground: Siege, monkeypatch: pytest.MonkeyPatch
) -> None:
    """History and clean-up bugs."""
    done = _run(ground, draft("update", "app/settings.txt"))
    assert done.exit == 0
    real, calls = os.unlink, []

    def unlink(*arguments: object, **named: object) -> None:
        calls.append(arguments)
        if len(calls) > 2:
            raise StateError("DATABASE_IO", "the disk went away", "Try again.")
        real(*arguments, **named)  # type: ignore[arg-type]  # passed on as it came

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", unlink)
        ground.cli("gc", "--keep-days", "0", "--keep-count", "0")
    again = ground.cli("gc", "--keep-days", "0", "--keep-count", "0")
    assert again.exit == 0, again
    assert ground.cli("audit", "verify").exit == 0
    assert _run(ground, draft("create", "app/x")).exit == 0
