"""An execution where no file system is synced as a whole: each file of tree and evidence is handed over by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.acceptance.ground import Ground
from tests.platforms import MacLibrary, full_sync

from lonelycat import FileChange
from lonelycat.executor.filesystem import FileSystem
from lonelycat.platforms.macos import MacCalls


class _Drive(MacCalls):
    """Remembers what it was given, and what of that it was made to write out."""

    def __init__(self) -> None:
        super().__init__(MacLibrary(), self._control)
        self.given: set[tuple[int, int]] = set()
        self.safe: set[tuple[int, int]] = set()
        self.hand_over = self._hand_over  # type: ignore[assignment]

    def _hand_over(self, fd: int) -> None:
        status = os.fstat(fd)
        self.given.add((status.st_dev, status.st_ino))

    def _control(self, fd: int, command: int) -> int:
        self._hand_over(fd)
        self.safe |= self.given
        return full_sync(fd, command)

    def holds(self, place: Path) -> bool:
        return (place.stat().st_dev, place.stat().st_ino) in self.safe


def test_change_and_evidence_are_on_the_medium_before_the_commit_point(
    begun: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, missing = _Drive(), ["never committed"]
    state = begun.root / ".lonelycat"

    class Looking(FileSystem):
        def write(self, fd: int, data: bytes) -> None:
            if b'"type":"committed"' in data:
                places = [begun.root, *begun.root.glob("app/**/*"), state, state / "keys/gate.pem"]
                places += [state / "keys", state / "executions", *(state / "executions").rglob("*")]
                missing[:] = [str(place) for place in places if not drive.holds(place)]
                assert len(places) > 12
            super().write(fd, data)

    monkeypatch.setattr(FileSystem, "platform", drive)
    for module in ("records.artifacts", "durable"):
        monkeypatch.setattr(f"lonelycat.{module}.native_calls", lambda: drive)
    changes = [FileChange.update("app/settings.txt", "old\n", "new\n"), FileChange.create("app/deep/new.txt", "new\n")]
    result = begun.execute_wired(begun.judge(changes), filesystem=Looking())
    assert result.success, result
    assert missing == []
    folder = state / "executions" / result.execution_id
    assert all(drive.holds(place) for place in folder.rglob("*"))
