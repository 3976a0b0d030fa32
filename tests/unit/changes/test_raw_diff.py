"""Raw diff records: read exactly or refused."""

from __future__ import annotations

import pytest

from lonelycat.changes.formats.raw_diff import RawEntry, parse_raw_diff
from lonelycat.errors import LonelyCatError

A, B, NONE = "a" * 40, "b" * 40, "0" * 40


def record(modes: str, ids: tuple[str, str], status: str, *names: bytes) -> bytes:
    return f":{modes} {ids[0]} {ids[1]} {status}".encode() + b"\0" + b"".join(name + b"\0" for name in names)


def test_each_kind_of_record() -> None:
    data = (
        record("000000 100755", (NONE, B), "A", b"new")
        + record("100644 000000", (A, NONE), "D", b"gone\xff")
        + record("100644 120000", (A, B), "T", b"typed")
        + record("100644 100644", (A, B), "R095", b"from", b"to\nx".replace(b"\n", b" "))
        + record("100644 100644", (A, A), "C100", b"source", b"copy")
    )
    assert parse_raw_diff(data) == (
        RawEntry("new", None, None, "100755", NONE, B),
        RawEntry("gone\udcff", None, "100644", None, A, NONE),
        RawEntry("typed", None, "100644", "120000", A, B),
        RawEntry("to x", "from", "100644", "100644", A, B),
        RawEntry("copy", None, None, "100644", A, A),
    )
    assert parse_raw_diff(b"") == ()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b":100644 100644", "GIT_OUTPUT"),
        (record("100644 100644", (A, B), "M"), "GIT_OUTPUT"),
        (record("100644 100644", (A, B), "M", b""), "GIT_OUTPUT"),
        (record("100644 100644", (A, B), "R095", b"one"), "GIT_OUTPUT"),
        (record("100644 100644", (A, B), "U", b"x"), "GIT_OUTPUT"),
        (record("100644 100644", (A[:7], B), "M", b"x"), "GIT_OUTPUT"),
        (record("160000 160000", (A, B), "M", b"sub"), "SUBMODULE_UNSUPPORTED"),
        (record("000000 160000", (NONE, B), "A", b"sub"), "SUBMODULE_UNSUPPORTED"),
        (record("000000 040000", (NONE, B), "A", b"tree"), "MODE_UNSUPPORTED"),
        (record("000000 100644", (NONE, B), "A", b"a\nb"), "PATH_CONTROL_CHARACTER"),
        (record("000000 100644", (NONE, B), "A", b"../b"), "PATH_TRAVERSAL"),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(LonelyCatError) as caught:
        parse_raw_diff(data)
    assert caught.value.code == code
