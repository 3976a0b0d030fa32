"""Which case of the harness runs: a short slice by default, ``--swapper-seed N`` for one again."""

from __future__ import annotations

import pytest
from tests.backups import either_backup as either_backup


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--swapper-seed", type=int, default=None, help="the seed that a failure of tests/hostile_tree named"
    )


@pytest.fixture
def only(request: pytest.FixtureRequest) -> int | None:
    """Return the one seed or call to run, or None for all."""
    named = request.config.getoption("--swapper-seed", default=None)
    return None if named is None else int(named)
