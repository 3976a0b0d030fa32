"""The artifact directory and the receipt that seals it."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from lonelycat.changes.long_json import Rows
from lonelycat.errors import InputError, StateError
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.platforms import native_calls
from lonelycat.records.artifacts import RECEIPT, ArtifactDirectory, document_parts, json_document
from lonelycat.records.receipts import read_receipt, verify_receipt
from lonelycat.records.redaction import Redactor

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture
def directory(tmp_path: Path) -> ArtifactDirectory:
    return ArtifactDirectory(tmp_path / "executions", "exec_1", redactor=Redactor(["s3cr3t-value"]))


def test_files_are_private_and_come_back(directory: ArtifactDirectory) -> None:
    assert not directory.exists()
    assert directory.names() == ()
    directory.write_json("plan.json", {"b": "é", "a": [1, None]})
    directory.write_bytes("diff.patch", b"\xff\x00diff")
    log = directory.step_log(3, "verify:tests", b"ran 4 tests\n")
    directory.append_event({"type": "one"})
    directory.append_event({"type": "two", "text": "two\nlines"})
    assert json.loads(directory.read("plan.json")) == {"a": [1, None], "b": "é"}
    assert directory.read("diff.patch") == b"\xff\x00diff"
    assert log == "03_verify_tests.log"
    assert directory.read(f"steps/{log}") == b"ran 4 tests\n"
    assert [json.loads(line)["type"] for line in directory.read("events.jsonl").splitlines()] == ["one", "two"]
    assert directory.names() == ("diff.patch", "events.jsonl", "plan.json", "steps/03_verify_tests.log")
    for path in (directory.path, *directory.path.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_everything_is_redacted_first(directory: ArtifactDirectory) -> None:
    directory.write_json("a.json", {"text": TOKEN, TOKEN: 1, "list": ["x s3cr3t-value y"], "password": "hunter2"})
    directory.write_bytes("b.patch", f"+key = {TOKEN}\n".encode())
    directory.append_event({"message": f"got {TOKEN}"})
    directory.step_log(0, "s", b"s3cr3t-value")
    everything = b"".join(directory.read(name) for name in directory.names())
    assert TOKEN.encode() not in everything
    assert b"s3cr3t-value" not in everything
    assert b"hunter2" not in everything
    assert everything.count(b"[REDACTED-") >= 6


def test_a_document_is_replaced_whole_and_leaves_no_temporary(directory: ArtifactDirectory) -> None:
    directory.write_json("a.json", {"n": 1})
    directory.write_json("a.json", {"n": 2})
    assert json.loads(directory.read("a.json")) == {"n": 2}
    assert directory.names() == ("a.json",)


def test_a_document_written_in_parts_is_redacted_and_appears_at_the_end(directory: ArtifactDirectory) -> None:
    part = b"x = 1\n" * 100_000
    with directory.writing("diff.patch") as document:
        for _ in range(4):
            document.add(part)
        document.add(f"key = {TOKEN}\n".encode())
        assert directory.names() == tuple(name for name in directory.names() if name.startswith("unfinished-"))
    assert directory.names() == ("diff.patch",)
    written = directory.read("diff.patch")
    assert written.startswith(part * 4) and TOKEN.encode() not in written and b"[REDACTED-" in written
    with pytest.raises(ZeroDivisionError), directory.writing("inverse.json", verbatim=True) as document:
        document.add(b"1")
        document.add(b"%d" % (1 // 0))
    assert directory.names() == ("diff.patch",)


@pytest.mark.parametrize("execution_id", ["", "..", "exec_1/..", "exec_/x", "exec_\n", "../exec_1", "exec_" + "a" * 65])
def test_execution_ids_are_not_paths(tmp_path: Path, execution_id: str) -> None:
    with pytest.raises(InputError):
        ArtifactDirectory(tmp_path, execution_id)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "steps/../x", "steps/", ".hidden", "x\n", "a" * 101]
)
def test_names_are_not_paths(directory: ArtifactDirectory, name: str) -> None:
    with pytest.raises(InputError):
        directory.write_bytes(name, b"")
    with pytest.raises(InputError):
        directory.read(name)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "\x00", "ünï", "." * 300, "verify:tests && rm -rf /"])
def test_step_names_are_made_harmless(directory: ArtifactDirectory, name: str) -> None:
    log = directory.step_log(7, name, b"x")
    assert (directory.path / "steps" / log).read_bytes() == b"x"
    assert log.startswith("07_")
    assert len(log) <= 70


def test_links_planted_in_place_of_directories_and_files_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("keep")
    for name in ("exec_1", "executions"):
        root = tmp_path / name
        if name == "executions":
            root.symlink_to(outside)
        else:
            root.mkdir()
            (root / "exec_1").symlink_to(outside)
        with pytest.raises(StateError):
            ArtifactDirectory(root, "exec_1").write_bytes("victim", b"gone")
    with pytest.raises(StateError):
        ArtifactDirectory(tmp_path / "exec_1", "exec_1").read("victim")
    directory = ArtifactDirectory(tmp_path / "real", "exec_1")
    directory.write_bytes("x", b"")
    (directory.path / "events.jsonl").symlink_to(outside / "victim")
    with pytest.raises(OSError, match=r"symbolic|loop"):
        directory.append_event({})
    (directory.path / "plan.json").symlink_to(outside / "victim")
    with pytest.raises(InputError):
        directory.read("plan.json")
    directory.write_json("plan.json", {})
    assert not (directory.path / "plan.json").is_symlink()
    assert (outside / "victim").read_text() == "keep"


@pytest.mark.parametrize("fails_at", ["the barrier", "the name"])
def test_a_receipt_that_is_not_durable_is_not_there(
    directory: ArtifactDirectory, fails_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    directory.write_bytes("diff.patch", b"diff")
    with monkeypatch.context() as patch:
        if fails_at == "the barrier":
            patch.setattr("lonelycat.records.artifacts.make_durable", full)
        else:
            patch.setattr(type(native_calls()), "fsync", full)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            directory.seal((b"{", b"}"))
    assert directory.names() == ("diff.patch",), "who fails to write it goes on to note that, in what it speaks of"
    directory.seal((b"{", b"}"))
    assert directory.read(RECEIPT) == b"{}"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_a_file_that_cannot_be_read_now_is_not_stated_as_unreadable(
    directory: ArtifactDirectory, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.write_bytes("diff.patch", b"diff")
    real = os.open

    def failing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if path == "diff.patch":
            raise OSError(number, os.strerror(number))
        return real(path, flags, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with pytest.raises(OSError, match=os.strerror(number)):
            directory.digests()
    assert set(directory.digests()) == {"diff.patch"}


def test_a_fifo_does_not_hang_the_reader(directory: ArtifactDirectory) -> None:
    directory.write_bytes("x", b"")
    os.mkfifo(directory.path / "fifo")
    with pytest.raises(InputError):
        directory.read("fifo")
    assert directory.digests()["fifo"] == "unreadable"


def test_noted_digests_are_of_what_was_there_then(directory: ArtifactDirectory) -> None:
    for name in ("edited", "kept", "again", "gone", "steps/01_apply.log"):
        directory.write_bytes(name, name.encode())
    directory.append_event({"type": "one"})
    os.mkfifo(directory.path / "fifo")
    before = directory.digests()
    directory.note_digests()
    (directory.path / "edited").write_bytes(b"by somebody else")
    (directory.path / "gone").unlink()
    directory.write_bytes("again", b"by us")
    directory.write_bytes("new", b"by us")
    directory.append_event({"type": "two"})
    noted, now = directory.digests(as_noted=True), directory.digests()
    assert {name for name in now if noted[name] != now[name]} == {"edited"}
    assert noted["edited"] == before["edited"]
    assert {name for name in now if before.get(name) != now[name]} == {"edited", "again", "new", "events.jsonl"}
    assert set(now) == set(noted) == {*before, "new"} - {"gone"}


def test_what_cannot_be_read_when_digests_are_noted_is_asked_for_again(
    directory: ArtifactDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.write_bytes("diff.patch", b"x")
    with monkeypatch.context() as patch:
        patch.setattr(ArtifactDirectory, "_digest", lambda *_: os.stat("/nowhere"))
        directory.note_digests()
    assert directory.digests(as_noted=True) == directory.digests()


def test_a_receipt_verifies_and_says_what_happened(case: Any) -> None:
    result = case.executed()
    directory = case.records.artifacts(result.execution_id)
    key = case.records.signer.public_key
    assert verify_receipt(directory, key) == ()
    receipt = read_receipt(directory)
    assert receipt["status"] == "completed"
    assert receipt["audit_head"] == {"seq": 4, "hash": case.records.audit_head().hash}
    assert [file["path"] for file in receipt["files"]] == ["a.txt", "b/ü.txt"]
    assert receipt["approvals"][0]["approved_by"] == "bob"
    assert set(receipt["artifacts"]) == {"plan.json", "events.jsonl", "steps/00_apply.log"}
    assert verify_receipt(directory, Ed25519Signer.generate().public_key) != ()


@pytest.mark.parametrize("name", ["plan.json", "events.jsonl", "steps/00_apply.log", "receipt.json"])
def test_an_edited_or_removed_file_is_named(case: Any, name: str) -> None:
    directory = case.records.artifacts(case.executed().execution_id)
    path, key = directory.path / name, case.records.signer.public_key
    data = path.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 16)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert any(name in text for text in verify_receipt(directory, key)), position
    path.unlink()
    assert any(name in text for text in verify_receipt(directory, key))
    path.write_bytes(data)
    assert verify_receipt(directory, key) == ()


def test_an_added_file_and_a_receipt_of_another_execution_are_named(case: Any) -> None:
    key = case.records.signer.public_key
    one = case.records.artifacts(case.executed().execution_id)
    two = case.records.artifacts(case.executed().execution_id)
    (two.path / "receipt.json").write_bytes(one.read("receipt.json"))
    assert verify_receipt(two, key) == ("receipt.json belongs to something else",)
    (one.path / "extra").touch()
    assert verify_receipt(one, key) == ("extra was added",)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"signature": 1}', '{"signature": "x", "signature": "x"}', "\ufeff{}"]
)
def test_a_receipt_that_is_none_is_said_so(case: Any, text: str) -> None:
    directory = case.records.artifacts(case.executed().execution_id)
    (directory.path / "receipt.json").write_text(text)
    assert verify_receipt(directory, case.records.signer.public_key)[0].startswith("receipt.json")


def test_a_receipt_that_a_crash_left_unwritten_is_written_by_recovery(case: Any) -> None:
    result = case.executed(receipt=False)
    assert [problem.code for problem in case.records.audit_verify().problems] == ["RECEIPT_MISSING"]
    assert case.records.write_missing_receipt(result.execution_id)
    assert case.records.audit_verify().ok
    receipt = read_receipt(case.records.artifacts(result.execution_id))
    assert [approval["approved_by"] for approval in receipt["approvals"]] == ["bob"]
    assert not case.records.write_missing_receipt(result.execution_id)
    assert not case.records.write_missing_receipt("exec_none")
    assert read_receipt(case.records.artifacts(result.execution_id)) == receipt


@pytest.mark.parametrize("count", [0, 3, 999, 1000, 2000, 2500])
def test_a_long_document_is_written_as_a_short_one_would_be(tmp_path: Path, count: int) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    items = [{"note": secret if number == count - 1 else None, "path": f"é/{number}"} for number in range(count)]
    document: dict[str, object] = {"api_key": "x", "zebra": {"password": "y"}, "about": secret}
    directory = ArtifactDirectory(tmp_path / "executions", "exec_1")
    directory.write_long_json("long.json", document, "members", iter(items))
    directory.write_json("whole.json", {**document, "members": items})
    assert directory.read("long.json") == directory.read("whole.json")
    assert secret.encode() not in directory.read("long.json")


@pytest.mark.parametrize(
    "value",
    [
        *({}, [], None, "x", [[], {}, [[]]], {"b": {"z": None, "a": [True, False]}, "a": []}),
        *({"é": '\u2028 \x7f \x00 \n " \\ /', "1": "\U0001f63c"}, [0, -1, 2**53, 2**80, 0.25, 1e-7, 1e300, 12.5]),
    ],
)
def test_what_people_read_is_what_the_standard_library_would_write(value: object) -> None:
    written = json_document(value)
    assert json.loads(written) == value
    if "e-" not in repr(value):  # the exponent has no leading zero
        assert written == json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def test_a_number_that_is_whole_is_written_as_one() -> None:
    assert json_document({"seconds": 2.0, "none": 0.0}) == b'{\n  "none": 0,\n  "seconds": 2\n}\n'


def test_a_document_is_indented_up_to_a_length() -> None:
    fits = {"a": "x" * (16 * 1024 - len('{"a":""}'))}
    assert json_document(fits) == json.dumps(fits, indent=2).encode() + b"\n"
    longer = {"a": fits["a"] + "x"}
    assert json_document(longer) == json.dumps(longer, separators=(",", ":")).encode() + b"\n"


def test_a_long_document_with_what_only_the_standard_library_writes_is_written_by_it() -> None:
    rows = [{"seconds": 1e-5 * number, "name": "é", "size": 2**60} for number in range(2500)]
    document = json_document({"z": rows, "a": 1})
    assert document.startswith(b'{"a":1,"z":[{"name":"\xc3\xa9","seconds":0.0,"size":1152921504606846976},')
    assert document.endswith(b"}]}\n")
    assert json.loads(document) == {"z": rows, "a": 1}


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_a_document_in_parts_is_the_document(count: int) -> None:
    rows = [{"b": number, "a": "\u00e9"} for number in range(count)]
    expected = json_document({"c": rows, "a": None, "z": "z"})
    parts = list(document_parts({"c": Rows(lambda: rows), "a": None, "z": "z"}))
    assert b"".join(parts) == expected
    assert json.loads(expected) == {"c": rows, "a": None, "z": "z"}
    assert max(map(len, parts)) < 40_000
    with pytest.raises(TypeError):
        list(document_parts({"a": {1, 2}}))
