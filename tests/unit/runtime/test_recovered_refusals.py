"""An executor that dies right after it recorded a refusal leaves evidence that recovery makes whole."""

from __future__ import annotations

import os
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
