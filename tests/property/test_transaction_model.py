"""Apply equals a pure model, apply then undo is the identity, and any run of ends and deaths follows a dictionary."""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.crash.driver import execute, in_dying_process, leftovers, quarantined, recover
from tests.crash.layers import Failing, Killed
from tests.crash.trees import (
    MODES,
    NAMES,
    UMASK,
    File,
    Folder,
    Link,
    Tree,
    applied,
    materialise,
    parents,
    random_changes,
    snapshot,
    with_parents,
)

from lonelycat.executor.filesystem import FileSystem

# Latin letters, digits and bytes that are not UTF-8: what is refused as a name is tested where it is refused.
components = st.sampled_from(NAMES) | st.binary(min_size=1, max_size=5).map(
    lambda raw: "n" + raw.hex() + os.fsdecode(bytes(byte | 0xF8 for byte in raw))
)
paths = st.lists(components, min_size=1, max_size=3).map("/".join)
entries = st.one_of(
    st.builds(File, st.binary(max_size=40), st.sampled_from(MODES)),
    st.builds(Link, st.sampled_from([b"a", b"../x", b"\xff\xfe", b"/nowhere", b"a/b/c"])),
    st.builds(Folder, st.sampled_from((0o755, 0o700, 0o750))),
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Trees in which no file stands where a directory must."""
    tree: Tree = {}
    for path, entry in draw(st.dictionaries(paths, entries, max_size=8)).items():
        blocked = any(isinstance(tree.get(above), File | Link) for above in parents(path))
        if not blocked and not any(other.startswith(path + "/") for other in tree):
            tree[path] = entry
    return with_parents(tree)


@pytest.fixture(autouse=True, scope="module")
def known_umask() -> Iterator[None]:
    before = os.umask(UMASK)
    yield
    os.umask(before)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=trees(), seed=st.integers(0, 2**32), wanted=st.integers(1, 12))
def test_apply_equals_the_model_and_undo_is_the_identity(tree: Tree, seed: int, wanted: int) -> None:
    changes = random_changes(random.Random(seed), tree, wanted)
    with tempfile.TemporaryDirectory() as base:
        for keep, expected, told in ((False, tree, "rolled_back"), (True, applied(tree, changes), "completed")):
            root = Path(base) / str(keep)
            materialise(root, tree)
            assert execute(FileSystem(), root, changes, keep=keep) == told
            assert snapshot(root) == expected
            assert leftovers(root) == [] and quarantined(root) == []


class Workspace(RuleBasedStateMachine):
    """Transactions that end in every way, one after the other, in one workspace."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.root = self.base / "root"
        self.model: Tree = {}

    def teardown(self) -> None:
        shutil.rmtree(self.base)

    @initialize(tree=trees())
    def begin(self, tree: Tree) -> None:
        materialise(self.root, tree)
        self.model = tree

    @rule(seed=st.integers(0, 2**32), keep=st.booleans())
    def run(self, seed: int, keep: bool) -> None:
        changes = random_changes(random.Random(seed), self.model)
        assert execute(FileSystem(), self.root, changes, keep=keep) == ("completed" if keep else "rolled_back")
        if keep:
            self.model = applied(self.model, changes)

    @rule(seed=st.integers(0, 2**32), keep=st.booleans(), at=st.integers(0, 120), torn=st.booleans())
    def die(self, seed: int, keep: bool, at: int, torn: bool) -> None:
        changes = random_changes(random.Random(seed), self.model)
        killed = in_dying_process(lambda: execute(Killed(at, torn=torn), self.root, changes, keep=keep))
        while in_dying_process(lambda: recover(Killed(at % 23 + 1), self.root)) and random.Random(seed).random() < 0.5:
            break
        recover(FileSystem(), self.root)
        self._old_or_new(applied(self.model, changes), sure=None if killed else keep)

    @rule(
        seed=st.integers(0, 2**32),
        keep=st.booleans(),
        at=st.integers(0, 120),
        code=st.sampled_from([errno.EIO, errno.ENOSPC]),
        late=st.booleans(),
    )
    def fail(self, seed: int, keep: bool, at: int, code: int, late: bool) -> None:
        changes = random_changes(random.Random(seed), self.model)
        told = execute(Failing(at, code, late=late), self.root, changes, keep=keep)
        recover(FileSystem(), self.root)
        sure = {"completed": True, "indeterminate": None}.get(told, False)
        self._old_or_new(applied(self.model, changes), sure=sure)

    def _old_or_new(self, new: Tree, *, sure: bool | None) -> None:
        found = snapshot(self.root)
        assert found in ((self.model, new) if sure is None else (new,) if sure else (self.model,))
        self.model = found

    @invariant()
    def the_tree_is_the_model(self) -> None:
        if self.root.exists():
            assert snapshot(self.root) == self.model
            assert leftovers(self.root) == [] and quarantined(self.root) == []


TestWorkspace = Workspace.TestCase
TestWorkspace.settings = settings(max_examples=12, stateful_step_count=8, deadline=None)
