"""The audit chain: whatever is done to an export, it no longer verifies."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lonelycat.clock import RandomIds, SystemClock
from lonelycat.records import audit as log
from lonelycat.records.entries import AuditEvent, AuditHead, AuditType
from lonelycat.records.store import Records
from lonelycat.settings import Settings

LENGTH = 8
FIELDS = ("seq", "at", "type", "actor", "payload", "prev_hash", "hash", "signature")
INDEX = st.integers(0, LENGTH - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@cache
def made() -> tuple[str, str, AuditHead]:
    """Return an exported log as JSON lines, the key that signed it, and its head."""
    with TemporaryDirectory() as root:
        records = Records.open(Settings.for_workspace(Path(root), {}), SystemClock(), RandomIds())
        for number in range(LENGTH):
            payload = {"n": number, "same": ["é", None, {"b": 1, "a": "x"}]}
            records.audit(AuditEvent(AuditType.POLICY_CHANGED, f"actor {number % 2}", payload))
        return json.dumps(list(records.audit_export())), records.signer.public_key, records.audit_head()


def verdict(records: list[dict[str, Any]]) -> list[str]:
    _, key, head = made()
    return [problem.code for problem in log.verify_export(iter(records), key, head)]


def exported() -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(made()[0])
    return records


def test_untouched_it_verifies() -> None:
    assert verdict(exported()) == []
    assert len(exported()) == LENGTH


@given(INDEX, st.sampled_from(FIELDS), JSON)
def test_any_edit_is_found(index: int, field: str, value: Any) -> None:
    records = exported()
    if json.dumps(records[index][field], sort_keys=True) == json.dumps(value, sort_keys=True):
        return
    records[index][field] = value
    assert verdict(records) != []


@given(INDEX, st.sampled_from(("at", "type", "actor", "prev_hash", "hash", "signature")), st.data())
def test_any_changed_character_is_found(index: int, field: str, data: st.DataObject) -> None:
    records = exported()
    text = records[index][field]
    place = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.characters().filter(lambda c: c != text[place]))
    records[index][field] = text[:place] + char + text[place + 1 :]
    assert verdict(records) != []


@given(st.sets(INDEX, min_size=1))
def test_any_deletion_and_any_truncation_is_found(gone: set[int]) -> None:
    assert verdict([record for index, record in enumerate(exported()) if index not in gone]) != []


@given(st.permutations(range(LENGTH)))
def test_any_other_order_is_found(order: list[int]) -> None:
    records = exported()
    assert (verdict([records[index] for index in order]) == []) is (order == list(range(LENGTH)))


@given(INDEX, INDEX, st.booleans())
def test_any_repetition_is_found(source: int, target: int, renumber: bool) -> None:
    records = exported()
    extra = copy.deepcopy(records[source])
    if renumber:
        extra["seq"] = target + 1
    assert verdict([*records[:target], extra, *records[target:]]) != []


@settings(max_examples=30)
@given(st.integers(1, LENGTH - 1))
def test_a_cut_end_is_found_only_with_a_noted_head(keep: int) -> None:
    _, key, _ = made()
    cut = exported()[:keep]
    assert log.verify_export(iter(cut), key) == []
    assert verdict(cut) == ["AUDIT_TRUNCATED"]
