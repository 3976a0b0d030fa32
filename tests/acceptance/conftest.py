"""The fixtures of the acceptance tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.ground import Ground

import lonelycat


def pytest_report_header() -> str:
    return f"lonelycat under test: {Path(lonelycat.__file__).parent}"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)
