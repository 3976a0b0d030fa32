"""Both ways to keep an old file for undo: hard links, as in small change sets, and copies, as in large ones."""

from __future__ import annotations

import pytest

from lonelycat.executor import staging


@pytest.fixture(params=["linked", "copied"])
def either_backup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with hard links and with copies, whatever the number of its files; return which."""
    if request.param == "copied":
        monkeypatch.setattr(staging, "SYNC_WHOLE_FROM", 1)
    return str(request.param)
