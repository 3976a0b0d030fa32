"""The tree of a rehearsal is the tree that the executor makes: the same change, both ways, and the two compared."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.crash.driver import execute
from tests.crash.trees import UMASK, File, Folder, Link, Tree, difference, materialise, random_changes, snapshot

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.checks.sandbox import launch
from lonelycat.checks.sandbox.applying import apply
from lonelycat.checks.verifier import Rehearsed, Verifier
from lonelycat.clock import SystemClock
from lonelycat.errors import ConflictError, RefusedError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.tree import PinnedTree
from lonelycat.governance.policy_profiles import VerificationProfile
from lonelycat.records.blobs import BlobStore
from lonelycat.runtime.overlay import put_together
from lonelycat.settings import Limits

TOLD = """
import json, os, stat, sys
found = {}
def walk(directory, prefix):
    for name in sorted(os.listdir(directory)):
        place, path = directory + b'/' + name, prefix + name
        status = os.lstat(place)
        kind = stat.S_IFMT(status.st_mode)
        data = os.readlink(place) if kind == stat.S_IFLNK else open(place, 'rb').read() if kind == stat.S_IFREG else b''
        found[path.hex()] = [kind, stat.S_IMODE(status.st_mode), data.hex()]
        if kind == stat.S_IFDIR: walk(place, path + b'/')
walk(os.getcwdb(), b'')
print(json.dumps(found))
"""
TREE: Tree = {
    "bin": Folder(0o755),
    "bin/run": File(b"#!/bin/sh\n", 0o755),
    "bin/private": File(b"secret\n", 0o600),
    "docs": Folder(0o750),
    "docs/a": File(b"a\n"),
    "docs/deep": Folder(0o700),
    "docs/deep/only": File(b"only\n"),
    "link": Link(b"docs/a"),
    "data": File(bytes(range(256)) * 40, 0o640),
    "shared": File(b"for the group\n", 0o664),
    "tool": File(b"#!/bin/sh\n", 0o775),
}


@pytest.fixture(autouse=True, scope="module")
def known_umask() -> Iterator[None]:
    before = os.umask(UMASK)
    yield
    os.umask(before)


def no_blobs(ref: BlobRef) -> Iterable[bytes]:
    raise AssertionError(ref)


def rehearsed(
    root: Path, changes: Sequence[FileChange], open_blob: Callable[[BlobRef], Iterable[bytes]] = no_blobs
) -> Tree:
    """Return the tree that a verification command finds in a rehearsal of ``changes``."""
    profile = VerificationProfile.model_validate({"argv": [sys.executable, "-I", "-S", "-c", TOLD]})
    with tempfile.TemporaryFile() as contents, PinnedTree(FileSystem(), root, 65536) as tree:
        rehearsal = put_together(tree, changes, contents, open_blob)
        checker = Verifier(root, SystemClock(), Limits(max_output_bytes=10_000_000))
        result = checker.run("tree", profile, (), 60, Rehearsed(rehearsal, contents.fileno()))
    assert result.ok, (result, result.output)
    found: Tree = {}
    for name, (kind, mode, data) in json.loads(result.output).items():
        path = os.fsdecode(bytes.fromhex(name))
        found[path] = {
            0o120000: lambda _, data: Link(data),
            0o040000: lambda mode, _: Folder(mode),
            0o100000: lambda mode, data: File(data, mode),
        }[kind](mode, bytes.fromhex(data))
    return found


def both(base: Path, tree: Tree, changes: Sequence[FileChange]) -> tuple[Tree, Tree]:
    """Return the tree of the rehearsal and that of the execution; the rehearsal leaves the workspace as it was."""
    root = base / "workspace"
    materialise(root, tree)
    seen = rehearsed(root, changes)
    assert snapshot(root) == tree
    assert execute(FileSystem(), root, tuple(changes), keep=True) == "completed"
    return seen, snapshot(root)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), wanted=st.integers(1, 12))
def test_what_is_applied_equals_what_is_executed(seed: int, wanted: int) -> None:
    """The applying alone, without a sandbox around it: many change sets in a short time."""
    changes = random_changes(random.Random(seed), TREE, wanted)
    with tempfile.TemporaryDirectory() as base, tempfile.TemporaryFile() as contents:
        rehearsal_root, root, stage = (Path(base) / name for name in ("rehearsal", "workspace", "stage"))
        materialise(rehearsal_root, TREE)
        materialise(root, TREE)
        stage.mkdir()
        with PinnedTree(FileSystem(), rehearsal_root, 65536) as tree:
            rehearsal = put_together(tree, changes, contents, no_blobs)
        apply(rehearsal, str(rehearsal_root), contents.fileno(), str(stage))
        assert execute(FileSystem(), root, tuple(changes), keep=True) == "completed"
        assert snapshot(rehearsal_root) == snapshot(root), difference(snapshot(rehearsal_root), snapshot(root))


@pytest.mark.parametrize("kind", ["overlay", "copy"])
def test_what_a_command_finds_equals_what_is_executed(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole: seeded change sets through the sandbox, on an overlay and on a copy."""
    if kind == "copy":
        made = launch.Spec
        monkeypatch.setattr(launch, "Spec", lambda **fields: made(**{**fields, "overlays": False}))
    for seed in range(12):
        changes = random_changes(random.Random(seed), TREE, 8)
        seen, after = both(tmp_path / str(seed), TREE, changes)
        assert seen == after, (seed, difference(seen, after))


@pytest.mark.parametrize(
    "changes",
    [
        [FileChange.rename("bin/run", "bin/deep/run", b"#!/bin/sh\n", old_mode="100755")],
        [FileChange.delete("docs/deep/only", b"only\n"), FileChange.create("docs/deep", b"a file now\n")],
        [FileChange.delete("docs/a", b"a\n"), FileChange.create("docs/a/b/c", b"a directory now\n")],
        [FileChange.delete("link", b"docs/a", mode="120000"), FileChange.create("link/inside", b"x\n")],
        [FileChange.delete("docs/a", b"a\n"), FileChange.delete("docs/deep/only", b"only\n")],
        [FileChange.create("new-link", b"../outside", mode="120000")],
        [FileChange.update("bin/private", b"secret\n", b"other\n")],
        [FileChange.update("bin/run", b"#!/bin/sh\n", b"#!/bin/sh\n", old_mode="100755", new_mode="100644")],
    ],
    ids=["rename", "directory to file", "file to directory", "link to directory", "emptied", "link", "mode", "chmod"],
)
def test_each_kind_of_change(tmp_path: Path, changes: list[FileChange]) -> None:
    seen, after = both(tmp_path, TREE, changes)
    assert seen == after, difference(seen, after)


def test_large_contents_from_the_store(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    data = random.Random(1).randbytes(3_000_000)
    ref = store.put_bytes(data)
    root = tmp_path / "workspace"
    materialise(root, TREE)
    seen = rehearsed(root, [FileChange.create("large.bin", ref)], store.open)
    assert seen["large.bin"] == File(data, 0o644)


def test_a_base_that_moved_on_is_the_conflict_of_the_real_run(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    materialise(root, {**TREE, "docs/a": File(b"somebody else's\n")})
    changes = [FileChange.update("docs/a", b"a\n", b"b\n"), FileChange.delete("bin/run", b"other\n", mode="100755")]
    with pytest.raises(ConflictError) as caught:
        rehearsed(root, changes)
    assert "docs/a" in str(caught.value) or caught.value.details


def test_a_content_that_is_not_what_was_approved_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    materialise(root, TREE)
    store = BlobStore(tmp_path / "blobs")
    ref = store.put_bytes(b"approved")
    with pytest.raises(RefusedError) as caught:
        rehearsed(root, [FileChange.create("new", ref)], lambda _: (b"altered!",))
    assert caught.value.code == "CHECKSUM_MISMATCH"
