"""The library as it is promised: the snippet of the design, its names and its signatures, in an empty directory."""

from __future__ import annotations

import errno
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lonelycat

PROMISED = (
    "ChangePlan",
    "ChangeSet",
    "FileChange",
    "Operation",
    "RiskLevel",
    "Verdict",
    "Planner",
    "WriteGate",
    "Executor",
    "LockManager",
    "IdempotencyManager",
    "IdempotencyCheck",
    "ExecutionRecord",
)

SNIPPET = """
import pathlib
from lonelycat import (ChangePlan, ChangeSet, FileChange, Operation, RiskLevel, Verdict, Planner, WriteGate, Executor,
                       LockManager, IdempotencyManager, IdempotencyCheck, ExecutionRecord)

changes = [FileChange.create("docs/a.md", b"hello\\n")]
plan, changeset = Planner.from_workspace(root).plan(intent="Say hello", created_by="agent:x", changes=changes)
decision = WriteGate.from_workspace(root).evaluate(plan, changeset)
assert decision.verdict is Verdict.ALLOW, decision.reasons
result = Executor(root, dry_run=False, use_locking=True, use_idempotency=True).execute(
    plan, changeset, decision, approvals=())
assert (result.success, str(result.status), result.cached, result.error_code) == (True, "completed", False, None)
assert result.execution_id.startswith("exec_")
assert pathlib.Path(root, "docs/a.md").read_bytes() == b"hello\\n"
assert Executor(root).execute(plan, changeset, decision).cached

lock_manager = LockManager(root, timeout_seconds=600)
with lock_manager.lock_execution("exec_mine", plan.id):
    pass

record = None
with IdempotencyCheck(IdempotencyManager(root, ttl_seconds=3600), plan.id, changeset.checksum) as check:
    assert check.already_executed
    record = check.previous_record
assert isinstance(record, ExecutionRecord)
assert (record.execution_id, record.status) == (result.execution_id, "completed")
print("held")
"""


def _python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=100
    )


def test_the_snippet_of_the_design_runs_in_an_empty_directory_without_policy_or_init(tmp_path: Path) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    done = _python(f"root = {str(root)!r}\n{SNIPPET}", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "held\n", "")
    assert sorted(path.name for path in root.iterdir()) == [".lonelycat", "docs"]


def test_every_public_name_is_there_and_nothing_else_is_promised() -> None:
    assert set(PROMISED) <= set(lonelycat.__all__)
    for name in lonelycat.__all__:
        assert getattr(lonelycat, name) is not None
    with pytest.raises(AttributeError, match="unheard_of"):
        _ = lonelycat.unheard_of  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize("heavy", ["pydantic", "sqlalchemy", "alembic", "psutil", "cryptography", "rich", "yaml"])
def test_importing_the_package_alone_imports_nothing_heavy(tmp_path: Path, heavy: str) -> None:
    done = _python("import lonelycat, sys; print(sys.argv[1] in sys.modules)", heavy, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize("name", lonelycat.__all__)
def test_every_name_can_be_imported_first(tmp_path: Path, name: str) -> None:
    """No name needs another one to have been imported before it."""
    done = _python(f"from lonelycat import {name}; print('there')", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("there\n", "")


def _parameters(function: object) -> list[str]:
    assert callable(function)
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_the_signatures_of_the_design() -> None:
    assert _parameters(lonelycat.FileChange.create)[:2] == ["path", "content"]
    assert _parameters(lonelycat.FileChange.update)[:3] == ["path", "old", "new"]
    assert _parameters(lonelycat.FileChange.delete)[:2] == ["path", "old"]
    assert _parameters(lonelycat.FileChange.rename)[:3] == ["old_path", "path", "content"]
    assert {"intent", "created_by"} <= set(_parameters(lonelycat.ChangePlan.new))
    assert {"plan_id", "changes"} <= set(_parameters(lonelycat.ChangeSet.build))
    assert _parameters(lonelycat.LockManager)[:2] == ["workspace_root", "timeout_seconds"]
    assert _parameters(lonelycat.LockManager.lock_execution) == ["execution_id", "plan_id"]
    assert _parameters(lonelycat.IdempotencyManager)[:2] == ["workspace_root", "ttl_seconds"]
    assert _parameters(lonelycat.IdempotencyCheck) == ["manager", "plan_id", "checksum"]
    assert _parameters(lonelycat.Executor)[:4] == ["root", "dry_run", "use_locking", "use_idempotency"]
    assert _parameters(lonelycat.Executor.execute) == ["plan", "changeset", "decision", "approvals"]
    defaults = {name: item.default for name, item in inspect.signature(lonelycat.Executor).parameters.items()}
    assert (defaults["dry_run"], defaults["use_locking"], defaults["use_idempotency"]) == (False, True, True)
    assert inspect.signature(lonelycat.LockManager).parameters["timeout_seconds"].default == 600
    assert inspect.signature(lonelycat.IdempotencyManager).parameters["ttl_seconds"].default == 3600


def test_the_positional_forms_of_a_file_change() -> None:
    change = lonelycat.FileChange
    assert change.create("a", b"x").operation is lonelycat.Operation.CREATE
    updated = change.update("a", b"x", b"y")
    assert (updated.operation, updated.content) == (lonelycat.Operation.UPDATE, b"y")
    assert change.delete("a", b"x").new_hash is None
    renamed = change.rename("a", "b", b"x")
    assert (renamed.operation, renamed.old_path, renamed.path) == (lonelycat.Operation.RENAME, "a", "b")
    assert renamed.content is None


def test_a_plan_and_a_change_set_made_by_hand_take_the_same_path(tmp_path: Path) -> None:
    changes = [lonelycat.FileChange.create("docs/a.md", "hello\n")]
    plan = lonelycat.ChangePlan.new(intent="Say hello", created_by="agent:x", verification_plan=["syntax"])
    changeset = lonelycat.ChangeSet.build(plan_id=plan.id, changes=changes)
    assert plan.risk_level_proposed is lonelycat.RiskLevel.LOW
    decision = lonelycat.WriteGate.from_workspace(tmp_path).evaluate(plan, changeset)
    result = lonelycat.Executor(tmp_path).execute(plan, changeset, decision)
    assert (result.success, result.files_changed) == (True, ("docs/a.md",))
    assert result.verification_passed


def test_risk_is_a_total_order() -> None:
    levels = list(lonelycat.RiskLevel)
    assert [str(level) for level in levels] == ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    assert sorted(levels, reverse=True) == levels[::-1]


def test_an_idempotency_check_keeps_what_its_block_did(tmp_path: Path) -> None:
    changes = [lonelycat.FileChange.create("docs/a.md", "hello\n")]
    planner, gate = lonelycat.Planner.from_workspace(tmp_path), lonelycat.WriteGate.from_workspace(tmp_path)
    plan, changeset = planner.plan(intent="Say hello", created_by="agent:x", changes=changes)
    manager = lonelycat.IdempotencyManager(tmp_path, ttl_seconds=3600)
    other, more = planner.plan(
        intent="Say more", created_by="agent:x", changes=[lonelycat.FileChange.create("docs/b.md", "hello\n")]
    )
    with lonelycat.IdempotencyCheck(manager, plan.id, changeset.checksum) as check:
        assert not check.already_executed
        assert check.previous_record is None
        foreign = lonelycat.Executor(tmp_path).execute(other, more, gate.evaluate(other, more))
        with pytest.raises(lonelycat.LonelyCatError) as refused:
            check.record_result(foreign)
        assert refused.value.code == "IDEMPOTENCY_OTHER_KEY"
        result = lonelycat.Executor(tmp_path).execute(plan, changeset, gate.evaluate(plan, changeset))
        check.record_result(result)
    with lonelycat.IdempotencyCheck(manager, plan.id, changeset.checksum) as again:
        assert again.already_executed
        assert again.previous_record is not None
        assert again.previous_record.execution_id == result.execution_id
    expired = lonelycat.IdempotencyManager(tmp_path, ttl_seconds=0)
    with lonelycat.IdempotencyCheck(expired, plan.id, changeset.checksum) as late:
        assert not late.already_executed


def test_expected_failures_are_results_and_not_exceptions(tmp_path: Path) -> None:
    planner, gate = lonelycat.Planner.from_workspace(tmp_path), lonelycat.WriteGate.from_workspace(tmp_path)
    denied = planner.plan(
        intent="Write a secret", created_by="agent:x", changes=[lonelycat.FileChange.create(".env", "A=1\n")]
    )
    workflow = lonelycat.FileChange.create(".github/workflows/a.yml", "on: x\n")
    held = planner.plan(intent="Change CI", created_by="agent:x", changes=[workflow])
    lost = planner.plan(
        intent="Change it", created_by="agent:x", changes=[lonelycat.FileChange.update("docs/none.md", "a\n", "b\n")]
    )
    outcomes = []
    for plan, changeset in (denied, held, lost):
        result = lonelycat.Executor(tmp_path).execute(plan, changeset, gate.evaluate(plan, changeset))
        outcomes.append((result.success, str(result.status), result.error_code))
        assert result.message
        assert result.hint
    assert outcomes == [
        (False, "rejected", "DECISION_DENIED"),
        (False, "rejected", "APPROVAL_MISSING"),
        (False, "conflict", "FILE_MISSING"),
    ]


def test_a_workspace_that_is_none_is_an_error(tmp_path: Path) -> None:
    for make in (
        lonelycat.Planner.from_workspace,
        lonelycat.WriteGate.from_workspace,
        lonelycat.Executor,
        lonelycat.LonelyCat.open,
    ):
        with pytest.raises(lonelycat.LonelyCatError) as refused:
            make(tmp_path / "nowhere")
        assert refused.value.code == "WORKSPACE_MISSING"


def test_a_workspace_whose_disk_does_not_answer_is_an_error_with_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: Path) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(lonelycat.LonelyCatError) as refused:
        lonelycat.LonelyCat.open(tmp_path)
    assert refused.value.code == "IO_ERROR"
    assert refused.value.hint
