"""The fixtures of the hostile tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interfaces.hostile.siege import Siege


@pytest.fixture
def siege(tmp_path: Path) -> Siege:
    return Siege(tmp_path)
