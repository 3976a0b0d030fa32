"""Change sets as ordered single-path operations."""

from __future__ import annotations

import json

import pytest

from lonelycat.changes.changeset import EXECUTABLE, FileChange
from lonelycat.executor.operations import FileOperation, Kind, OperationPlan, plan_operations


def _order(plan: OperationPlan) -> list[tuple[str, str]]:
    return [(str(operation.kind), operation.path) for operation in plan.operations]


def test_creates_then_updates_then_deletes() -> None:
    plan = plan_operations(
        [
            FileChange.delete("gone", b"1"),
            FileChange.update("changed", b"1", b"2"),
            FileChange.create("dir/sub/new", b"3"),
            FileChange.rename("from/a", "to/a", b"4"),
        ]
    )
    assert _order(plan) == [
        ("create", "dir/sub/new"),
        ("create", "to/a"),
        ("update", "changed"),
        ("delete", "gone"),
        ("delete", "from/a"),
    ]
    assert plan.early == () and plan.rooms == ()
    assert plan.parents == ("to", "dir", "dir/sub") or plan.parents[-1] == "dir/sub"
    assert plan.prunable == ("from",)
    assert [operation.number for operation in plan.operations] == [0, 1, 2, 3, 4]


def test_a_file_makes_room_for_a_directory() -> None:
    plan = plan_operations([FileChange.create("a/b/c", b"new"), FileChange.delete("a", b"old")])
    assert [operation.path for operation in plan.early] == ["a"]
    assert plan.rooms == () and plan.parents == ("a", "a/b") and plan.prunable == ()


def test_a_directory_makes_room_for_a_file_deepest_first() -> None:
    plan = plan_operations(
        [
            FileChange.delete("d/x", b"1"),
            FileChange.delete("d/e/f/y", b"2"),
            FileChange.create("d", b"3"),
            FileChange.delete("other/z", b"4"),
        ]
    )
    assert {operation.path for operation in plan.early} == {"d/x", "d/e/f/y"}
    assert plan.rooms == ("d/e/f", "d/e", "d")
    assert plan.prunable == ("other",)


def test_a_rename_into_its_own_place_as_a_directory_and_back() -> None:
    down = plan_operations([FileChange.rename("a", "a/b", b"x")])
    assert _order(down) == [("delete", "a"), ("create", "a/b")] and down.parents == ("a",)
    up = plan_operations([FileChange.rename("a/b", "a", b"x")])
    assert _order(up) == [("delete", "a/b"), ("create", "a")] and up.rooms == ("a",) and up.prunable == ()


def test_two_directories_swap_a_file() -> None:
    plan = plan_operations([FileChange.rename("p/x", "q/x", b"1"), FileChange.rename("q/y", "p/y", b"2")])
    assert plan.prunable == ()  # both are needed
    assert plan.parents in (("p", "q"), ("q", "p"))


def test_what_a_file_continues_is_known_for_renames_and_updates_alone() -> None:
    plan = plan_operations(
        [
            FileChange.create("new", b"1"),
            FileChange.rename("a", "b", b"1", new_content=b"2"),
            FileChange.update("c", b"1", b"1", new_mode=EXECUTABLE),
            FileChange.update("d", b"1", b"2"),
        ]
    )
    sources = {operation.path: operation.source for operation in plan.operations if operation.kind is not Kind.DELETE}
    assert sources == {"new": None, "b": "a", "c": "c", "d": "d"}
    contents = {operation.path: operation.content for operation in plan.operations if operation.new is not None}
    assert contents == {"new": b"1", "b": b"2", "c": None, "d": b"2"}


@pytest.mark.parametrize("path", ["plain", "ü/x", "\udcff\udcfe", 'quo"ted'])
def test_the_journal_form_keeps_everything_but_contents(path: str) -> None:
    for change in (FileChange.create(path, b"1"), FileChange.update(path, b"1", b"2"), FileChange.delete(path, b"1")):
        (operation,) = plan_operations([change]).operations
        again = FileOperation.from_record(json.loads(json.dumps(operation.to_record())))
        assert (again.number, again.path, again.old, again.new) == (0, path, operation.old, operation.new)
        assert again.kind is operation.kind and again.staged_name == operation.staged_name


@pytest.mark.parametrize("record", [["x", "a", None, None, None, None], [1, 2, None, None, None, None]])
def test_a_malformed_record_is_refused(record: list[object]) -> None:
    with pytest.raises(ValueError, match="malformed"):
        FileOperation.from_record(record)
