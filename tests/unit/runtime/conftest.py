"""The ground that the runtime's tests stand on: the acceptance tests' workspace, with this room's own policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.ground import Ground

from lonelycat.records.foundation import Foundation
from lonelycat.settings import Settings


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Return a workspace whose policy asks for nothing but that a command passes; not begun yet."""
    made = Ground(tmp_path)
    made.policy["executor"]["require_health_checks_for_risk"] = []
    return made


@pytest.fixture
def begun(ground: Ground) -> Ground:
    """Return the same, begun: ``app/settings.txt`` holds ``old``."""
    return ground.begin()


@pytest.fixture
def always_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store the contents of every proposal in a pack, however few bytes they are."""
    begin = Foundation.__init__

    def begin_packing(self: Foundation, settings: Settings, *args: Any, **options: Any) -> None:
        limits = settings.limits._replace(inline_bytes_together=0)
        begin(self, settings._replace(limits=limits), *args, **options)

    monkeypatch.setattr(Foundation, "__init__", begin_packing)
