"""Where the harness begins: a short slice by default, ``--from N`` for one case again."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--from", type=int, default=None, help="the seed, or the call, that a failure of tests/lock named")


@pytest.fixture
def only(request: pytest.FixtureRequest) -> int | None:
    """Return the one seed or call to run, or None for all."""
    named = request.config.getoption("--from", default=None)
    return None if named is None else int(named)
