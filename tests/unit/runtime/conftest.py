"""The ground that the runtime's tests stand on: the acceptance tests' workspace, with this room's own policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.ground import Ground


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
