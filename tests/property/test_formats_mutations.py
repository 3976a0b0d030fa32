"""Damaged patches and documents: a typed answer always, and never another tree than git would make."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lonelycat.changes.changeset import BlobRef, ChangeSet, Operation
from lonelycat.changes.diff import DiffEntry, render_diff
from lonelycat.changes.formats.base import OldFile
from lonelycat.changes.formats.document import plan_from_json, read_changeset
from lonelycat.changes.formats.patch_binary import blob_id
from lonelycat.changes.formats.raw_diff import parse_raw_diff
from lonelycat.changes.formats.unified_diff import apply_patch, parse_patch
from lonelycat.errors import ConflictError, InputError

OLD = {
    "a.txt": OldFile(b"".join(b"line %d\n" % n for n in range(30)), "100644"),
    "sp ace": OldFile(b"one\ntwo\nthree", "100755"),
    "bin": OldFile(b"\0" * 50 + b"abc" * 30, "100644"),
    "link": OldFile(b"a.txt", "120000"),
    'q"x': OldFile(b"", "100644"),
}
_EDITED = OLD["a.txt"].data.replace(b"line 4\n", b"LINE\n").replace(b"line 20\n", b"")
PATCH = render_diff(
    [
        DiffEntry("a.txt", OLD["a.txt"].data, _EDITED, "100644", "100644"),
        DiffEntry("moved", OLD["sp ace"].data, b"one\n2\nthree", "100755", "100644", old_path="sp ace"),
        DiffEntry("bin", OLD["bin"].data, b"\1\0" * 90, "100644", "100644"),
        DiffEntry("link", OLD["link"].data, b"text\n", "120000", "100644"),
        DiffEntry('q"x', b"", None, "100644", None),
        DiffEntry("d/new", None, b"x\ny\n", None, "100755"),
    ]
)
LINES = PATCH.splitlines(keepends=True)
EXTRA = [
    b"\n",
    b"rename from a.txt\n",
    b"new file mode 100755\n",
    b"--- /dev/null\n",
    b"\\ No newline at end of file\n",
    b"GIT binary patch\n",
    b"literal 3\n",
    b"+x\n",
    b" x\n",
    b"-x\n",
    b"diff --git a/a.txt b/a.txt\n",
    b"old mode 100644\nnew mode 100755\n",
]
EDITABLE = [index for index, line in enumerate(LINES) if not line.startswith(b"@@")]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        lines = [line for line in lines if line]
        at = min(draw(st.sampled_from(EDITABLE)), len(lines) - 1)
        what = draw(st.sampled_from(["drop", "double", "insert", "swap", "byte"]))
        if lines[at].startswith(b"@@") and what == "byte":
            continue
        if what == "drop":
            del lines[at]
        elif what == "double":
            lines.insert(at, lines[at])
        elif what == "insert":
            lines.insert(at, draw(st.sampled_from(EXTRA)))
        elif what == "swap":
            other = min(draw(st.sampled_from(EDITABLE)), len(lines) - 1)
            lines[at], lines[other] = lines[other], lines[at]
        else:
            position = draw(st.integers(0, len(lines[at]) - 1))
            lines[at] = lines[at][:position] + draw(st.binary(min_size=0, max_size=2)) + lines[at][position + 1 :]
    return b"".join(lines)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutations")
    _git(root, "init", "-q")
    for path, found in OLD.items():
        name = _git(root, "hash-object", "-w", "--stdin", stdin=found.data).stdout.decode().strip()
        _git(root, "update-index", "--add", "--cacheinfo", f"{found.mode},{name},{path}")
    _git(root, "write-tree")
    return root


def _git(root: Path, *arguments: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, input=stdin, env=environment, capture_output=True, check=check)


def _gits_tree(root: Path, patch: bytes) -> dict[str, tuple[str, str]] | None:
    tree = _git(root, "write-tree").stdout.decode().strip()
    try:
        if _git(root, "apply", "--cached", "--unidiff-zero", "-", stdin=patch, check=False).returncode != 0:
            return None
        listing = _git(root, "ls-files", "-s", "-z").stdout.split(b"\0")
    finally:
        _git(root, "read-tree", tree)
    result = {}
    for record in filter(None, listing):
        meta, _, name = record.partition(b"\t")
        mode, identifier, _ = meta.decode().split()
        result[os.fsdecode(name)] = (mode, identifier)
    return result


def _our_tree(patch: bytes) -> dict[str, tuple[str, str]] | None:
    try:
        changes = apply_patch(parse_patch(patch), OLD.get)
    except (InputError, ConflictError) as error:
        assert error.hint
        return None
    result = dict(OLD)
    for change in changes:
        if change.operation is not Operation.CREATE:
            result.pop(change.old_path or change.path)
    for change in changes:
        if change.operation is not Operation.DELETE:
            assert not isinstance(change.content, BlobRef)
            data = OLD[change.old_path or change.path].data if change.content is None else change.content
            assert change.new_mode is not None
            result[change.path] = OldFile(data, change.new_mode)
    return {path: (found.mode, blob_id(found.data, "0" * 40)) for path, found in result.items()}


def test_the_undamaged_patch_is_read_as_git_reads_it(repository: Path) -> None:
    assert _our_tree(PATCH) == _gits_tree(repository, PATCH) is not None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(patch=damaged())
def test_a_damaged_patch_gives_gits_tree_or_is_refused(repository: Path, patch: bytes) -> None:
    ours = _our_tree(patch)
    if ours is not None:
        theirs = _gits_tree(repository, patch)
        # git takes /dev/null for a name where the header does not say that the file comes or goes; we do not.
        assert theirs is None or ours == theirs or "dev/null" in theirs


@settings(max_examples=200, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(LINES + EXTRA), max_size=12).map(b"".join)))
def test_any_bytes_get_a_typed_answer(data: bytes) -> None:
    _our_tree(data)


_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5), st.sampled_from(["create", "f", "0" * 64])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["changes", "operation", "path", "old_path", "content", "text", "new_mode", "id"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=_VALUES, draft=st.booleans())
def test_any_document_gets_a_typed_answer(value: object, draft: bool) -> None:
    document = json.dumps({"changes": [value]} if draft else value).encode()
    for read in (lambda data: read_changeset(data, OLD.get), plan_from_json):
        try:
            read(document)
        except (InputError, ConflictError) as error:
            assert error.hint


@settings(max_examples=200, deadline=None)
@given(
    data=st.lists(
        st.sampled_from([b"\0", b":100644 100644 " + b"a" * 40 + b" " + b"b" * 40, b" M", b" R1", b"x", b":"])
    )
)
def test_any_raw_diff_gets_a_typed_answer(data: list[bytes]) -> None:
    try:
        parse_raw_diff(b"".join(data))
    except InputError as error:
        assert error.hint


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200), path=st.sampled_from(["a", "b/c", "\udcff", 'q"']))
def test_a_draft_says_the_same_as_a_change_set(content: bytes, path: str) -> None:
    from lonelycat.changes.changeset import FileChange
    from lonelycat.changes.paths import to_wire

    made = FileChange.create(path, content)
    encoded = {"base64": base64.b64encode(content).decode()}
    draft = {"changes": [{"operation": "create", "path": to_wire(path), "content": encoded}]}
    assert read_changeset(json.dumps(draft).encode(), OLD.get) == (made,)
    whole = ChangeSet.build(plan_id="plan_1", changes=[made])
    assert read_changeset(whole.model_dump_json().encode(), OLD.get) == whole
