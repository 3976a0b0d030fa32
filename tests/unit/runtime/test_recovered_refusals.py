"""An executor that dies leaves evidence that recovery makes whole: the receipt of a refusal, and none of nothing."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from tests.acceptance.ground import Ground

from lonelycat import FileChange
from lonelycat.lifecycle import Status
from lonelycat.runtime import finishing


def test_a_receipt_that_a_death_left_unwritten_is_written_by_recovery(
    begun: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id = begun.keep([FileChange.update("app/settings.txt", "old\n", "new\n")]).plan.id
    begun.write({"app/settings.txt": "somebody else's\n"})
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(finishing, "write_receipt", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        begun.cat().execute(plan_id)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (row,) = begun.cat().log()
    assert (row.result.status, row.result.error_code) == (Status.CONFLICT, "FILE_CHANGED")
    begun.cat().recover()
    assert [item.result for item in begun.cat().log()] == [row.result]
    assert (begun.root / "app/settings.txt").read_text() == "somebody else's\n"
    begun.assert_sound()


def test_artifacts_that_a_power_cut_took_whole_are_not_promised_a_receipt(
    begun: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are durable at the commit point; an execution that died before it may have left none."""
    plan_id = begun.keep([FileChange.update("app/settings.txt", "old\n", "new\n")]).plan.id
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(finishing.Finisher, "commit", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        begun.cat().execute(plan_id)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (execution_id,) = begun.leftovers()
    shutil.rmtree(begun.root / ".lonelycat/executions" / execution_id)
    begun.cat().recover()
    assert [item.result.status for item in begun.cat().log()] == [Status.ROLLED_BACK]
    begun.assert_sound()
