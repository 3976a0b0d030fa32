"""An INTENT that no executor wrote is told as damage, whatever it says; nothing is written on its word."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.forged_journals import GONE, HOSTILE, Place, forge, framed, frames_of, places, rearranged, with_other
from tests.unit.executor.transactions import begin, recover, stage_of

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import JOURNAL, read_journal
from lonelycat.executor.journal_form import read_intent
from lonelycat.executor.recovery import RecoveryOutcome, pending_transactions

OLD = {
    "kept": b"kept",
    "up": b"old",
    "d/e/gone": b"old",
    "file": b"old",
    "room/x": b"old",
    "from": b"old",
    "\udcff": b"o",
}
CHANGES = (
    FileChange.update("up", b"old", b"new"),
    FileChange.update("\udcff", b"o", b"n"),
    FileChange.delete("d/e/gone", b"old"),
    FileChange.delete("file", b"old"),
    FileChange.create("file/inside", b"new"),
    FileChange.delete("room/x", b"old"),
    FileChange.create("room", b"new"),
    FileChange.rename("from", "n/m/to", b"old"),
    FileChange.create("link", b"kept", mode="120000"),
)
pytestmark = pytest.mark.usefixtures("either_backup")


def _tree(root: Path) -> dict[str, bytes]:
    """Return every file with its content, every directory, and below ``.lonelycat`` what was quarantined alone."""
    held = {}
    for folder, directories, names in os.walk(root):
        directories[:] = [name for name in directories if name != ".lonelycat"]
        for name in [*directories, *names]:
            path = Path(folder, name)
            held[str(path.relative_to(root))] = (
                os.readlink(path).encode()
                if path.is_symlink()
                else (path.read_bytes() if path.is_file() else b"a directory")
            )
    return held


@pytest.fixture
def left(root: Path) -> Path:
    """A workspace with a transaction that was applied and that nobody finished."""
    for path, data in OLD.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    with begin(root) as transaction:
        transaction.stage(CHANGES, {"execution_id": "exec_t"})
        transaction.apply()
    return root


def _intent(root: Path) -> dict[str, Any]:
    (frame,) = frames_of((stage_of(root) / JOURNAL).read_bytes())
    return frame


def _forgeries(frame: dict[str, Any]) -> Iterator[tuple[Place, Any]]:
    for place in places(frame):
        if place:
            yield from ((place, with_other(frame, place, value)) for value in HOSTILE)
    yield from rearranged(frame)


def _read(root: Path, said: object) -> dict[str, object] | None:
    """Return the body of an INTENT that is believed, or None where it is refused as it ought to be."""
    (stage_of(root) / JOURNAL).write_bytes(framed([json.dumps(said).encode()]))
    stage = os.open(stage_of(root), os.O_RDONLY)
    try:
        contents = read_journal(FileSystem(), stage)
        assert contents is not None
        return read_intent(contents).to_body()
    except StateError as error:
        assert error.code in ("JOURNAL_DAMAGED", "JOURNAL_VERSION") and error.hint
        return None
    finally:
        os.close(stage)


def test_what_is_believed_is_what_an_executor_would_write(left: Path) -> None:
    frame = _intent(left)
    assert _read(left, frame) == frame["body"]
    refused = 0
    for place, said in _forgeries(frame):
        body = _read(left, said)
        if body is None:
            refused += 1
            continue
        whole = {**frame["body"], **said["body"]}  # what an earlier version did not write is filled in
        if place[:2] in (("body", "permissions"), ("body", "pre_image")):
            continue
        assert body == whole, (place, said)
    assert refused > 2000


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("inodes",), 7),
        (("inodes",), [1]),
        (("inodes", 0), "x"),
        (("permissions",), {"a": 1}),
        (("permissions", 0), "x"),
        (("rest", 0), None),
        (("rest", 0, 0), -1),
        (("rest", 0, 1), "../victim"),
        (("rest", 0, 1), ".git/hooks/pre-commit"),
        (("rest", 0, 4), "x"),
        (("rest", 0, 5), "040000"),
        (("early",), None),
        (("made",), 7),
        (("made", 0), "../victim"),
        (("rooms", 0), ["room"]),
        (("pruned", 0, 1), "0700"),
        (("pruned", 0, 2), -1),
        (("identity",), None),
        (("version",), [1]),
        (("version",), GONE),
    ],
)
def test_a_malformed_field_is_damage(left: Path, place: Place, value: object, either_backup: str) -> None:
    before = _tree(left)
    frame = _intent(left)
    if place[0] == "inodes" and either_backup == "linked":
        frame["body"]["version"], frame["body"]["inodes"] = 2, [None] * len(OLD)
    said = with_other(frame, ("body", *place), value)
    (stage_of(left) / JOURNAL).write_bytes(framed([json.dumps(said).encode()]))
    found = recover(left)
    assert found.outcome is RecoveryOutcome.DAMAGED and "quarantine" in found.message
    assert _tree(left) == before and pending_transactions(FileSystem(), left) == []
    assert (left / ".lonelycat/quarantine/exec_t.transaction" / JOURNAL).exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b"[]",
        b'"intent"',
        b"{}",
        b"\xff",
        b'{"type":["intent"],"fence":1,"body":{}}',
        b'{"type":null,"fence":1,"body":{}}',
        b'{"type":"intent","fence":1}',
        b'{"type":"intent","fence":"1","body":{}}',
        b'{"type":"intent","fence":true,"body":{}}',
        b'{"type":"intent","fence":-1,"body":{}}',
        b'{"type":"intent","fence":1,"body":[]}',
        b'{"type":"intent","fence":1,"body":{}}',
        b'{"type":"intent","fence":' + b"9" * 5000 + b',"body":{}}',
        b"[" * 100_000,
    ],
)
def test_a_frame_that_is_no_frame_is_damage(left: Path, body: bytes) -> None:
    before = _tree(left)
    (stage_of(left) / JOURNAL).write_bytes(framed([body]))
    assert recover(left).outcome is RecoveryOutcome.DAMAGED
    assert _tree(left) == before


@pytest.mark.parametrize("length", [b"-0000001", b"+0000001", b"0x000001", b" 0000001", b"1_000_00", b"0000000A"])
def test_a_length_is_digits_as_they_are_written(left: Path, length: bytes) -> None:
    journal = stage_of(left) / JOURNAL
    journal.write_bytes(b"\x89LCJ" + length + journal.read_bytes()[12:])
    assert recover(left).outcome is RecoveryOutcome.DAMAGED


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        ("undone", {}),
        ("undone", {"restored": True}),
        ("undone", {"restored": "yes", "problems": [], "conflicts": [], "quarantined": []}),
        ("undone", {"restored": True, "problems": None, "conflicts": [], "quarantined": []}),
        ("undone", {"restored": True, "problems": [], "conflicts": [1], "quarantined": []}),
        ("undone", {"restored": True, "problems": [], "conflicts": [], "quarantined": [["a"]]}),
        ("undone", {"restored": True, "problems": [], "conflicts": [], "quarantined": [], "tree_digest": 7}),
        ("restart_begun", {}),
        ("restart_begun", {"service": ["web"]}),
        ("restart_done", {"service": None}),
        ("restarts", {"services": "web"}),
        ("committed", []),
        ("intent", {}),
    ],
)
def test_a_later_frame_without_its_form_is_damage(left: Path, type_: str, body: object) -> None:
    before = _tree(left)
    forge(stage_of(left) / JOURNAL, lambda said: said.append({"type": type_, "fence": 5, "body": body}))
    assert recover(left).outcome is RecoveryOutcome.DAMAGED
    assert _tree(left) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_recovery_of_a_forged_intent_undoes_it_or_refuses_it(left: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Whatever one field says: the old tree, or nothing at all is touched, or what is doubtful stays and is kept."""
    outside = tmp_path / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "victim").write_bytes(b"theirs")
    root = tmp_path / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(left, root, symlinks=True, copy_function=os.link)
    new, frame = _tree(root), _intent(root)
    place = data.draw(st.sampled_from([place for place in places(frame) if place]))
    said = with_other(frame, place, data.draw(st.sampled_from(HOSTILE)))
    journal = stage_of(root) / JOURNAL
    journal.unlink()
    journal.write_bytes(framed([json.dumps(said).encode()]))
    try:
        outcome = recover(root).outcome
    except StateError as error:
        assert error.code in ("JOURNAL_VERSION", "FENCE_STALE") and error.hint
        assert pending_transactions(FileSystem(), root) == ["exec_t"]
        outcome = RecoveryOutcome.DAMAGED
    now = _tree(root)
    if outcome is RecoveryOutcome.UNDONE:
        assert {path: data for path, data in now.items() if data != b"a directory"} == OLD
    elif outcome is RecoveryOutcome.DAMAGED:
        assert now == new
    else:
        assert outcome in (RecoveryOutcome.CONFLICT, RecoveryOutcome.FAILED)
        anywhere = [path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        assert all(content in anywhere for content in OLD.values()), "nothing old is lost"
        assert now["kept"] == b"kept"
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"victim": b"theirs"}
