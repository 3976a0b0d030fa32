"""The models of a change set: what thousands of them take, and what a change keeps when its content moves."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc

import pytest

from lonelycat.changes import stored_form
from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.changes.stored_form import from_stored, stored_parts
from lonelycat.errors import LonelyCatError


def test_a_long_change_set_read_back_takes_a_quarter_of_what_its_fields_would() -> None:
    """10,000 changes are in memory all the while that they are executed."""
    refs = [BlobRef(sha256=f"{number:064x}", size=1, pack="f" * 64, offset=number) for number in range(501)]
    changes = [FileChange.update(f"a/{number}", refs[number + 1], refs[number]) for number in range(500)]
    changeset = ChangeSet.build(plan_id="plan_1", changes=changes)
    document = changeset.model_dump_json()
    tracemalloc.start()
    try:
        again = from_stored((document,))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert again == changeset
    assert taken < 610 * len(changes)
    first, other = again.changes[0], again.changes[1]
    assert isinstance(first.content, BlobRef) and first.content.sha256 is first.new_hash
    assert isinstance(other.content, BlobRef) and other.content.pack is first.content.pack


def test_a_change_whose_content_lies_elsewhere_is_otherwise_the_same() -> None:
    place = BlobRef(sha256="f" * 64, size=1, pack="e" * 64, offset=7)
    before, other = FileChange.create("a", "x"), FileChange.create("b", "y")
    moved = before.with_content_at(place)
    assert (moved.content, moved.canonical()) == (place, before.canonical())
    assert before.content == b"x" and other == FileChange.create("b", "y")
    assert FileChange.model_validate_json(moved.model_dump_json()) == moved
    edited = moved.model_copy(update={"new_mode": "100755"})
    assert edited != moved and edited.model_fields_set == moved.model_fields_set == set(FileChange.model_fields)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "f" * 63},
        {"sha256": "F" * 64},
        {"sha256": "f" * 64 + "\n"},
        {"sha256": b"f" * 64},
        {"sha256": None},
        {"size": -1},
        {"size": True},
        {"size": 1.0},
        {"size": "1"},
        {"size": None},
        {"pack": "e" * 65},
        {"pack": 7},
        {"offset": -1},
        {"offset": False},
        {"pack": None},
        {"more": 1},
    ],
    ids=repr,
)
def test_a_reference_that_leads_nowhere_cannot_be_made(wrong: dict[str, object]) -> None:
    body: dict[str, object] = {"sha256": "f" * 64, "size": 1, "pack": "e" * 64, "offset": 7}
    assert BlobRef.from_json(body) == BlobRef(**body)  # type: ignore[arg-type]  # the very point
    assert BlobRef.from_json(body).to_json() == body
    with pytest.raises((ValueError, TypeError)):
        BlobRef(**{**body, **wrong})  # type: ignore[arg-type]  # the very point
    change = {"operation": "create", "path": "a", "new_hash": "f" * 64, "new_mode": "100644"}
    assert FileChange.model_validate_json(json.dumps({**change, "content": {"blob": body}})).new_size == 1
    if not any(isinstance(value, bytes) for value in wrong.values()):
        with pytest.raises(ValueError, match="content"):
            FileChange.model_validate_json(json.dumps({**change, "content": {"blob": {**body, **wrong}}}))


@pytest.mark.parametrize("body", [None, [], "f" * 64, {}, {"sha256": "f" * 64}, {"size": 1}])
def test_a_reference_without_its_parts_is_none(body: object) -> None:
    with pytest.raises(ValueError):
        BlobRef.from_json(body)


def test_a_reference_and_a_change_cannot_be_changed_and_are_copied_as_they_are() -> None:
    ref = BlobRef(sha256="f" * 64, size=1)
    change = FileChange.create("a", ref)
    for attempt in ((ref, "size", 2), (change, "path", "b")):
        with pytest.raises((AttributeError, ValueError)):
            setattr(*attempt)
    sent = pickle.loads(pickle.dumps(change))  # noqa: S301 — its own bytes
    for copied in (copy.deepcopy(change), copy.copy(change), sent, change.model_copy()):
        assert copied == change and copied.model_dump_json() == change.model_dump_json()
        assert hash(copied.content) == hash(ref)
    assert change.model_copy(update={"path": "b"}).path == "b" and change.path == "a"


ODD = FileChange.create('a"],[{]/\udc80\u00e9', b"\xff\x00")


@pytest.mark.parametrize(
    "changes",
    [
        [FileChange.create("a", "]},{")],
        [ODD, FileChange.delete("b", "x"), FileChange.rename("c", "d", "", new_content='"changes":[')],
        [FileChange.update("a", "x", "x", new_mode="100755")],
    ],
)
def test_a_stored_change_set_is_read_back_as_it_was(changes: list[FileChange]) -> None:
    changeset = ChangeSet.build(plan_id="plan_1", changes=changes, generated_by='"changes":[],')
    text = changeset.model_dump_json()
    assert from_stored((text,)) == changeset
    start = text.index('"changes":[') + len('"changes":[')
    for cut in range(start, len(text) + 1):
        assert from_stored((text[:cut], "", text[cut:])) == changeset
    assert from_stored([text[:start], *text[start:]]) == changeset


@pytest.mark.parametrize("files", [1, 2, 3, 4, 5])
def test_a_change_set_is_put_into_parts_that_are_its_text(files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_form, "_TOGETHER", 2)
    changes = [FileChange.create(f"{name}\u00e9", '"changes":[') for name in range(files)]
    changeset = ChangeSet.build(plan_id="plan_1", changes=changes, generated_by='"changes":[],"checksum":')
    parts = list(stored_parts(changeset))
    assert "".join(parts) == changeset.model_dump_json()
    assert [part.count('"path"') for part in parts] == [0, *[2] * (files // 2), *[1] * (files % 2), 0]
    for last in range(len(parts)):
        with pytest.raises(ValueError):
            from_stored(parts[:last])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"changes":[', '"changes": ['),
        ('"changes":[', '"changes":[]],"changes":['),
        ('{"id"', '{"changes":[],"id"'),
        ("}],", "}"),
        ("}],", "},],"),
        ("}],", '},{"path":"b"}],'),
        ('"checksum"', '"more":1,"checksum"'),
        ('"checksum":"', '"checksum":"x'),
    ],
)
def test_what_is_not_a_stored_change_set_is_refused(old: str, new: str) -> None:
    text = ChangeSet.build(plan_id="plan_1", changes=[FileChange.create("a", "x")]).model_dump_json()
    assert old in text
    with pytest.raises((ValueError, LonelyCatError)):
        from_stored((text.replace(old, new, 1),))
