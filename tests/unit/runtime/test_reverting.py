"""A revert is the exact inverse of what was done, made only from evidence that is as it was signed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.ground import Ground

from lonelycat import BlobRef, ExecutionResult, FileChange, LonelyCatError
from lonelycat.lifecycle import Status
from lonelycat.runtime.evidence import DIFF
from lonelycat.runtime.inverses import INVERSE

BINARY = bytes(range(256)) * 3
LARGE = b"0123456789abcdef" * 20_000
FILES = {
    "app/settings.txt": b"old\n",
    "app/run.sh": b"#!/bin/sh\n",
    "app/data.bin": BINARY,
    "app/large.bin": LARGE,
    "app/secret.txt": b"token = ghp_" + b"x7Kq2mZp9RtY4wLs8VbN" + b"3cJh6FdG1eTaUoQi\n",
    "deep/er/alone.txt": b"alone\n",
    "odd/crlf.txt": b"\xef\xbb\xbfa\r\nb\r",
}
X = "100755"


def _blob(ground: Ground, data: bytes) -> BlobRef:
    return ground.cat()._wiring.records.blobs.put_bytes(data)


KINDS: dict[str, Callable[[Ground], list[FileChange]]] = {
    "create": lambda _: [FileChange.create("new/a/b.txt", "new\n")],
    "create empty": lambda _: [FileChange.create("empty", b"")],
    "create executable": lambda _: [FileChange.create("tool", "#!/bin/sh\n", mode="100755")],
    "create link": lambda _: [FileChange.create("here", "app/settings.txt", mode="120000")],
    "create large": lambda ground: [FileChange.create("big", _blob(ground, LARGE[::-1]))],
    "update": lambda _: [FileChange.update("app/settings.txt", "old\n", "new\n")],
    "update binary": lambda _: [FileChange.update("app/data.bin", BINARY, BINARY[::-1])],
    "update large": lambda ground: [FileChange.update("app/large.bin", LARGE, _blob(ground, LARGE[::-1]))],
    "update odd": lambda _: [FileChange.update("odd/crlf.txt", FILES["odd/crlf.txt"], b"a\nb\n")],
    "mode alone": lambda _: [FileChange.update("app/settings.txt", "old\n", "old\n", new_mode="100755")],
    "mode back": lambda _: [FileChange.update("app/run.sh", "#!/bin/sh\n", "x\n", old_mode=X, new_mode="100644")],
    "file to link": lambda _: [FileChange.update("app/settings.txt", "old\n", "run.sh", new_mode="120000")],
    "link to file": lambda _: [FileChange.update("link", "app/run.sh", "file\n", old_mode="120000", new_mode="100644")],
    "link elsewhere": lambda _: [FileChange.update("link", "app/run.sh", "app/data.bin", old_mode="120000")],
    "delete": lambda _: [FileChange.delete("app/settings.txt", "old\n")],
    "delete the last of a directory": lambda _: [FileChange.delete("deep/er/alone.txt", "alone\n")],
    "delete binary": lambda _: [FileChange.delete("app/data.bin", BINARY)],
    "delete large": lambda _: [FileChange.delete("app/large.bin", LARGE)],
    "delete executable": lambda _: [FileChange.delete("app/run.sh", "#!/bin/sh\n", mode="100755")],
    "delete link": lambda _: [FileChange.delete("link", "app/run.sh", mode="120000")],
    "rename": lambda _: [FileChange.rename("app/settings.txt", "moved/settings.txt", "old\n")],
    "rename with content": lambda _: [
        FileChange.rename("app/settings.txt", "moved", "old\n", new_content="new\n", new_mode="100755")
    ],
    "rename large": lambda _: [FileChange.rename("app/large.bin", "large", LARGE)],
    "file to directory": lambda _: [
        FileChange.delete("app/settings.txt", "old\n"),
        FileChange.create("app/settings.txt/inside", "new\n"),
    ],
    "directory to file": lambda _: [
        FileChange.delete("deep/er/alone.txt", "alone\n"),
        FileChange.create("deep/er", "a file now\n"),
    ],
    "all at once": lambda _: [
        FileChange.create("new", "new\n"),
        FileChange.update("app/data.bin", BINARY, b"x"),
        FileChange.delete("link", "app/run.sh", mode="120000"),
        FileChange.rename("app/settings.txt", "moved", "old\n"),
    ],
}  # fmt: skip


@pytest.fixture
def full(ground: Ground) -> Ground:
    ground.write(FILES)
    (ground.root / "app/run.sh").chmod(0o755)
    (ground.root / "link").symlink_to("app/run.sh")
    ground.policy["content"]["secrets"] = "allow"
    ground.policy["content"]["invisible_text"] = "allow"
    return ground.begin({})


def _done(ground: Ground, changes: list[FileChange]) -> ExecutionResult:
    proposed = ground.keep(changes)
    result = ground.cat().execute(proposed.plan.id)
    assert result.success, result
    return result


def _revert(ground: Ground, execution_id: str) -> ExecutionResult:
    judgement = ground.cat().revert(execution_id, by="human:reverter")
    assert judgement.plan.parent_execution_id == execution_id
    assert judgement.stored
    return ground.cat().execute(judgement.plan.id)


@pytest.mark.parametrize("kind", KINDS)
def test_a_revert_brings_back_exactly_what_was_and_its_revert_the_change(full: Ground, kind: str) -> None:
    before = full.tree()
    result = _done(full, KINDS[kind](full))
    after = full.tree()
    assert after != before
    back = _revert(full, result.execution_id)
    assert back.success, back
    assert full.tree() == before
    forth = _revert(full, back.execution_id)
    assert forth.success, forth
    assert full.tree() == after
    full.assert_sound()


@pytest.mark.usefixtures("always_packed")
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_packed_is_executed_and_reverted_the_same(full: Ground, kind: str) -> None:
    before = full.tree()
    result = _done(full, KINDS[kind](full))
    assert full.tree() != before
    assert _revert(full, result.execution_id).success
    assert full.tree() == before
    full.assert_sound()


def test_a_file_that_changed_since_is_a_conflict(full: Ground) -> None:
    result = _done(full, KINDS["all at once"](full))
    full.write({"new": "somebody else's\n"})
    before = full.tree()
    back = _revert(full, result.execution_id)
    assert (back.status, back.error_code) == (Status.CONFLICT, "FILE_CHANGED")
    assert "new" in back.message
    assert full.tree() == before


@pytest.mark.parametrize("artifact", [INVERSE, DIFF, "plan.json", "execution.json", "receipt.json"])
@pytest.mark.parametrize("how", ["edited", "emptied", "removed", "link"])
def test_evidence_that_was_edited_is_not_reverted_from(full: Ground, artifact: str, how: str) -> None:
    result = _done(full, KINDS["update"](full))
    path = full.root / ".lonelycat/executions" / result.execution_id / artifact
    data = path.read_bytes()
    path.unlink()
    if how == "edited":
        path.write_bytes(data.replace(b"old", b"odd").replace(b"completed", b"rejected") + b" ")
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "link":
        (full.outside / artifact).write_bytes(data)
        path.symlink_to(full.outside / artifact)
    before = full.tree()
    with pytest.raises(LonelyCatError) as refused:
        full.cat().revert(result.execution_id, by="human:reverter")
    assert refused.value.code == "INVERSE_TAMPERED"
    assert refused.value.hint
    assert full.tree() == before


@pytest.mark.parametrize("identifier", ["exec_unheardof", "../x", "", "exec_\0"])
def test_what_is_not_known_cannot_be_reverted(begun: Ground, identifier: str) -> None:
    with pytest.raises(LonelyCatError) as refused:
        begun.cat().revert(identifier, by="human:reverter")
    assert refused.value.code == "EXECUTION_UNKNOWN"


def test_what_was_not_completed_cannot_be_reverted(begun: Ground) -> None:
    proposed = begun.keep([FileChange.update("app/settings.txt", "old\n", "new\n")])
    begun.write({"app/settings.txt": "drifted\n"})
    result = begun.cat().execute(proposed.plan.id)
    assert result.status is Status.CONFLICT
    with pytest.raises(LonelyCatError) as refused:
        begun.cat().revert(result.execution_id, by="human:reverter")
    assert refused.value.code == "NOT_COMPLETED"
    assert "conflict" in refused.value.message


@pytest.mark.parametrize("kind", ["file to directory", "directory to file", "mode alone", "all at once"])
def test_a_change_of_any_kind_that_was_made_again_is_seen_to_be_in_place(full: Ground, kind: str) -> None:
    result = _done(full, KINDS[kind](full))
    assert _revert(full, result.execution_id).success
    before = full.tree()
    with pytest.raises(LonelyCatError) as refused:
        full.cat().revert(result.execution_id, by="human:reverter")
    assert refused.value.code == "ALREADY_REVERTED"
    _done(full, KINDS[kind](full))
    assert _revert(full, result.execution_id).success
    assert full.tree() == before


@pytest.mark.parametrize(
    "kind", ["create link", "mode alone", "rename", "file to directory", "directory to file", "all at once"]
)
def test_a_change_of_any_kind_that_was_undone_by_hand_is_nothing_to_revert(
    full: Ground, tmp_path: Path, kind: str
) -> None:
    kept = tmp_path / "kept"
    ungoverned = shutil.ignore_patterns(".git", ".lonelycat")
    shutil.copytree(full.root, kept, symlinks=True, ignore=ungoverned)
    result = _done(full, KINDS[kind](full))
    for top in full.root.iterdir():
        if top.name not in (".git", ".lonelycat"):
            shutil.rmtree(top) if top.is_dir() and not top.is_symlink() else top.unlink()
    shutil.copytree(kept, full.root, symlinks=True, dirs_exist_ok=True)
    with pytest.raises(LonelyCatError) as refused:
        full.cat().revert(result.execution_id, by="human:reverter")
    assert refused.value.code == "NOTHING_TO_REVERT"


# -- the artifacts it is made from ----------------------------------------


def _artifact(ground: Ground, result: ExecutionResult, name: str) -> Path:
    return ground.root / ".lonelycat/executions" / result.execution_id / name


def test_the_diff_is_masked_and_the_inverse_is_exact(full: Ground) -> None:
    secret = FILES["app/secret.txt"]
    result = _done(full, [FileChange.update("app/secret.txt", secret, b"token =\n")])
    token = secret.split()[-1]
    assert token not in _artifact(full, result, DIFF).read_bytes()
    assert token in _artifact(full, result, INVERSE).read_bytes()
    for path in _artifact(full, result, ".").rglob("*"):
        if path.is_file() and path.name != INVERSE:
            assert token not in path.read_bytes(), path
    assert _revert(full, result.execution_id).success
    assert (full.root / "app/secret.txt").read_bytes() == secret


def test_a_large_old_content_is_a_blob_and_not_in_the_inverse(full: Ground) -> None:
    result = _done(full, [FileChange.delete("app/large.bin", LARGE)])
    (change,) = json.loads(_artifact(full, result, INVERSE).read_bytes())["changes"]
    assert set(change["content"]) == {"blob"}
    assert change["content"]["blob"]["size"] == len(LARGE)
    assert _artifact(full, result, INVERSE).stat().st_size < 2_000


def test_a_missing_blob_is_refused_before_anything_is_touched(full: Ground) -> None:
    result = _done(full, [FileChange.delete("app/large.bin", LARGE)])
    for blob in (full.root / ".lonelycat/blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    before = full.tree()
    back = _revert(full, result.execution_id)
    assert not back.success
    assert back.status is Status.REJECTED
    assert back.hint
    assert full.tree() == before


def test_artifacts_are_private_and_the_change_set_among_them_has_no_contents(full: Ground) -> None:
    result = _done(full, KINDS["update"](full))
    for path in (_artifact(full, result, "."), *_artifact(full, result, ".").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    changes = json.loads(_artifact(full, result, "changeset.json").read_bytes())["changes"]
    assert [change["content"] for change in changes] == [None]
    events = [json.loads(line) for line in _artifact(full, result, "events.jsonl").read_text().splitlines()]
    started = [event["step"] for event in events if event["type"] == "step.started"]
    assert started[:2] == ["validate", "lock"]
    assert [step.name for step in result.steps] == started
    assert os.path.exists(_artifact(full, result, "receipt.json"))
