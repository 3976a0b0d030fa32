"""Unified diffs: a typed answer, and where it is yes, the tree that ``git apply`` makes.

git is laxer on purpose (offsets, whitespace, fuzz by options); where it says yes and we say no, nothing is wrong.
Where both say yes, both have to mean the same tree. And what we say yes to, git must not refuse for not matching the
files or for hunks that contradict themselves; about headers it may be the stricter one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.guard import guarded

from lonelycat.changes.changeset import SYMLINK, BlobRef, FileChange, Operation
from lonelycat.changes.diff import DiffEntry, render_diff
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.formats.base import OldFile
from lonelycat.changes.formats.unified_diff import apply_patch, parse_patch
from lonelycat.errors import LonelyCatError
from lonelycat.settings import Limits

LIMITS = Limits(max_input_bytes=1 << 20)
Tree = dict[str, OldFile]
TREE: Tree = {
    "a.txt": OldFile(b"".join(b"line %d\n" % number for number in range(12)), "100644"),
    "same": OldFile(b"x\n" * 9, "100644"),
    "d/e/deep": OldFile(b"one\n two\n\tthree\n", "100644"),
    "end": OldFile(b"first\nlast", "100644"),
    "dos": OldFile(b"one\r\ntwo\r\n", "100644"),
    "run": OldFile(b"#!/bin/sh\n", "100755"),
    "bin": OldFile(b"\0\1\2" * 9, "100644"),
    "empty": OldFile(b"", "100644"),
    "with space": OldFile(b"s\n", "100644"),
    "link": OldFile(b"a.txt", "120000"),
}
WORDS = (
    b"diff --git a/a.txt b/a.txt\n", b"--- a/a.txt\n", b"+++ b/a.txt\n", b"--- /dev/null\n", b"+++ /dev/null\n",
    b"@@ -1 +1 @@\n", b"@@ -1,2 +1,2 @@\n", b"@@ -0,0 +1 @@\n", b"@@ -1 +0,0 @@\n", b"\\ No newline at end of file\n",
    b"new file mode 100644\n", b"deleted file mode 100644\n", b"old mode 100644\n", b"new mode 100755\n",
    b"rename from a.txt\n", b"rename to b\n", b"copy from a.txt\n", b"copy to b\n", b"similarity index 100%\n",
    b"index 0000000..0000000\n", b"GIT binary patch\n", b"literal 0\n", b"delta 0\n", b"HcmV?d00001\n", b" line 0\n",
    b"-line 0\n", b"+line 0\n", b"\r\n", b"120000", b"160000", b"100755", b"\t", b"../", b".git/", b'"a/\\303"',
    b"-- \n2.39\n",
)  # fmt: skip


def seeds() -> Iterable[bytes]:
    """Return patches of each kind, as we write them, and in forms that we do not write."""
    edits: list[DiffEntry] = [
        _entry("a.txt", TREE["a.txt"].data.replace(b"line 4\n", b"LINE\n").replace(b"line 9\n", b"")),
        _entry("end", b"first\nlast\n"),
        _entry("end", b"first"),
        _entry("dos", b"one\r\n2\r\n"),
        _entry("dos", b"one\r\ntwo\r"),
        _entry("same", TREE["same"].data[:-1]),
        _entry("same", b"x\n" * 4 + b"y\n" + b"x\n" * 5),
        _entry("bin", b"\3\2\1" * 12),
        _entry("run", TREE["run"].data, "100644"),
        DiffEntry("link", b"a.txt", b"end", "120000", "120000"),
        DiffEntry("link", b"a.txt", b"text\n", "120000", "100644"),
        DiffEntry("d/new", None, b"n\n", None, "100755"),
        DiffEntry("d/none", None, b"", None, "100644"),
        DiffEntry("empty", b"", None, "100644", None),
        DiffEntry("a.txt", TREE["a.txt"].data, None, "100644", None),
        DiffEntry("moved", b"s\n", b"s\n", "100644", "100644", old_path="with space"),
        DiffEntry("d/moved too", TREE["d/e/deep"].data, b"one\n2\n\tthree\n", "100644", "100755", old_path="d/e/deep"),
        DiffEntry("\u00fc\n", None, b"odd\n", None, "100644"),
    ]
    yield from (render_diff([edit]) for edit in edits)
    yield render_diff([edits[0], edits[3], edits[6], edits[9], edits[13]])
    yield b"--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n line 0\n-line 1\n+line one\n"
    yield b"--- same\t2020-01-01\n+++ same\t2020-01-02\n@@ -1 +1,2 @@\n x\n+y\n"
    yield b"--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,3 @@\n line 0\n line 1\n+and the end, which it is not\n"
    yield b"diff --git a/same b/copy\ncopy from same\ncopy to copy\n"
    yield (
        b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n"
        b"@@ -2,0 +3 @@ line 1\n+between\n@@ -11 +11,0 @@\n-line 10\n"
    )


def _entry(path: str, new: bytes, mode: str | None = None) -> DiffEntry:
    old = TREE[path]
    return DiffEntry(path, old.data, new, old.mode, mode or old.mode)


def check(data: bytes) -> None:
    """Apply ``data`` to the tree with our reader, and when that says yes with git."""
    with guarded():
        try:
            parsed = parse_patch(data, LIMITS)
            changes = apply_patch(parsed, TREE.get, LIMITS)
        except LonelyCatError as error:
            assert error.code and error.hint
            return
    ours = applied(TREE, changes)
    if any(file.mode == SYMLINK and not _can_be_a_target(file.data) for file in ours.values()):
        return  # denied by the gate and refused by the executor (LINK_TARGET); git cuts it off
    no_context = any(
        not hunk.leading and not hunk.trailing
        for file in parsed.files
        if file.kind not in ("create", "delete")
        for hunk in file.hunks
    )
    options = ["--unidiff-zero"] if no_context else []
    theirs = _by_git(data, "-p1", *options)
    if theirs not in (None, ours) and _NO_PREFIX.search(data):
        # Without git's header a name is to us what it says; git always takes its first directory away.
        theirs = None if b"diff --git " in data or _PREFIX.search(data) else _by_git(data, "-p0", *options)
    if theirs is None or "dev/null" in theirs:  # a name that is /dev/null to us and a file's to git
        return
    different = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    shown = {path: (ours.get(path), theirs.get(path)) for path in different}
    assert ours == theirs, f"another tree than git's: {shown!r:.2000}"


def _can_be_a_target(data: bytes) -> bool:
    return 0 < len(data) < 4096 and b"\0" not in data


_ABOUT_CONTENTS = (b"patch does not apply", b"while searching for", b"corrupt patch", b"fragment without header")
_PREFIX = re.compile(rb"^(?:---|\+\+\+) \"?[ab]/", re.MULTILINE)
_NO_PREFIX = re.compile(rb"^(?:---|\+\+\+) (?!\"?[ab]/|/dev/null)", re.MULTILINE)


def applied(tree: Tree, changes: tuple[FileChange, ...]) -> Tree:
    """Return ``tree`` after ``changes``, each held against what it says about the file that it finds."""
    result = dict(tree)
    for change in changes:
        if change.operation is not Operation.CREATE:
            gone = result.pop(change.old_path or change.path)
            assert (sha256_hex(gone.data), gone.mode) == (change.old_hash, change.old_mode)
    for change in changes:
        if change.operation is not Operation.DELETE:
            assert change.path not in result and change.new_mode is not None
            assert not isinstance(change.content, BlobRef)
            data = tree[change.old_path or change.path].data if change.content is None else change.content
            assert sha256_hex(data) == change.new_hash
            result[change.path] = OldFile(data, change.new_mode)
    return result


def _by_git(patch: bytes, *options: str) -> Tree | None:
    """Return the tree that git makes of the patch, or None when it refuses."""
    root = Path(tempfile.mkdtemp(prefix="lonelycat-fuzz-"))
    try:
        for path, file in TREE.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.mode == SYMLINK:
                target.symlink_to(os.fsdecode(file.data))
            else:
                target.write_bytes(file.data)
                target.chmod(0o755 if file.mode == "100755" else 0o644)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CEILING_DIRECTORIES": str(root.parent),
        }
        command = ["git", "apply", "--whitespace=nowarn", *options, "-"]
        done = subprocess.run(command, cwd=root, input=patch, env=environment, capture_output=True, check=False)
        if done.returncode == 0:
            return _read(root)
        contents = [why for why in _ABOUT_CONTENTS if why in done.stderr]
        assert not contents, f"we apply what git refuses: {done.stderr!r:.500}"
        return None
    finally:
        shutil.rmtree(root)


def _read(root: Path) -> Tree:
    tree: Tree = {}
    for folder, folders, names in os.walk(root):
        for name in (*names, *(each for each in folders if os.path.islink(os.path.join(folder, each)))):
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            if os.path.islink(full):
                tree[path] = OldFile(os.readlink(os.fsencode(full)), "120000")
            else:
                mode = "100755" if os.stat(full).st_mode & 0o100 else "100644"
                tree[path] = OldFile(Path(full).read_bytes(), mode)
    return tree
