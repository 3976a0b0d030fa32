"""Masking secrets."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonelycat.records.redaction import Redactor, redact_bytes, redact_json, redact_text

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
AWS = "AKIA" + "3X7QWZP2LM5KDTRV"
VALUE = 'p@ss/w"ord é'


def test_what_the_gate_calls_a_secret_is_masked() -> None:
    for secret in (TOKEN, AWS):
        masked = redact_text(f"before {secret} after")
        assert secret not in masked
        assert masked.startswith("before ")
        assert masked.endswith(" after")
    assert TOKEN.encode() not in redact_bytes(b"\xff\x00" + TOKEN.encode() + b"\n\xfe")


def test_ordinary_text_and_bytes_pass_unchanged() -> None:
    for text in ("", "hello", "def password(): ...", "日本 é\n", "f" * 64, "exec_01j9zz8y7x6w5v4t3s2r1q0p9n"):
        assert redact_text(text) == text
    assert redact_bytes(b"\x00\xff\xfe\n") == b"\x00\xff\xfe\n"


def test_what_is_not_text_is_shown_escaped() -> None:
    assert redact_text(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"


@pytest.mark.parametrize(
    "spelled",
    [
        VALUE,
        base64.b64encode(VALUE.encode()).decode(),
        urllib.parse.quote(VALUE, safe=""),
        json.dumps(VALUE),
    ],
)
def test_known_values_are_masked_in_any_common_spelling(spelled: str) -> None:
    masked = Redactor([VALUE]).text(f"<{spelled}>")
    assert spelled.strip('"') not in masked
    assert "[REDACTED-known-value]" in masked


def test_short_known_values_are_not_hunted() -> None:
    assert Redactor(["", "a", "true"]).text("a true story") == "a true story"


def test_overlapping_secrets_leave_no_rest() -> None:
    masked = Redactor(["secret-one", "one-and-two", "secret-one-and"]).text("x secret-one-and-two y")
    assert "secret" not in masked
    assert "two" not in masked
    assert masked.startswith("x [REDACTED-")
    assert masked.endswith(" y")


@given(st.text(), st.text(min_size=6), st.text())
def test_a_known_value_never_survives(before: str, value: str, after: str) -> None:
    masked = Redactor([value]).text(before + value + after)
    rest = masked.replace("[REDACTED-known-value]", "\0")
    assert value not in rest or value in "[REDACTED-known-value]"


def test_json_is_masked_in_values_keys_and_by_name() -> None:
    value = {
        "message": TOKEN,
        TOKEN: [TOKEN, 1, None, True],
        "API_KEY": "short",
        "db.password": "hunter2",
        "secrets": "deny",
        "token_count": "12",
        "nested": ({"private-key": "x"},),
    }
    masked = redact_json(value)
    text = json.dumps(masked)
    assert TOKEN not in text
    assert "hunter2" not in text
    assert isinstance(masked, dict)
    assert masked["API_KEY"] == "[REDACTED-named-secret]"
    assert (masked["secrets"], masked["token_count"]) == ("deny", "12")
    assert masked["nested"] == [{"private-key": "[REDACTED-named-secret]"}]


def test_a_secret_as_long_as_a_hash_is_masked_among_hashes() -> None:
    as_long = TOKEN + "s9T0u1V2w3X4y5Z6a7B8c9D0"
    hashes = [f"{number:064x}" for number in range(50)]
    assert len(as_long) == len(hashes[0])
    rows = [{"hash": each, "none": None, "path": f"{number}.py"} for number, each in enumerate(hashes)]
    assert redact_json(rows) is rows
    for value in ([*hashes, as_long], {"hashes": hashes, "one": as_long}, [*rows, {"hash": as_long}]):
        assert as_long not in json.dumps(redact_json(value))
        assert hashes[49] in json.dumps(redact_json(value))


LEAF = st.one_of(st.none(), st.integers(), st.text(max_size=9), st.sampled_from([TOKEN, "0" * 64, ""]))
KEY = st.sampled_from(["a", "b", "password", "API_KEY", TOKEN])
VALUE_OF_ANY_KIND = st.recursive(
    LEAF, lambda some: st.one_of(st.lists(some), st.lists(some).map(tuple), st.dictionaries(KEY, some)), max_leaves=20
)


@given(VALUE_OF_ANY_KIND)
def test_looking_at_all_of_it_at_once_finds_what_looking_string_by_string_does(value: object) -> None:
    assert json.dumps(redact_json(value)) == json.dumps(Redactor()._masked(value))
