"""Every command as a process of its own: what it does, its exit code, its one JSON object."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, create, quiet_environment
from tests.patience import until

BY = ("--by", "agent:coder", "--intent", "change something")


def propose(cli: Any, workspace: Path, patch: bytes, *more: str) -> dict[str, Any]:
    done = cli("-C", workspace, "--json", "propose", "--patch", "-", *BY, *more, stdin=patch)
    return done.json  # type: ignore[no-any-return]


def run(cli: Any, workspace: Path, patch: bytes) -> dict[str, Any]:
    return cli("-C", workspace, "run", "--patch", "-", *BY, "--json", stdin=patch).json  # type: ignore[no-any-return]


def tree(workspace: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(workspace)): path.read_bytes()
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and path.relative_to(workspace).parts[0] not in (".git", ".lonelycat")
    }


def test_every_command_works_as_a_process(process: Any, workspace: Path, tmp_path: Path) -> None:
    def ok(*arguments: str, code: int = 0, stdin: bytes = b"") -> dict[str, Any]:
        done = process(*arguments, "--json", cwd=workspace, stdin=stdin)
        assert done.code == code, (arguments, done)
        assert done.err == ""
        return done.json  # type: ignore[no-any-return]

    ok("init")
    ok("check", "--patch", "-", *BY, stdin=UPDATE_NOTES)
    done = ok("run", "--patch", "-", *BY, stdin=UPDATE_NOTES)
    waiting = ok("propose", "--patch", "-", *BY, stdin=create("guarded/a.md"), code=3)["plan_id"]
    ok("execute", waiting, code=3)
    ok("approve", waiting, "--by", "maria", code=2)
    ok("reject", waiting, "--by", "maria", "--note", "no")
    ok("revert", done["execution_id"], "--by", "maria")
    ok("show", done["execution_id"])
    ok("diff", done["execution_id"])
    for command in ("status", "log", "doctor", "recover", "gc"):
        ok(command)
    ok("unfreeze", "--by", "maria", "--reason", "x", code=2)
    ok("approver", "new", "maria", "--out", str(tmp_path / "key"))
    for subcommand in ("check", "test", "schema"):
        ok("policy", subcommand)
    ok("policy", "explain", "--patch", "-", stdin=create("docs/a.md"))
    ok("audit", "verify")
    ok("audit", "export")


def test_version(cli: Any) -> None:
    from lonelycat.version import __version__

    assert cli("--version").text == f"lonelycat {__version__}\n"
    assert cli("--version", "--json").json["version"] == __version__
    assert cli("--json", "--version").json["version"] == __version__


def test_check_judges_and_stores_nothing(cli: Any, workspace: Path) -> None:
    before = tree(workspace)
    done = cli("check", "--patch", "-", *BY, "-C", workspace, "--json", stdin=UPDATE_NOTES)
    answer = done.json
    assert done.code == 0
    assert answer["verdict"] == "ALLOW"
    assert answer["stored"] is False
    assert len(answer["checksum"]) == 64
    assert answer["verification_plan"] == ["quick"]
    assert tree(workspace) == before
    assert not (workspace / ".lonelycat" / "lonelycat.db").exists()
    text = cli("check", "--patch", "-", *BY, cwd=workspace, stdin=UPDATE_NOTES)
    assert text.code == 0
    assert "ALLOW" in text.text
    assert "Your files were not touched." in text.text


def test_the_verdict_is_the_exit_code(cli: Any, workspace: Path) -> None:
    for path, verdict, code in (
        ("docs/a.md", "ALLOW", 0),
        ("guarded/a.md", "NEED_APPROVAL", 3),
        ("x/.env", "DENY", 4),
    ):
        for command in ("check", "propose", "run"):
            done = cli("-C", workspace, command, "--patch", "-", *BY, "--json", stdin=create(path))
            answer = done.json
            assert (done.code, answer["verdict"]) == (code, verdict), (command, path)
            if verdict != "ALLOW":
                assert answer["reasons"]
                assert answer["code"] == ("DENIED" if verdict == "DENY" else "NEEDS_APPROVAL")
                assert answer["hint"]
                assert not (workspace / path).exists()


def test_a_change_runs_is_logged_shown_and_reverted(cli: Any, workspace: Path) -> None:
    before = tree(workspace)
    answer = run(cli, workspace, UPDATE_NOTES)
    assert answer["status"] == "completed"
    assert answer["files_changed"] == ["notes.md"]
    assert answer["verdict"] == "ALLOW"
    assert {step["name"] for step in answer["steps"]} >= {"apply", "verify:quick", "commit"}
    assert (workspace / "notes.md").read_text() == "one\nTWO\nthree\n"
    execution = answer["execution_id"]

    log = cli("-C", workspace, "log", "--json").json["executions"]
    assert [entry["execution_id"] for entry in log] == [execution]
    assert log[0]["intent"] == "change something"
    assert "COMPLETED" in cli("-C", workspace, "log").text

    for identifier in (execution, answer["plan_id"], answer["changeset_id"], answer["decision_id"]):
        shown = cli("-C", workspace, "show", identifier, "--json").json
        assert (shown["plan_id"], shown["execution_id"]) == (answer["plan_id"], execution)
        assert "change something" in cli("-C", workspace, "show", identifier).text
    assert cli("-C", workspace, "show", execution, "--json").json["events"]

    diff = cli("-C", workspace, "diff", execution)
    assert b"-two\n+TWO\n" in diff.out
    facts = cli("-C", workspace, "diff", execution, "--json").json
    assert (facts["lines_added"], facts["lines_removed"]) == (1, 1)
    assert facts["diff"].encode() == diff.out
    checked = subprocess.run(["git", "apply", "--check", "-R", "-"], cwd=workspace, input=diff.out)
    assert checked.returncode == 0

    proposed = cli("-C", workspace, "revert", execution, "--by", "bob", "--propose-only", "--json").json
    assert (proposed["verdict"], proposed["stored"]) == ("ALLOW", True)
    assert tree(workspace) != before
    reverted = cli("-C", workspace, "revert", execution, "--by", "bob", "--json")
    assert (reverted.code, reverted.json["status"]) == (0, "completed")
    assert tree(workspace) == before


def test_a_dry_run_shows_the_diff_and_touches_nothing(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    before = tree(workspace)
    done = cli("-C", workspace, "execute", plan, "--dry-run", "--json")
    assert done.code == 0
    assert done.json["dry_run"] is True
    assert "+TWO" in done.json["diff"]
    text = cli("-C", workspace, "execute", plan, "--dry-run").text
    assert "+TWO" in text
    assert "Nothing was touched" in text
    assert tree(workspace) == before
    assert cli("-C", workspace, "log", "--json").json["executions"] == []


def test_a_repeat_returns_the_recorded_result(cli: Any, workspace: Path) -> None:
    first = run(cli, workspace, UPDATE_NOTES)
    again = cli("-C", workspace, "execute", first["plan_id"], "--json")
    assert again.code == 0
    assert again.json["cached"] is True
    assert again.json["execution_id"] == first["execution_id"]
    assert "Nothing was run again" in cli("-C", workspace, "execute", first["plan_id"]).text


def test_a_failed_verification_is_6_and_everything_is_back(cli: Any, workspace: Path) -> None:
    before = tree(workspace)
    done = cli("-C", workspace, "run", "--patch", "-", *BY, "--json", stdin=create("broken/a.md"))
    answer = done.json
    assert done.code == 6
    assert (answer["status"], answer["code"]) == ("rolled_back", "VERIFY_FAILED")
    assert tree(workspace) == before
    text = cli("-C", workspace, "run", "--patch", "-", *BY, stdin=create("broken/b.md"))
    assert text.code == 6
    assert "Your files are as they were before" in text.text
    assert "✘ verify:failing" in text.text
    shown = cli("-C", workspace, "show", answer["execution_id"])
    assert "token \\x1b[31mred" in shown.text
    assert "\x1b" not in shown.text


def test_a_patch_that_does_not_fit_is_a_conflict(cli: Any, workspace: Path) -> None:
    (workspace / "notes.md").write_text("quite\nanother\ntext\n")
    done = cli("-C", workspace, "propose", "--patch", "-", *BY, "--json", stdin=UPDATE_NOTES)
    assert done.code == 5
    assert "notes.md" in done.json["message"]
    text = cli("-C", workspace, "propose", "--patch", "-", *BY, stdin=UPDATE_NOTES)
    assert "Your files were not touched." in text.err


def test_a_workspace_that_moved_on_is_a_conflict_at_execution(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    (workspace / "notes.md").write_text("mine\n")
    done = cli("-C", workspace, "execute", plan, "--json")
    assert (done.code, done.json["status"]) == (5, "conflict")
    assert (workspace / "notes.md").read_text() == "mine\n"


def test_a_git_range_and_json_documents_are_taken(cli: Any, workspace: Path, tmp_path: Path) -> None:
    (workspace / "notes.md").write_text("one\ntwo\nthree\nfour\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    environment = quiet_environment(tmp_path)
    subprocess.run(["git", *identity, "commit", "-q", "-am", "more"], cwd=workspace, check=True, env=environment)
    subprocess.run(["git", "checkout", "-q", "HEAD~1", "--", "."], cwd=workspace, check=True, env=environment)
    answer = cli("-C", workspace, "check", "--git", "HEAD~1..HEAD", *BY, "--json").json
    assert [change["path"] for change in answer["changes"]] == ["notes.md"]
    from lonelycat import ChangePlan, ChangeSet, FileChange

    plan = ChangePlan.new(intent="from documents", created_by="agent:coder")
    changeset = ChangeSet.build(plan_id=plan.id, changes=[FileChange.create("docs/n.md", b"x\n")])
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    (tmp_path / "cs.json").write_text(changeset.model_dump_json())
    done = cli("-C", workspace, "run", "--plan", tmp_path / "plan.json", "--changeset", tmp_path / "cs.json", "--json")
    assert (done.code, done.json["plan_id"], done.json["checksum"]) == (0, plan.id, changeset.checksum)


def test_reject_is_final(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    done = cli("-C", workspace, "reject", plan, "--by", "maria", "--note", "no \x1b[31mthanks", "--json")
    assert done.code == 0
    assert done.json["plan_id"] == plan
    executed = cli("-C", workspace, "execute", plan, "--json")
    assert (executed.code, executed.json["code"]) == (4, "PLAN_REJECTED")
    assert "\x1b" not in cli("-C", workspace, "show", plan).text


def test_executing_without_approval_is_3(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    done = cli("-C", workspace, "execute", plan, "--json")
    assert (done.code, done.json["code"]) == (3, "APPROVAL_MISSING")
    assert not (workspace / "guarded").exists()


def test_approval_without_terminal_or_key_is_refused(cli: Any, process: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    done = process("-C", workspace, "approve", plan, "--by", "maria", "--json", stdin=b"approve 12345678\n")
    assert (done.code, done.json["code"]) == (2, "APPROVAL_NEEDS_PERSON")
    assert "--key" in done.json["hint"]


def test_approval_with_a_key(cli: Any, workspace: Path, tmp_path: Path) -> None:
    key = tmp_path / "maria.key"
    made = cli("-C", workspace, "approver", "new", "maria", "--out", key, "--json").json
    assert key.stat().st_mode & 0o777 == 0o600
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + made["policy_lines"] + "\n")
    assert cli("-C", workspace, "policy", "check", "--json").code == 0
    inside = cli("-C", workspace, "approver", "new", "eve", "--out", workspace / "eve.key", "--json")
    assert (inside.code, inside.json["code"]) == (2, "KEY_INSIDE_WORKSPACE")

    plan = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    approved = cli("-C", workspace, "approve", plan, "--by", "maria", "--note", "fine", "--key", key, "--json")
    assert approved.code == 0, approved.text
    assert approved.json["status"] == "approved"
    assert approved.json["approvals"][0]["method"] == "key"
    assert cli("-C", workspace, "execute", plan, "--json").json["status"] == "completed"
    proposer = cli("-C", workspace, "approve", plan, "--by", "agent:coder", "--key", key, "--json")
    assert proposer.code in (2, 4)


def test_tampering_is_refused_and_found(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    assert cli("-C", workspace, "audit", "verify", "--json").code == 0
    with closing(sqlite3.connect(workspace / ".lonelycat/lonelycat.db")) as database, database:
        database.execute("UPDATE proposals SET changeset = replace(changeset, 'TWO', 'EVIL')")
    executed = cli("-C", workspace, "execute", plan, "--json")
    assert executed.code == 4
    assert "TAMPERED" in executed.json["code"]
    verified = cli("-C", workspace, "audit", "verify", "--json")
    assert verified.code == 4
    assert plan in verified.json["problems"][0]["message"]
    assert "ALTERED" in cli("-C", workspace, "audit", "verify").text
    doctor = cli("-C", workspace, "doctor", "--json")
    assert doctor.code != 0
    assert doctor.json["findings"]
    assert (workspace / "notes.md").read_text() == "one\ntwo\nthree\n"


def test_evidence_that_was_edited_is_not_shown_as_if_it_were_whole(cli: Any, workspace: Path) -> None:
    done = run(cli, workspace, UPDATE_NOTES)
    execution, plan = done["execution_id"], done["plan_id"]
    assert cli("-C", workspace, "show", execution, "--json").json["edited"] == []
    place = workspace / ".lonelycat/executions" / execution
    (place / "steps/added.log").write_text("never happened\n")
    assert "steps/added.log was added" in cli("-C", workspace, "show", execution).text
    assert b"+TWO" in cli("-C", workspace, "diff", execution).out, "the diff itself is whole"
    (place / "diff.patch").write_text((place / "diff.patch").read_text().replace("TWO", "EVIL"))
    shown = cli("-C", workspace, "show", execution)
    assert "ALTERED  diff.patch was edited" in shown.text
    assert "diff.patch was edited" in cli("-C", workspace, "show", execution, "--json").json["edited"]
    for identifier in (execution, plan):
        refused = cli("-C", workspace, "diff", identifier)
        assert (refused.code, refused.out) == (4, b"") and "ARTIFACT_TAMPERED" in refused.err
    verified = cli("-C", workspace, "audit", "verify")
    assert verified.code == 4 and "note the head" not in verified.text
    assert "docs/runbook.md#altered-records" in verified.text


def test_audit_export_and_expected_head(cli: Any, workspace: Path) -> None:
    run(cli, workspace, UPDATE_NOTES)
    exported = cli("-C", workspace, "audit", "export")
    records = [json.loads(line) for line in exported.text.splitlines()]
    assert len(records) > 2
    assert cli("-C", workspace, "audit", "export", "--json").json["records"] == records
    head = cli("-C", workspace, "audit", "verify", "--json").json["head"]
    noted = f"{head['seq']}:{head['hash']}"
    assert cli("-C", workspace, "audit", "verify", "--expect-head", noted, "--json").code == 0
    ahead = f"{head['seq'] + 5}:{'0' * 64}"
    assert cli("-C", workspace, "audit", "verify", "--expect-head", ahead, "--json").code == 4
    assert cli("-C", workspace, "audit", "verify", "--expect-head", "nonsense", "--json").json["code"] == "USAGE"


def test_status_shows_what_waits(cli: Any, workspace: Path) -> None:
    assert cli("-C", workspace, "status", "--json").json["initialised"] is False
    assert "lonelycat init" in cli("-C", workspace, "status").text
    waiting = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    ready = propose(cli, workspace, create("docs/a.md"))["plan_id"]
    facts = cli("-C", workspace, "status", "--json").json
    assert [item["plan_id"] for item in facts["awaiting_approval"]] == [waiting]
    assert [item["plan_id"] for item in facts["approved"]] == [ready]
    run(cli, workspace, UPDATE_NOTES)
    text = cli("-C", workspace, "status").text
    assert "COMPLETED       change something" in text
    assert f"lonelycat approve {waiting}" in text
    assert f"lonelycat execute {ready}" in text


def _where(cli: Any, workspace: Path, plan: str) -> str:
    """Return what ``show`` says of where a plan stands, with the command that it names."""
    lines = cli("-C", workspace, "show", plan).text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  proposed "))
    return " ".join(line.strip() for line in lines[start : start + 2])


def test_show_says_where_a_plan_stands_and_what_takes_it_further(cli: Any, workspace: Path) -> None:
    allowed = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    said = _where(cli, workspace, allowed)
    assert "the policy allows it, so nobody has to approve it" in said and f"lonelycat execute {allowed}" in said
    assert "approved" not in said
    waiting = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    assert f"waits for a person what now: lonelycat approve {waiting}" in _where(cli, workspace, waiting)
    denied = propose(cli, workspace, create("x/.env"))["plan_id"]
    assert "denied: nobody can approve or execute it" in _where(cli, workspace, denied)
    cli("-C", workspace, "reject", waiting, "--by", "maria", "--note", "no")
    assert "rejected for good" in _where(cli, workspace, waiting)
    done = cli("-C", workspace, "execute", allowed, "--json").json["execution_id"]
    assert f"executed last as {done}: completed" in _where(cli, workspace, allowed)
    assert "lonelycat execute" not in cli("-C", workspace, "show", allowed).text


def test_what_the_policy_no_longer_stands_behind_is_not_ready(cli: Any, workspace: Path) -> None:
    ready = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    waiting = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + "# another one\n")
    facts = cli("-C", workspace, "status", "--json").json
    assert (facts["approved"], facts["awaiting_approval"]) == ([], [])
    assert sorted(item["plan_id"] for item in facts["void"]) == sorted([ready, waiting])
    shown = cli("-C", workspace, "status").text
    assert f"lonelycat execute {ready}" not in shown and f"lonelycat approve {waiting}" not in shown
    assert "void since the policy was changed" in _where(cli, workspace, ready)
    assert cli("-C", workspace, "show", ready, "--json").json["void"] == "policy_changed"
    refused = cli("-C", workspace, "execute", ready, "--json").json
    assert refused["code"] == "POLICY_CHANGED"
    named = f"lonelycat propose --rebase {ready}"
    assert named in refused["hint"] and named in shown and named in _where(cli, workspace, ready)
    assert cli("-C", workspace, *named.split()[1:], "--json").json["plan_id"] != ready


def test_what_was_decided_too_long_ago_is_not_ready(cli: Any, workspace: Path) -> None:
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + "approvals: {expires_after: 1}\n")
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    until(lambda: cli("-C", workspace, "status", "--json").json["void"], "the decision's end")
    assert "void since its decision expired" in _where(cli, workspace, plan)
    refused = cli("-C", workspace, "execute", plan, "--json").json
    assert refused["code"] == "DECISION_EXPIRED" and f"lonelycat propose --rebase {plan}" in refused["hint"]
    assert cli("-C", workspace, "status", "--json").json["void"], "also once it was refused"


def test_a_plan_that_was_executed_too_early_is_ready_once_it_is_approved(cli: Any, workspace: Path) -> None:
    from lonelycat import LonelyCat
    from lonelycat.runtime.consent import TerminalConfirmation

    plan = propose(cli, workspace, create("guarded/a.md"))["plan_id"]
    assert cli("-C", workspace, "execute", plan).code == 3
    assert f"lonelycat approve {plan}" in cli("-C", workspace, "status").text
    cat = LonelyCat.open(workspace)
    cat.approve(plan, by="maria", confirmation=TerminalConfirmation(cat.confirmation_phrase(plan), "/dev/pts/test"))
    assert f"lonelycat execute {plan}" in cli("-C", workspace, "status").text
    assert cli("-C", workspace, "execute", plan).code == 0


def test_a_stored_plan_that_is_checked_again_names_a_command_that_takes_it(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    done = cli("-C", workspace, "check", plan, "--json")
    assert done.code == 0 and "with the same arguments" not in done.json["hint"]
    assert f"lonelycat show {plan}" in done.json["hint"]


def test_the_diff_of_a_plan_stays_what_it_was_when_the_files_move_on(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    before = cli("-C", workspace, "diff", plan).out
    assert b"-two\n+TWO\n" in before
    (workspace / "notes.md").write_text("quite another text\n")
    assert cli("-C", workspace, "diff", plan).out == before
    (workspace / "notes.md").write_text("one\ntwo\nthree\n")
    assert cli("-C", workspace, "execute", plan).code == 0
    assert cli("-C", workspace, "diff", plan).out == before


HEALTH = """
health_checks:
  web: {kind: command, with: {argv: ["{python}", -c, pass]}}
  disk: {kind: command, with: {argv: ["{python}", -c, pass]}}
"""


def test_status_names_health_checks_that_never_failed_where_they_can_be_tested(cli: Any, workspace: Path) -> None:
    from lonelycat.records.entries import AuditEvent, AuditType
    from lonelycat.runtime.bootstrap import Wiring
    from lonelycat.settings import Settings

    def told() -> tuple[list[str], str]:
        return cli("-C", workspace, "status", "--json").json["unproven"], cli("-C", workspace, "status").text

    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + HEALTH)
    propose(cli, workspace, create("docs/a.md"))
    names, text = told()
    assert names == [] and "unproven" not in text, "nobody could test them"
    policy.write_text(policy.read_text() + "health_test: {ready_timeout: 5}\n")
    names, text = told()
    assert names == ["web", "disk"] and "unproven health checks web, disk: see `lonelycat health test`" in text
    records = Wiring(Settings.for_workspace(workspace)).records
    records.audit(AuditEvent(AuditType.HEALTH_TESTED, "ada", {"proven": ["web"], "checks": ["web"], "faults": []}))
    names, text = told()
    assert names == ["disk"] and "unproven health checks disk: see" in text
    policy.write_text("nonsense")
    assert told()[0] == [], "what waits is told whatever the policy is"


def test_log_filters(cli: Any, workspace: Path) -> None:
    kept = run(cli, workspace, UPDATE_NOTES)
    failed = run(cli, workspace, create("broken/a.md"))

    def ids(*filters: str) -> list[str]:
        return [entry["execution_id"] for entry in cli("-C", workspace, "log", *filters, "--json").json["executions"]]

    assert ids() == [failed["execution_id"], kept["execution_id"]]
    assert ids("--limit", "1") == [failed["execution_id"]]
    assert ids("--status", "completed") == [kept["execution_id"]]
    assert ids("--plan", failed["plan_id"]) == [failed["execution_id"]]
    assert ids("--path", "notes.md") == [kept["execution_id"]]
    assert len(ids("--since", "1h")) == 2
    assert ids("--since", "2990-01-01") == []
    for elsewhere in ("../notes.md", str(workspace / "notes.md")):
        done = cli("-C", workspace, "log", "--path", elsewhere, "--json")
        assert (done.code, done.json["code"][:5]) == (2, "PATH_"), "no file of the workspace is called so"
    for wrong in (("--status", "fine"), ("--since", "yesterday"), ("--since", "1000000d"), ("--limit", "0")):
        done = cli("-C", workspace, "log", *wrong, "--json")
        assert (done.code, done.json["code"]) == (2, "USAGE"), wrong


def test_init_never_overwrites(cli: Any, tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    root.mkdir()
    (root / "app.py").write_text("print(1)\n")
    first = cli("-C", root, "init", "--json").json
    assert "agent/policies/default.yaml" in first["created"]
    policy = (root / "agent/policies/default.yaml").read_bytes()
    again = cli("-C", root, "init", "--json").json
    assert "agent/policies/default.yaml" in again["kept"]
    assert (root / "agent/policies/default.yaml").read_bytes() == policy
    assert "READY" in cli("-C", root, "init").text
    assert cli("-C", root, "doctor", "--json").code == 0
    assert cli("-C", root, "recover", "--json").json["recovered"] == []
    assert "NOTHING TO DO" in cli("-C", root, "recover").text


def test_policy_commands(cli: Any, workspace: Path, tmp_path: Path) -> None:
    assert cli("-C", workspace, "policy", "check", "--json").json["name"] == "cli-tests"
    assert "VALID" in cli("-C", workspace, "policy", "check").text
    assert cli("-C", workspace, "policy", "test", "--json").json["results"][0]["passed"] is True
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\nname: x\nexecutor: {allowed_paths: ['**'], frobbidden: []}\n")
    done = cli("-C", workspace, "policy", "check", broken, "--json")
    assert done.code == 2
    assert "frobbidden" in done.json["message"]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((workspace / "agent/policies/default.yaml").read_text().replace("expect: ALLOW", "expect: DENY"))
    failed = cli("-C", workspace, "policy", "test", wrong, "--json")
    assert (failed.code, failed.json["code"]) == (2, "POLICY_TESTS_FAILED")
    assert "expect" in cli("-C", workspace, "policy", "test", wrong).text
    schema = cli("-C", workspace, "policy", "schema")
    assert json.loads(schema.text) == cli("-C", workspace, "policy", "schema", "--json").json["schema"]
    explained = cli("-C", workspace, "policy", "explain", "--patch", "-", "--json", stdin=create("guarded/x"))
    assert explained.code == 0
    assert "guarded" in " ".join(explained.json["sentences"])


def test_gc_and_unfreeze(cli: Any, workspace: Path) -> None:
    run(cli, workspace, UPDATE_NOTES)
    assert cli("-C", workspace, "gc", "--dry-run", "--json").json["executions"] == []
    assert cli("-C", workspace, "gc").code == 0
    done = cli("-C", workspace, "unfreeze", "--by", "maria", "--reason", "looked", "--json")
    assert (done.code, done.json["code"]) == (2, "NOT_FROZEN")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("check", "--patch", "nowhere.patch"), "FILE_UNREADABLE"),
        (("check", "--patch", "."), "FILE_UNREADABLE"),
        (("check", "--patch", "nul\0byte"), "FILE_UNREADABLE"),
        (("check", "--patch", "-", "--plan", "-"), "USAGE"),
        (("check",), "CHANGE_SOURCE"),
        (("-C", "nowhere", "check", "--patch", "-"), "WORKSPACE_MISSING"),
        (("execute", "plan_unknown"), "PLAN_UNKNOWN"),
        (("show", "nothing"), "ID_UNKNOWN"),
        (("diff", "nothing"), "ID_UNKNOWN"),
        (("revert", "exec_unknown", "--by", "me"), "EXECUTION_UNKNOWN"),
        (("approve", "plan_unknown", "--by", "me", "--key", "/nowhere"), None),
        (("check", "--git", "no..where", "--intent", "x"), None),
        (("check", "--patch", "-"), "INTENT_MISSING"),
    ],
)
def test_bad_input_is_2_and_says_what_now(
    cli: Any, workspace: Path, arguments: tuple[str, ...], code: str | None
) -> None:
    done = cli(*arguments, "--json", cwd=workspace, stdin=UPDATE_NOTES)
    assert done.code == 2
    assert done.json["hint"]
    if code is not None:
        assert done.json["code"] == code
    text = cli(*arguments, cwd=workspace, stdin=UPDATE_NOTES)
    assert text.code == 2
    assert text.out == b""
    assert "what now: " in text.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("execute",), "PLAN_UNKNOWN"),
        (("reject", "--by", "maria"), "PLAN_UNKNOWN"),
        (("show",), "ID_UNKNOWN"),
        (("diff",), "ID_UNKNOWN"),
        (("revert", "--by", "maria"), "EXECUTION_UNKNOWN"),
        (("log", "--plan"), None),
    ],
)
def test_an_id_that_is_no_text_is_unknown(
    cli: Any, workspace: Path, arguments: tuple[str, ...], code: str | None
) -> None:
    propose(cli, workspace, UPDATE_NOTES)
    done = cli("-C", workspace, "--json", *arguments, os.fsdecode(b"plan_\xff"))
    assert done.json["code"] == code, done.text


def test_a_workspace_is_found_from_below(cli: Any, workspace: Path) -> None:
    plan = propose(cli, workspace, UPDATE_NOTES)["plan_id"]
    below = workspace / "deep" / "down"
    below.mkdir(parents=True)
    assert cli("show", plan, "--json", cwd=below).json["plan_id"] == plan


def test_a_reader_that_goes_away_is_no_error(workspace: Path, tmp_path: Path, cli: Any) -> None:
    for _ in range(3):
        propose(cli, workspace, create("docs/a.md"))
    process = subprocess.Popen(
        [sys.executable, "-m", "lonelycat", "-C", str(workspace), "audit", "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=quiet_environment(tmp_path),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert error == b""


def test_a_full_disk_under_the_output_is_said(workspace: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lonelycat", "-C", str(workspace), "policy", "check"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=quiet_environment(tmp_path),
        )
    assert done.returncode == 1
    assert b"OUTPUT_FAILED" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_console_script_is_the_same_program(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("lonelycat")
    done = subprocess.run([script, "--version"], capture_output=True, env=quiet_environment(tmp_path), check=True)
    assert done.stdout.startswith(b"lonelycat ")
    assert os.access(script, os.X_OK)
