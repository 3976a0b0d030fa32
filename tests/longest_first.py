"""Brings the files whose tests take longest to the front, for a run that is shared out one test at a time.

Otherwise a test of a minute that comes last is waited for by workers that have nothing left to do.
"""

from __future__ import annotations

import pytest

LONGEST = (
    "hostile_tree/test_swapper.py",
    "lock/test_broken_locks.py",
    "fuzz/test_fuzzers.py",
    "conformance/test_replay.py",
    "crash/test_command_line.py",
    "crash/test_outsiders.py",
    "property/test_rebase_git.py",
    "crash/test_kill.py",
    "crash/test_protocol_mutations.py",
    "lock/test_overtaken.py",
)
"""Those with a test of over ten seconds, about in this order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    name = f"{item.path.parent.name}/{item.path.name}"
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)
