"""Our patches and git's own, against each other, on generated trees."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lonelycat.changes.changeset import BlobRef, FileChange, Operation
from lonelycat.changes.diff import DiffEntry, patch_line_counts, render_diff
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.formats.base import OldFile
from lonelycat.changes.formats.unified_diff import apply_patch, parse_patch
from lonelycat.changes.lines import changed_regions, split_lines
from lonelycat.errors import ConflictError
from lonelycat.runtime.git import GitRepository

Tree = dict[str, OldFile]

NAMES = [
    "a.txt",
    "b",
    "with space.txt",
    " lead",
    "d/inner.py",
    "d/e/deep name",
    'quo"te',
    "ümlaut/ö.txt",
    "日本.md",
    os.fsdecode(b"latin-\xe9\xff"),
    "d2",
    "a b/b/a b",
    "b/a",
    "x a/x b",
    "-dash",
    "new\u00a0brk",
]
LINES = [b"one\n", b"two\n", b"\n", b"three\r\n", b"  four \n", b"}\n", b"-- \n", b"--- a/x\n", b"+++ b/x\n"]
LINES += [b"@@ -1 +1 @@\n", b"\\ no\n", b"\xff\xfe latin\n", b"diff --git a/x b/x\n", b"\r\n", b"caf\xc3\xa9\n"]
TAILS = [b"", b"no newline", b"cr\r", b"\xff", b" ", b"-"]

text = st.builds(
    lambda lines, tail: b"".join(lines) + tail, st.lists(st.sampled_from(LINES), max_size=25), st.sampled_from(TAILS)
)
binary = st.builds(lambda head, tail: head + b"\0" + tail, st.binary(max_size=40), st.binary(max_size=300))
regular = st.builds(OldFile, st.one_of(text, text, binary), st.sampled_from(["100644", "100644", "100755"]))
link = st.builds(OldFile, st.sampled_from([b"a.txt", b"../out side", b"d/inner.py", b"\xff\xfe"]), st.just("120000"))
file = st.one_of(regular, regular, regular, link)


def _possible(tree: Tree) -> Tree:
    """Drop the files that stand where another one needs a directory."""
    return {p: f for p, f in tree.items() if not any(q.startswith(p + "/") for q in tree)}


trees = st.dictionaries(st.sampled_from(NAMES), file, max_size=8).map(_possible)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Two trees of which the second mostly resembles the first: edited, moved, retyped, removed, added files."""
    old = draw(trees)
    new = dict(draw(trees))
    for path, before in old.items():
        what = draw(st.sampled_from(["keep", "edit", "drop", "move", "chmod", "replace"]))
        if what == "keep":
            new[path] = before
        elif what == "edit" and before.mode != "120000":
            lines = split_lines(before.data)
            at = draw(st.integers(0, len(lines)))
            cut = draw(st.integers(0, 2))
            insert = draw(st.lists(st.sampled_from(LINES), max_size=2))
            new[path] = OldFile(b"".join(lines[:at] + insert + lines[at + cut :]), before.mode)
        elif what == "move":
            new.pop(path, None)
            new[draw(st.sampled_from(NAMES))] = before
        elif what == "chmod" and before.mode != "120000":
            new[path] = OldFile(before.data, "100755" if before.mode == "100644" else "100644")
    return old, _possible(new)


def _write(root: Path, tree: Tree) -> None:
    for path, found in tree.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.mode == "120000":
            os.symlink(found.data, os.fsencode(target))
        else:
            target.write_bytes(found.data)
            target.chmod(0o755 if found.mode == "100755" else 0o644)


def _read(root: Path) -> Tree:
    tree: Tree = {}
    for folder, folders, names in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
        for name in [*names, *(f for f in folders if os.path.islink(os.path.join(folder, f)))]:
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            if os.path.islink(full):
                tree[path] = OldFile(os.readlink(os.fsencode(full)), "120000")
            else:
                mode = "100755" if os.stat(full).st_mode & 0o100 else "100644"
                tree[path] = OldFile(Path(full).read_bytes(), mode)
    return tree


def _applied(tree: Tree, changes: tuple[FileChange, ...]) -> Tree:
    result = dict(tree)
    for change in changes:
        if change.operation is not Operation.CREATE:
            gone = result.pop(change.old_path or change.path)
            assert (sha256_hex(gone.data), gone.mode) == (change.old_hash, change.old_mode)
    for change in changes:
        if change.operation is not Operation.DELETE:
            assert change.path not in result
            assert not isinstance(change.content, BlobRef)
            data = change.content
            if data is None:
                data = tree[change.old_path or change.path].data
            assert sha256_hex(data) == change.new_hash
            assert change.new_mode is not None
            result[change.path] = OldFile(data, change.new_mode)
    return result


class Repository:
    """A scratch git repository whose commits come from trees."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "-q")

    def git(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        command = ["git", "-C", str(self.root), "-c", "core.fsync=none", *arguments]
        return subprocess.run(command, input=stdin, env=environment, capture_output=True, check=check)

    def commit(self, tree: Tree) -> str:
        parts = [b"reset refs/heads/new\ncommit refs/heads/new\ncommitter t <t@example.org> 0 +0000\ndata 0\n"]
        for path, found in tree.items():
            name = path.encode("utf-8", "surrogateescape").replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            parts.append(b'M %s inline "%s"\ndata %d\n%s\n' % (found.mode.encode(), name, len(found.data), found.data))
        self.git("fast-import", "--quiet", "--force", stdin=b"".join(parts))
        return self.git("rev-parse", "refs/heads/new").stdout.decode().strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("git"))


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
@given(pair=pairs(), context=st.sampled_from(["-U3", "-U1", "-U10"]))
def test_a_patch_by_git_gives_gits_tree(repository: Repository, pair: tuple[Tree, Tree], context: str) -> None:
    old, new = pair
    before, after = repository.commit(old), repository.commit(new)
    for options in (
        ["-M"],
        ["--no-renames"],
        ["-C", "--find-copies-harder"],
        ["-B", "--no-renames"],
        ["-M", "--full-index"],
    ):
        patch = repository.git("diff", "--binary", context, *options, before, after).stdout
        if not patch:
            assert old == new
            continue
        assert _applied(old, apply_patch(parse_patch(patch), old.get)) == new, options


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(pair=pairs())
def test_a_patch_with_broken_pairs_is_applied_or_refused_as_by_git(
    repository: Repository, pair: tuple[Tree, Tree]
) -> None:
    """``-B -M`` may rename onto a file whose removal the patch does not state; git refuses to apply that."""
    old, new = pair
    before, after = repository.commit(old), repository.commit(new)
    patch = repository.git("diff", "--binary", "-B", "-M", before, after).stdout
    if not patch:
        return
    repository.git("read-tree", before)
    accepted = repository.git("apply", "--cached", "--check", "-", stdin=patch, check=False).returncode == 0
    try:
        assert _applied(old, apply_patch(parse_patch(patch), old.get)) == new
    except ConflictError as error:
        assert error.code == "FILE_EXISTS"
        assert not accepted


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(pair=pairs())
def test_a_range_gives_gits_tree(repository: Repository, pair: tuple[Tree, Tree]) -> None:
    old, new = pair
    if old == new:
        return
    before, after = repository.commit(old), repository.commit(new)
    changes = GitRepository(repository.root).changes_in_range(f"{before}..{after}", _no_blobs)
    assert _applied(old, changes) == new


def _no_blobs(chunks: object) -> BlobRef:
    raise AssertionError("nothing here is large")


def _entries(old: Tree, new: Tree) -> list[DiffEntry]:
    entries = []
    for path in sorted(old.keys() | new.keys()):
        a, b = old.get(path), new.get(path)
        if a != b:
            entries.append(DiffEntry(path, a and a.data, b and b.data, a and a.mode, b and b.mode))
    return entries


def _moved(entries: list[DiffEntry]) -> list[DiffEntry]:
    """Pair the first deletion with the first creation of the same type, as a rename with edits."""
    gone = next((e for e in entries if e.new_mode is None), None)
    made = next((e for e in entries if e.old_mode is None), None)
    if gone is None or made is None or (gone.old_mode == "120000") != (made.new_mode == "120000"):
        return entries
    if gone.old_mode == "120000" and made.path.startswith(gone.path + "/"):
        return entries  # git looks through the old link for what is to be below its name
    moved = DiffEntry(made.path, gone.old, made.new, gone.old_mode, made.new_mode, old_path=gone.path)
    return [e for e in entries if e not in (gone, made)] + [moved]


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(pair=pairs())
def test_git_applies_our_diff(pair: tuple[Tree, Tree]) -> None:
    old, new = pair
    for entries in (_entries(old, new), _moved(_entries(old, new))):
        if not entries:
            return
        patch = render_diff(entries)
        root = Path(tempfile.mkdtemp(prefix="lonelycat-test-"))
        try:
            scratch = Repository(root)
            _write(root, old)
            applied = scratch.git("apply", "--whitespace=nowarn", "-", stdin=patch, check=False)
            assert applied.returncode == 0, (applied.stderr, patch)
            assert _read(root) == new
        finally:
            shutil.rmtree(root)


@settings(max_examples=300, deadline=None, suppress_health_check=SLOW)
@given(pair=pairs())
def test_our_diff_reads_back(pair: tuple[Tree, Tree]) -> None:
    old, new = pair
    for entries in (_entries(old, new), _moved(_entries(old, new))):
        if entries:
            assert _applied(old, apply_patch(parse_patch(render_diff(entries)), old.get)) == new


few = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=30)
many = st.lists(st.integers(0, 400).map(lambda n: b"%d\n" % n), max_size=60)


@settings(max_examples=300, deadline=None)
@given(old=st.one_of(few, many), new=st.one_of(few, many))
def test_regions_turn_the_old_lines_into_the_new(old: list[bytes], new: list[bytes]) -> None:
    result, position = [], 0
    for a, a_end, b, b_end in changed_regions(old, new):
        assert a >= position
        assert (a, b) != (a_end, b_end)
        result += old[position:a] + new[b:b_end]
        position = a_end
    assert result + old[position:] == new


@settings(max_examples=200, deadline=None)
@given(old=few, new=few)
def test_line_counts_agree_with_the_sizes_and_are_short(old: list[bytes], new: list[bytes]) -> None:
    added, removed = patch_line_counts(b"".join(old), b"".join(new))
    assert added - removed == len(new) - len(old)
    assert added <= len(new)
    assert removed <= len(old)
