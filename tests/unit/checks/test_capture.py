"""Bounded capture against a model that keeps everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lonelycat.checks.capture import HeadAndTail


@given(st.integers(0, 40), st.lists(st.binary(max_size=30)))
def test_first_and_last_part_are_kept_and_the_rest_is_counted(limit: int, chunks: list[bytes]) -> None:
    captured = HeadAndTail(limit)
    for chunk in chunks:
        captured.add(chunk)
    everything = b"".join(chunks)
    if len(everything) <= limit:
        assert captured.value() == everything
        assert captured.dropped == 0
        return
    head, gap, tail = captured.value().partition(b"\n[... %d bytes dropped ...]\n" % (len(everything) - limit))
    assert gap
    assert len(head) + len(tail) == limit
    assert everything.startswith(head) and everything.endswith(tail)
    assert len(head) - len(tail) in (0, 1)
