"""JSON documents: complete change sets, plans, and drafts written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange, Operation
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.formats.base import OldFile
from lonelycat.changes.formats.document import changes_from_json, changeset_from_json, plan_from_json, read_changeset
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import ConflictError, InputError, LonelyCatError, PathError

TREE = {"f": OldFile(b"old\n", "100755"), "\udcff": OldFile(b"x", "100644")}
CHANGES = [
    FileChange.create("a.txt", "hello\n"),
    FileChange.update("\udcff", b"x", b"\xff\x00", new_mode="100755"),
    FileChange.delete('quo"te', b"gone"),
    FileChange.rename("big", "bigger", BlobRef(sha256="1" * 64, size=9), new_content=BlobRef(sha256="2" * 64, size=9)),
]


def draft(*changes: dict[str, Any]) -> bytes:
    return json.dumps({"changes": list(changes)}).encode()


def refusal(data: bytes, code: str) -> LonelyCatError:
    with pytest.raises(LonelyCatError) as caught:
        changes_from_json(data, TREE.get)
    assert caught.value.code == code, caught.value
    return caught.value


def test_a_change_set_survives_the_journey() -> None:
    changeset = ChangeSet.build(plan_id="plan_1", changes=CHANGES)
    again = changeset_from_json(changeset.model_dump_json().encode())
    assert again == changeset
    assert again.integrity_error() is None
    assert read_changeset(changeset.model_dump_json().encode(), TREE.get) == changeset


def test_a_tampered_change_set_is_read_and_known_as_tampered() -> None:
    text = ChangeSet.build(plan_id="plan_1", changes=CHANGES).model_dump_json().replace("hello", "HELLO")
    assert "a.txt" in (changeset_from_json(text.encode()).integrity_error() or "")


def test_a_plan_survives_the_journey() -> None:
    plan = ChangePlan.new(intent="Greet", created_by="agent:x", affected_paths=["a", "\udcff"], confidence=0.25)
    assert plan_from_json(plan.model_dump_json().encode()) == plan


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda d: d["changes"][1].update(new_hash="zz"), "changes[1].new_hash"),
        (lambda d: d["changes"][0].update(surprise=1), "changes[0].surprise"),
        (lambda d: d["changes"][2].update(content={"text": "x"}), "changes[2]"),
        (lambda d: d["changes"][0].update(content={"base64": "%"}), "changes[0].content"),
        (lambda d: d.pop("checksum"), "checksum"),
        (lambda d: d.update(changes={}), "changes"),
        (lambda d: d["changes"][0].update(operation="chmod"), "changes[0].operation"),
        (lambda d: d["changes"][0].update(new_mode="100777"), "changes[0].new_mode"),
    ],
)
def test_an_invalid_change_set_names_the_field(edit: Any, place: str) -> None:
    document = json.loads(ChangeSet.build(plan_id="plan_1", changes=CHANGES).model_dump_json())
    edit(document)
    with pytest.raises(InputError) as caught:
        changeset_from_json(json.dumps(document).encode())
    assert caught.value.code == "INVALID_CHANGESET"
    assert f"{place}: " in caught.value.message
    assert place in caught.value.details["fields"]  # type: ignore[operator]  # details hold plain objects


def test_an_invalid_plan_names_the_field_and_an_unsafe_path_keeps_its_code() -> None:
    document = json.loads(ChangePlan.new(intent="x", created_by="y").model_dump_json())
    with pytest.raises(InputError) as caught:
        plan_from_json(json.dumps({**document, "confidence": 7}).encode())
    assert (caught.value.code, "confidence: " in caught.value.message) == ("INVALID_PLAN", True)
    with pytest.raises(PathError) as unsafe:
        plan_from_json(json.dumps({**document, "affected_paths": ["../x"]}).encode())
    assert unsafe.value.code == "PATH_TRAVERSAL"


def test_many_problems_are_counted_and_not_all_shown() -> None:
    document = json.loads(ChangePlan.new(intent="x", created_by="y").model_dump_json())
    with pytest.raises(InputError) as caught:
        plan_from_json(json.dumps({**document, **{f"extra{n}": 1 for n in range(40)}}).encode())
    assert "and 35 more" in caught.value.message


@pytest.mark.parametrize("text", ["[]", "1", "null", '"x"', "{}", '{"changes": null}'])
def test_documents_of_another_shape_are_refused(text: str) -> None:
    for read in (changeset_from_json, plan_from_json):
        with pytest.raises(InputError):
            read(text.encode())
    with pytest.raises(InputError):
        read_changeset(text.encode(), TREE.get)
    refusal(text.encode(), "INVALID_CHANGESET")


def test_a_draft_is_filled_in_from_contents_and_workspace() -> None:
    made, edited, gone, moved = changes_from_json(
        draft(
            {"operation": "create", "path": "n.sh", "content": {"text": "hi\n"}, "new_mode": "100755"},
            {"operation": "update", "path": "f", "content": {"base64": "/wA="}},
            {"operation": "delete", "path": '"\\377"'},
            {"operation": "rename", "old_path": "f", "path": "g"},
        ),
        TREE.get,
    )
    assert made == FileChange.create("n.sh", "hi\n", mode="100755")
    assert edited == FileChange.update("f", b"old\n", b"\xff\x00", old_mode="100755")
    assert gone == FileChange.delete("\udcff", b"x")
    assert moved == FileChange.rename("f", "g", b"old\n", old_mode="100755")


def test_a_rename_may_change_the_content_and_a_mode_may_change_alone() -> None:
    moved, mode = changes_from_json(
        draft(
            {"operation": "rename", "old_path": "f", "path": "g", "content": {"text": "new\n"}},
            {"operation": "update", "path": '"\\377"', "new_mode": "100755"},
        ),
        TREE.get,
    )
    assert moved == FileChange.rename("f", "g", b"old\n", new_content=b"new\n", old_mode="100755")
    assert mode == FileChange.update("\udcff", b"x", b"x", new_mode="100755")


def test_a_stated_hash_stands_so_that_a_wrong_one_is_found_later() -> None:
    (change,) = changes_from_json(
        draft({"operation": "delete", "path": "f", "old_hash": "0" * 64, "old_mode": "100644"}), TREE.get
    )
    assert (change.operation, change.old_hash, change.old_mode) == (Operation.DELETE, "0" * 64, "100644")
    (blob,) = changes_from_json(
        draft({"operation": "create", "path": "b", "content": {"blob": {"sha256": "3" * 64, "size": 5}}}), TREE.get
    )
    assert blob.new_hash == "3" * 64
    (stated,) = changes_from_json(
        draft({"operation": "create", "path": "b", "content": {"text": "x"}, "new_hash": sha256_hex(b"y")}), TREE.get
    )
    assert stated.new_hash == sha256_hex(b"y")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"operation": "create", "path": "n"}, "changes[0]"),
        ({"operation": "update", "path": "f"}, "changes[0]"),
        ({"operation": "move", "path": "f"}, "changes[0].operation"),
        ({"path": "f"}, "changes[0].operation"),
        ({"operation": "update", "path": 7}, "changes[0].path"),
        ({"operation": "rename", "path": "g"}, "changes[0].old_path"),
        ({"operation": "create", "path": "n", "content": {"text": 5}}, "changes[0].content"),
        ({"operation": "create", "path": "n", "content": {"text": "x", "base64": ""}}, "changes[0].content"),
        ({"operation": "create", "path": "n", "content": {"text": "x"}, "old_hash": "0" * 64}, "changes[0]"),
        ({"operation": ["create"], "path": "n"}, "changes[0].operation"),
        ({"operation": {}, "path": "n"}, "changes[0].operation"),
    ],
)
def test_an_invalid_draft_names_the_place(change: dict[str, Any], place: str) -> None:
    assert f"{place}: " in refusal(draft(change), "INVALID_CHANGESET").message


def test_a_draft_against_a_missing_file_is_a_conflict() -> None:
    error = refusal(draft({"operation": "update", "path": "none", "content": {"text": ""}}), "FILE_MISSING")
    assert isinstance(error, ConflictError)


def test_hostile_json_keeps_its_own_codes() -> None:
    refusal(b'{"changes": [], "changes": []}', "JSON_DUPLICATE_KEY")
    refusal(
        b'{"changes": [{"operation": "create", "path": "n", "content": {"text": "\\ud800"}}]}', "JSON_LONE_SURROGATE"
    )
    refusal(b"[" * 100 + b"]" * 100, "JSON_TOO_DEEP")
    refusal(draft({"operation": "update", "path": "../f", "content": {"text": ""}}), "PATH_TRAVERSAL")
    refusal(draft({"operation": "create", "path": "/f", "content": {"text": ""}}), "PATH_ABSOLUTE")
