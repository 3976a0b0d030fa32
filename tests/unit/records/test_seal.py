"""A row's digest is over the values' bytes and lengths, however long they are and wherever they are cut."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonelycat.records import seal
from lonelycat.records.seal import digest_of


def _whole(*values: str | None) -> str:
    parts = []
    for value in values:
        data = b"" if value is None else value.encode("utf-8", "surrogatepass")
        parts.append((b"-" if value is None else b"%d:" % len(data)) + data)
    return hashlib.sha256(b"".join(parts)).hexdigest()


@given(st.lists(st.none() | st.text(st.characters(), max_size=40) | st.just("\ud800"), max_size=4), st.integers(1, 9))
def test_it_is_the_same_in_parts(values: list[str | None], part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "_PART", part)
        assert digest_of(*values) == _whole(*values)


def test_a_long_value_is_the_same_in_parts() -> None:
    value = "a\u00e9\U0001f600" * 100_000
    assert digest_of("x", value, None) == _whole("x", value, None)
    assert digest_of("ab", "c") != digest_of("a", "bc") != digest_of("a", "b", "c")
