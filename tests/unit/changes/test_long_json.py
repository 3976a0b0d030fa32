"""A long document in parts is the same document."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from lonelycat.changes.digest import canonical_json
from lonelycat.changes.long_json import Rows, json_parts, put_together

ROWS = [{"b": number, "a": f"é{number}\u2028", "c": [None, True, {"x": []}]} for number in range(2500)]


@pytest.mark.parametrize(
    "value",
    [
        *({}, [], None, "x", (1, 2), {"a": {}}, {"a": []}, ROWS, ROWS[:1000], ROWS[:1001]),
        *({"z": ROWS, "a": {"n": ROWS}}, {1: ROWS}, {"b": tuple(ROWS)}),
    ],
)
@pytest.mark.parametrize("sort", [True, False])
def test_the_parts_are_the_whole(value: Any, sort: bool) -> None:
    def encode(each: object) -> bytes:
        return json.dumps(each, sort_keys=sort, ensure_ascii=False, separators=(",", ":")).encode()

    parts = list(json_parts(value, encode, sort=sort))
    assert b"".join(parts) == encode(value)
    assert max(map(len, parts)) < 70_000 or not isinstance(value, dict | list) or 1 in value or "b" in value


def test_the_canonical_form_of_a_long_document_is_that_of_its_members() -> None:
    document = canonical_json({"z": ROWS, "a": 1})
    assert document == b'{"a":1,"z":[' + b",".join(map(canonical_json, ROWS)) + b"]}"
    assert canonical_json({"z": ROWS, "a": 1}, b"before ") == b"before " + document
    assert canonical_json(float("1e300"), b"before ") == b"before 1e+300"  # what rfc8785 has to write


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 2500])
def test_rows_that_are_made_while_they_are_written_are_a_list(count: int) -> None:
    made: list[int] = []

    def make() -> Iterator[object]:
        made.append(count)
        return iter(ROWS[:count])

    rows = Rows(make)
    for _ in range(2):
        assert canonical_json({"z": rows, "a": 1}) == canonical_json({"z": ROWS[:count], "a": 1})
    assert made == [count, count]
    whole = canonical_json({"z": ROWS[:count], "a": float("1e300")})  # what rfc8785 has to write
    assert canonical_json({"z": rows, "a": float("1e300")}) == whole
    assert canonical_json({"z": Rows(lambda: [{"\u00e9": 1}, {"a": 1}])}) == '{"z":[{"\u00e9":1},{"a":1}]}'.encode()


def test_putting_parts_together_takes_little_more_than_the_whole() -> None:
    def parts() -> Iterator[bytes]:
        for number in range(100):
            yield bytes([number]) * 10_000

    tracemalloc.start()
    try:
        whole = put_together(parts())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert whole == b"".join(parts())
    assert peak < 1.5 * len(whole)
    assert put_together(()) == b""
