"""The order of the long run: the list names files that there are, and nothing is lost or doubled by sorting."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.longest_first import LONGEST, pytest_collection_modifyitems

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", LONGEST)
def test_a_file_that_is_named_is_there(name: str) -> None:
    assert (TESTS / name).is_file()


def test_the_longest_come_first_and_the_rest_keeps_its_order() -> None:
    names = ["b.py", LONGEST[1], "a.py", LONGEST[0], LONGEST[1]]
    items = [SimpleNamespace(path=Path("tests") / name) for name in names]
    pytest_collection_modifyitems(items)  # type: ignore[arg-type]  # all that it looks at
    assert [str(item.path.relative_to("tests")) for item in items] == [
        LONGEST[0],
        LONGEST[1],
        LONGEST[1],
        "b.py",
        "a.py",
    ]
