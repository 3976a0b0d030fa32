"""``rolled_back`` is said only of a tree whose digest is that of the pre-image, and of health that is no worse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.acceptance import everything
from tests.acceptance.ground import Ground

from lonelycat import ExecutionResult, FileChange
from lonelycat.executor import rollback
from lonelycat.lifecycle import Status

FAILS = "sys.exit(3)"


def _prepared(ground: Ground, code: str = FAILS) -> Ground:
    ground.policy["verification"]["look"]["argv"] = ground.argv(code)
    everything.prepare(ground)
    return ground.begin({"README.md": "# Rollback\n"})


def _receipt(ground: Ground, result: ExecutionResult) -> dict[str, Any]:
    path = ground.root / ".lonelycat/executions" / result.execution_id / "receipt.json"
    receipt: dict[str, Any] = json.loads(path.read_text())
    return receipt


def test_both_digests_are_in_result_receipt_history_and_audit(ground: Ground) -> None:
    _prepared(ground)
    result = ground.execute(ground.judge(everything.changes()))
    assert result.status is Status.ROLLED_BACK
    assert result.pre_image is not None and len(result.pre_image) == 64
    assert result.rollback_image == result.pre_image
    (row,) = ground.cat().log()
    assert (row.result.pre_image, row.result.rollback_image, row.intact) == (result.pre_image, result.pre_image, True)
    receipt = _receipt(ground, result)
    assert (receipt["pre_image"], receipt["rollback_image"]) == (result.pre_image, result.pre_image)
    (told,) = [record for record in ground.cat().audit_export() if record["type"] == "execution.finished"]
    payload: Any = told["payload"]
    assert (payload["pre_image"], payload["rollback_image"]) == (result.pre_image, result.pre_image)
    ground.assert_sound()


def test_a_kept_change_has_a_pre_image_and_nothing_was_rolled_back(ground: Ground) -> None:
    _prepared(ground, "pass")
    result = ground.execute(ground.judge(everything.changes()))
    assert result.success and result.pre_image and result.rollback_image is None


def test_the_digest_covers_bytes_modes_links_and_directories(ground: Ground) -> None:
    """The same change against trees that differ in one thing that git does or does not track."""
    ground.write({"d/only.txt": "x\n", "keep/other.txt": "y\n"})
    _prepared(ground)
    changes = [FileChange.delete("d/only.txt", "x\n"), FileChange.create("fresh/made.txt", "new\n")]

    def pre_image() -> str | None:
        result = ground.execute(ground.judge(changes), use_idempotency=False)
        assert result.rollback_image == result.pre_image
        for item in ground.cat().doctor():
            assert item.code == "DIGEST_QUARANTINED"
        checksum = ground.judge(changes).changeset.checksum
        ground.cat()._wiring.records.release_failed_change(checksum, "Ada", "again")
        return result.pre_image

    seen = [pre_image()]
    assert pre_image() == seen[0], "nothing changed"
    (ground.root / "d/only.txt").chmod(0o640)  # git's mode is the same
    seen.append(pre_image())
    (ground.root / "d").chmod(0o750)
    seen.append(pre_image())
    (ground.root / "fresh").mkdir()  # not made by the change any more
    seen.append(pre_image())
    assert len(set(seen)) == len(seen)


def _sabotage_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let undo forget a file, and the verification path by path not notice."""
    monkeypatch.setattr(rollback._Undo, "_restore", lambda self, operation: None)
    monkeypatch.setattr(rollback._Undo, "_verify", lambda self: None)


def test_a_tree_that_is_not_as_before_is_a_failed_rollback_whatever_undo_believes(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepared(ground)
    _sabotage_undo(monkeypatch)
    result = ground.execute(ground.judge([FileChange.update("app/settings.txt", "old\n", "new\n")]))
    assert (result.status, result.error_code) == (Status.ROLLBACK_FAILED, "ROLLBACK_FAILED")
    assert "app/settings.txt does not hold what it held before" in result.message
    assert result.rollback_image not in (None, result.pre_image)
    assert "docs/runbook.md#frozen-workspace-rollback-failed" in result.hint
    findings = {finding.code: finding for finding in ground.cat().doctor()}
    assert "docs/runbook.md#frozen-workspace-rollback-failed" in findings["WORKSPACE_FROZEN"].hint
    monkeypatch.undo()
    (recovered,) = ground.cat().recover().recovered
    assert str(recovered.outcome) == "undone"
    assert (ground.root / "app/settings.txt").read_text() == "old\n"


def test_a_mode_that_did_not_go_back_is_a_failed_rollback(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    _prepared(ground)
    _sabotage_undo(monkeypatch)
    script = FileChange.update("bin/run.sh", "#!/bin/sh\n", "#!/bin/sh\n", old_mode="100755", new_mode="100644")
    result = ground.execute(ground.judge([script]))
    assert (result.status, result.error_code) == (Status.ROLLBACK_FAILED, "ROLLBACK_FAILED")
    assert "bin/run.sh does not hold what it held before" in result.message


def test_permissions_that_somebody_gave_the_old_file_are_theirs(ground: Ground) -> None:
    """A check that reaches into the transaction: the backup is the old file itself, and so is what it does to it."""
    _prepared(ground, "list(pathlib.Path('.lonelycat/tx').glob('*/*.old'))[0].chmod(0o600); sys.exit(3)")
    result = ground.execute(ground.judge([FileChange.update("app/settings.txt", "old\n", "new\n")]))
    assert result.status is Status.CONFLICT
    assert [conflict.path for conflict in result.conflicts] == ["app/settings.txt"]
    assert result.rollback_image not in (None, result.pre_image)
    assert (ground.root / "app/settings.txt").read_text() == "old\n", "its bytes are back all the same"


def test_what_somebody_else_wrote_meanwhile_is_a_conflict_and_the_digests_differ(ground: Ground) -> None:
    _prepared(ground, "pathlib.Path('app/settings.txt').write_text('theirs'); sys.exit(3)")
    result = ground.execute(ground.judge([FileChange.update("app/settings.txt", "old\n", "new\n")]))
    assert result.status is Status.CONFLICT
    assert result.rollback_image not in (None, result.pre_image)


def test_a_digest_that_cannot_be_taken_is_no_success(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*_: object) -> None:
        raise OSError(5, "Input/output error")

    _prepared(ground)
    monkeypatch.setattr(rollback, "look_again", blind)
    result = ground.execute(ground.judge([FileChange.update("app/settings.txt", "old\n", "new\n")]))
    assert result.status is Status.ROLLBACK_FAILED
    assert "cannot be compared with what it was" in result.message
    assert result.rollback_image is None
