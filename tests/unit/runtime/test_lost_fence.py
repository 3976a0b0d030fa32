"""The fence counter is lost and the clock was set back: what comes next is still told apart from what came before."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta

import pytest
from tests.acceptance.ground import Ground

from lonelycat import FileChange
from lonelycat.clock import SystemClock
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.recovery import RecoveryOutcome
from lonelycat.lifecycle import Status
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.overview import recover
from lonelycat.settings import Settings

CHANGES = [FileChange.create("docs/fish.md", "Fresh.\n")]
LATER = [FileChange.create("docs/cats.md", "Loud.\n")]


class Dies(FileSystem):
    """The process ends once a file is in the tree."""

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        super().move(directory, name, to_directory, to_name)
        if to_name == "cats.md":
            os._exit(9)


class SetBack(SystemClock):
    """A clock that somebody set back by a minute."""

    def now(self) -> datetime:
        return super().now() - timedelta(minutes=1)


@pytest.fixture
def begun(ground: Ground) -> Ground:
    return ground.begin()


def test_an_execution_after_it_is_recorded(begun: Ground) -> None:
    first = begun.execute(begun.judge(CHANGES))
    assert first.success
    proposed = begun.judge(LATER)
    shutil.rmtree(begun.root / ".lonelycat" / "locks")
    second = begun.execute_wired(proposed, clock=SetBack())
    assert (second.status, second.warnings) == (Status.COMPLETED, ())
    assert second.fence > first.fence
    begun.assert_sound()


def test_a_recovery_after_it_is_recorded(begun: Ground) -> None:
    """The counter goes while the executor is dead; the higher fence is in its journal and in the records."""
    assert begun.execute(begun.judge(CHANGES)).success
    proposed = begun.keep(LATER)
    child = os.fork()
    if child == 0:
        begun.execute_wired(proposed, filesystem=Dies())
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    shutil.rmtree(begun.root / ".lonelycat" / "locks")
    wiring = Wiring(Settings.for_workspace(begun.root), clock=SetBack())
    (found,) = recover(wiring, 1).recovered
    assert (found.outcome, wiring.records.execution(found.execution_id) is not None) == (RecoveryOutcome.UNDONE, True)
    assert not (begun.root / "docs/cats.md").exists()
    begun.assert_sound()
