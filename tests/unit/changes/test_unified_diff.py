"""Patches: what is read, what is refused and where, what conflicts and how it is told."""

from __future__ import annotations

import base64
import tracemalloc
import zlib

import pytest

from lonelycat.changes.changeset import FileChange, Operation
from lonelycat.changes.formats.base import OldFile
from lonelycat.changes.formats.patch_binary import blob_id
from lonelycat.changes.formats.unified_diff import apply_patch, parse_patch
from lonelycat.errors import ConflictError, InputError, LonelyCatError, PathError
from lonelycat.settings import Limits

Tree = dict[str, OldFile]
FILE = b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"
TREE: Tree = {"f": OldFile(FILE, "100644"), "l": OldFile(b"to", "120000"), "e": OldFile(b"", "100644")}


def run(patch: bytes | str, tree: Tree = TREE) -> tuple[FileChange, ...]:
    data = patch.encode() if isinstance(patch, str) else patch
    return apply_patch(parse_patch(data), tree.get)


def git(name: str, body: str, extra: str = "") -> str:
    return f"diff --git a/{name} b/{name}\n{extra}--- a/{name}\n+++ b/{name}\n{body}"


def refusal(patch: bytes | str, code: str, tree: Tree = TREE) -> LonelyCatError:
    with pytest.raises(LonelyCatError) as caught:
        run(patch, tree)
    assert caught.value.code == code, caught.value
    assert caught.value.hint
    return caught.value


HUNK = "@@ -2,3 +2,3 @@\n 2\n-3\n+three\n 4\n"


def test_a_hunk_changes_only_its_lines() -> None:
    (change,) = run(git("f", HUNK))
    assert change.content == FILE.replace(b"3", b"three")
    assert (change.operation, change.old_mode, change.new_mode) == (Operation.UPDATE, "100644", "100644")


@pytest.mark.parametrize(
    ("found", "line", "shown"),
    [
        (FILE.replace(b"3", b"x"), 3, "'x\\n'"),
        (b"0\n" + FILE, 2, "'1\\n'"),
        (b"1\n2\n", 3, "the end of the file"),
        (FILE.replace(b"2\n", b"2\r\n"), 2, "'2\\r\\n'"),
        (FILE.replace(b"2\n", b"2 \n"), 2, "'2 \\n'"),
        (b"", 2, "the end of the file"),
    ],
)
def test_a_mismatch_names_file_hunk_line_and_both_texts(found: bytes, line: int, shown: str) -> None:
    patch = git("d/f", "@@ -1 +1 @@\n-a\n+b\n" + HUNK).replace("@@ -1 +1 @@\n-a\n+b\n", "")
    error = refusal(patch, "HUNK_MISMATCH", {"d/f": OldFile(found, "100644")})
    assert isinstance(error, ConflictError)
    assert error.details["path"] == "d/f"
    assert (error.details["hunk"], error.details["line"]) == (1, line)
    assert error.details["found"] == shown
    assert "d/f: hunk 1 " in error.message
    assert f"at line {line}:" in error.message


def test_the_second_hunk_is_named_as_the_second() -> None:
    patch = git("f", "@@ -1,2 +1,2 @@\n-1\n+one\n 2\n@@ -8,2 +8,2 @@\n x\n-9\n+nine\n")
    error = refusal(patch, "HUNK_MISMATCH")
    assert (error.details["hunk"], error.details["line"], error.details["patch_line"]) == (2, 8, 8)


def test_no_offset_is_tried() -> None:
    moved = {"f": OldFile(b"new first line\n" + FILE, "100644")}
    refusal(git("f", HUNK), "HUNK_MISMATCH", moved)


def test_missing_trailing_context_claims_the_end_of_the_file() -> None:
    patch = git("f", "@@ -8,2 +8,3 @@\n 8\n 9\n+10\n")
    assert run(patch)[0].content == FILE + b"10\n"
    error = refusal(patch, "HUNK_MISMATCH", {"f": OldFile(FILE + b"more\n", "100644")})
    assert error.details["expected"] == "the end of the file"


def test_a_hunk_at_line_zero_does_not_go_on_top_of_an_existing_file() -> None:
    patch = git("f", "@@ -0,0 +1 @@\n+x\n")
    refusal(patch, "HUNK_MISMATCH")
    assert run(patch, {"f": OldFile(b"", "100644")})[0].content == b"x\n"


def test_hunks_without_context_go_to_their_line() -> None:
    assert run(git("f", "@@ -4,0 +5 @@\n+x\n"))[0].content == b"1\n2\n3\n4\nx\n5\n6\n7\n8\n9\n"
    refusal(git("f", "@@ -10,0 +11 @@\n+x\n"), "HUNK_MISMATCH")
    unended = {"f": OldFile(FILE[:-1], "100644")}
    refusal(git("f", "@@ -9,0 +10 @@\n+x\n"), "HUNK_MISMATCH", unended)


NO_NEWLINE = "\\ No newline at end of file\n"


def test_the_newline_at_the_end_comes_and_goes() -> None:
    without = {"f": OldFile(FILE[:-1], "100644")}
    drop = git("f", f"@@ -8,2 +8,2 @@\n 8\n-9\n+9\n{NO_NEWLINE}")
    add = git("f", f"@@ -8,2 +8,2 @@\n 8\n-9\n{NO_NEWLINE}+9\n")
    assert run(drop)[0].content == FILE[:-1]
    assert run(add, without)[0].content == FILE
    refusal(drop, "HUNK_MISMATCH", without)
    refusal(add, "HUNK_MISMATCH")
    refusal(git("f", f"@@ -2 +2 @@\n-2\n+two\n{NO_NEWLINE}"), "HUNK_MISMATCH")


def test_crlf_and_bytes_that_are_not_text_stay_as_they_are() -> None:
    old = b"a\r\nb\xff\nc\x0c\x0bd\r\ne\xe2\x80\xa8f\n"
    patch = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\r\n-b\xff\n+B\xfe\r\n c\x0c\x0bd\r\n"
    (change,) = run(patch, {"f": OldFile(old, "100755")})
    assert change.content == b"a\r\nB\xfe\r\nc\x0c\x0bd\r\ne\xe2\x80\xa8f\n"
    assert change.new_mode == "100755"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("@@ -2,3 +2,3 @@\n 2\n-3\n+three\n", 8),
        ("@@ -2,3 +2,3 @@\n 2\n-3\n+three\n 4", 8),
        ("@@ -2,2 +2,2 @@\n 2\n-3\n+three\n 4\n", 8),
        ("@@ -2,3 +2,3 @@\n 2\n-3\n*three\n 4\n", 7),
        ("@@ -2,1 +2,1 @@\n-2\n-3\n+x\n", 6),
        ("@@ -2 +2 @@\n-2\n+x\n@@ -1 +1 @@\n-1\n+y\n", 7),
        ("@@ -2,2 +2,2 @@\n 2\n-3\n+x\n@@ -3 +3 @@\n-3\n+y\n", 8),
        ("@@ -0,1 +1 @@\n-1\n+x\n", 4),
        ("@@ nonsense\n", 4),
        ("@@ -99999999999 +1 @@\n-1\n+x\n", 4),
        (f"@@ -2,2 +2,2 @@\n-2\n{NO_NEWLINE}-3\n+x\n+y\n", 6),
        ("@@ -2 +2 @@\n-2\n+x\n+++ stray\n", 7),
        ("@@ -2 +2 @@\n-2\n+x\n\\ No newlin\n", 7),
        ("@@ -2 +2 @@\n-2\n+x\n\\ No newline", 7),
        ("@@ -3,0 +3 @@\n+x\n", 4),  # after line 3, or as line 3
        ("@@ -2 +3 @@\n-2\n+x\n", 4),
        ("@@ -2 +1,0 @@\n-2\n@@ -4 +4 @@\n-4\n+x\n", 6),  # what was line 4 is line 3 by then
        ("@@ -0,0 +0 @@\n+x\n", 4),
    ],
)
def test_a_malformed_hunk_names_the_line_in_the_patch(body: str, line: int) -> None:
    error = refusal(git("f", body), "PATCH_MALFORMED")
    assert isinstance(error, InputError)
    assert error.details["line"] == line
    assert f"line {line}:" in error.message


@pytest.mark.parametrize(
    "patch",
    [
        "@@ -1 +1 @@\n-1\n+x\n",
        "diff --git f f\n--- f\n+++ f\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/f\n--- a/f\n+++ b/e\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/e\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/e\n--- a/f\n+++ b/e\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/f\n--- a/f\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/f\n",
        "diff --git a/f b/f\nindex 123..456\n",
        "diff --git a/f b/f\nold mode 100644\n",
        "diff --git a/f b/f\nnew file mode 100644\ndeleted file mode 100644\n",
        "diff --git a/f b/g\nrename from f\n",
        "diff --git a/f b/g\nrename from f\nrename to h\n",
        "diff --git a/f b/g\nrename from f\nrename to g\nrename to g\n",
        "diff --git a/f b/g\nrename from f\nrename to g\ncopy from f\ncopy to g\n",
        "diff --git a/f b/f\nnew file mode 100644\n--- /dev/null\n+++ b/f\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ b/f\n@@ -1 +0,0 @@\n-1\n",
        "diff --git a/n b/n\nold mode 100644\nnew mode 100755\nnew file mode 100644\n",
        "diff --git a/f b/f\n@@ -1 +1 @@\n-1\n+x\n",
        "diff --git a/f b/f\n--- a-f\n+++ b/f\n@@ -1 +1 @@\n-1\n+x\n",
        "--- f\n+++ g\n@@ -1 +1 @@\n-1\n+x\n",
        "--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-1\n+x\n",
        "--- a/f\n+++ b/f\n",
    ],
)
def test_a_header_that_two_readers_could_read_differently_is_refused(patch: str) -> None:
    assert "line" in refusal(patch, "PATCH_MALFORMED").details


@pytest.mark.parametrize("patch", ["", "just prose\n", "--- \n", "\0\0\0", "-- \n2.39.5\n"])
def test_a_patch_without_files_is_refused(patch: str) -> None:
    refusal(patch, "PATCH_EMPTY")


@pytest.mark.parametrize("at", [90, 200, 3_000])
def test_lines_that_part_behind_what_is_shown_of_them_say_where(at: int) -> None:
    line = "x" * at + "%s" + "y" * 20 + "\n"
    tree = {"f": OldFile((line % "found").encode(), "100644")}
    error = refusal(git("f", f"@@ -1 +1 @@\n-{line % 'other'}+new\n"), "HUNK_MISMATCH", tree)
    assert f"which differs from byte {at + 1} on" in error.message
    near = {"f": OldFile(b"found\n", "100644")}
    assert "differs from byte" not in refusal(git("f", "@@ -1 +1 @@\n-other\n+new\n"), "HUNK_MISMATCH", near).message


def test_an_empty_patch_says_what_git_leaves_out() -> None:
    assert "git add -N" in refusal("", "PATCH_EMPTY").hint
    for text in ("*** Begin Patch\n*** Update File: f\n@@\n-3\n+three\n*** End Patch\n", "Sorry, I cannot.\n"):
        assert "git's form" in refusal(text, "PATCH_EMPTY").message


@pytest.mark.parametrize(
    "header",
    [
        "diff --git a/a.txt b/a.txt",
        "diff --git a/a.txt b/a.txt\ndeleted file mode 100644",
        "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 100755",
        "diff --git a/a.txt b/b.txt\nsimilarity index 100%\nrename from a.txt\nrename to b.txt",
        "diff --git a/a.txt b/a.txt\nindex 1234567..89abcde 100644\n--- a/a.txt\n+++ b/a.txt",
    ],
)
def test_a_patch_that_ends_within_a_header_line_was_cut_off(header: str) -> None:
    """git passes over such a line, and so over what it says of the file."""
    refused = refusal(header, "PATCH_MALFORMED")
    assert "ends in the middle of a header" in refused.message and "newline" in refused.hint


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ('--- /dev/null\n+++ "b/\\303"b/d/new\n@@ -0,0 +1 @@\n+n\n', "behind its last quote"),
        ("--- /dev/null\n+++ a/new\n@@ -0,0 +1 @@\n+n\n", "begins with 'a/'"),
        ("--- b/f\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-1\n-2\n-3\n", "begins with 'b/'"),
        (
            "diff --git a/f b/g\nrename from f\nrename to g\n--- a/f\n+++ b/g\n+++ b/g\n",
            "without a hunk behind them",
        ),
    ],
)
def test_what_git_would_read_in_another_way_is_refused(patch: str, why: str) -> None:
    assert why in refusal(patch, "PATCH_MALFORMED").message


@pytest.mark.parametrize(
    "hunk", ["@@ -1,2 +1,2 @@\n 1\n 2\n", "@@ -0,0 +0,0 @@\n", "@@ -1 +1 @@\n 1\n\\ No newline at end of file\n"]
)
def test_a_hunk_that_changes_nothing_is_refused_as_git_does(hunk: str) -> None:
    refused = refusal(git("f", hunk), "PATCH_MALFORMED")
    assert "adds no line and removes none" in refused.message and refused.details["line"] == 4


@pytest.mark.parametrize("header", ["diff --git a/f b/f\n--- a/f\n+++ b/f\n", "--- a/f\n+++ b/f\n", "--- f\n+++ f\n"])
def test_a_patch_whose_line_ends_were_turned_into_crlf_is_told_as_that(header: str) -> None:
    refused = refusal((header + HUNK).replace("\n", "\r\n"), "PATCH_MALFORMED")
    assert "CRLF" in refused.message and "byte for byte" in refused.hint


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../f", "PATH_TRAVERSAL"),
        ("/etc/passwd", "PATH_ABSOLUTE"),
        ("x/../../f", "PATH_TRAVERSAL"),
        ("x//f", "PATH_NOT_NORMAL"),
        ("nul.txt", "PATH_DEVICE_NAME"),
    ],
)
def test_an_unsafe_name_never_reaches_the_reader_of_files(name: str, code: str) -> None:
    patch = git(name, "@@ -1 +1 @@\n-1\n+x\n").encode()
    with pytest.raises(PathError) as caught:
        apply_patch(parse_patch(patch), lambda path: pytest.fail(f"asked for {path}"))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'diff --git "a/q\\"x" "b/q\\"x"\n', 'q"x'),
        (b'diff --git "a/\\303\\274" "b/\\303\\274"\n', "ü"),
        (b'diff --git "a/\\377" "b/\\377"\n', "\udcff"),
        (b"diff --git a/\xff b/\xff\n", "\udcff"),
        ("diff --git a/ü b/ü\n".encode(), "ü"),
        (b"diff --git a/a b/a b/a b/a\n", "a b/a"),
        (b"diff --git a/x y z b/x y z\n", "x y z"),
        (b"diff --git i/x w/x\n", "x"),
        (b"diff --git b/x a/x\n", "x"),
    ],
)
def test_odd_names_are_read_as_git_writes_them(line: bytes, name: str) -> None:
    (change,) = run(line + b"old mode 100644\nnew mode 100755\n", {name: OldFile(b"", "100644")})
    assert change.path == name
    assert (change.old_mode, change.new_mode, change.content) == ("100644", "100755", None)


def test_renames_copies_and_edits_together() -> None:
    patch = (
        "diff --git a/f b/with space\nsimilarity index 90%\nrename from f\nrename to with space\n"
        "--- a/f\n+++ b/with space\t\n" + HUNK + "diff --git a/f b/c\ncopy from f\ncopy to c\n"
    )
    moved, copied = run(patch)
    assert (moved.operation, moved.old_path, moved.path) == (Operation.RENAME, "f", "with space")
    assert moved.content == FILE.replace(b"3", b"three")
    assert (copied.operation, copied.path, copied.content) == (Operation.CREATE, "c", FILE)


def test_two_files_may_swap_names() -> None:
    tree = {"a": OldFile(b"A", "100644"), "b": OldFile(b"B", "100755")}
    patch = "diff --git a/b b/a\nrename from b\nrename to a\ndiff --git a/a b/b\nrename from a\nrename to b\n"
    changes = {change.path: change for change in run(patch, tree)}
    assert {path: (c.operation, c.content, c.new_mode) for path, c in changes.items()} == {
        "a": (Operation.UPDATE, b"B", "100755"),
        "b": (Operation.UPDATE, b"A", "100644"),
    }


def test_a_series_builds_on_itself() -> None:
    series = (
        git("f", "@@ -1,2 +1,2 @@\n-1\n+one\n 2\n")
        + "-- \n2.39.5\n\nFrom 0123 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 2/2] second\n---\n f | 2 +-\n\n"
        + git("f", "@@ -1,2 +1,2 @@\n-one\n+uno\n 2\n")
        + "diff --git a/f b/g\nrename from f\nrename to g\n"
    )
    (change,) = run(series)
    assert (change.operation, change.old_path, change.path) == (Operation.RENAME, "f", "g")
    assert change.content == FILE.replace(b"1", b"uno")


def test_what_a_series_makes_and_takes_away_is_no_change() -> None:
    made = "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n"
    gone = "diff --git a/n b/n\ndeleted file mode 100644\n--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    assert run(made + gone) == ()


def test_a_type_change_is_one_update() -> None:
    patch = (
        "diff --git a/l b/l\ndeleted file mode 120000\n--- a/l\n+++ /dev/null\n@@ -1 +0,0 @@\n-to\n" + NO_NEWLINE
    ) + "diff --git a/l b/l\nnew file mode 100644\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+text\n"
    (change,) = run(patch)
    assert (change.operation, change.old_mode, change.new_mode) == (Operation.UPDATE, "120000", "100644")


def test_empty_files_come_and_go() -> None:
    made, gone = run(
        "diff --git a/n b/n\nnew file mode 100755\nindex 0000000..e69de29\n"
        "diff --git a/e b/e\ndeleted file mode 100644\nindex e69de29..0000000\n"
    )
    assert (made.operation, made.content, made.new_mode) == (Operation.CREATE, b"", "100755")
    assert (gone.operation, gone.path) == (Operation.DELETE, "e")


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        (git("gone", HUNK), "FILE_MISSING"),
        ("diff --git a/gone b/g\nrename from gone\nrename to g\n", "FILE_MISSING"),
        ("diff --git a/gone b/g\ncopy from gone\ncopy to g\n", "FILE_MISSING"),
        ("diff --git a/f b/f\nnew file mode 100644\n", "FILE_EXISTS"),
        ("diff --git a/f b/e\nrename from f\nrename to e\n", "FILE_EXISTS"),
        ("diff --git a/f b/f\ndeleted file mode 100644\n", "HUNK_MISMATCH"),
        ("diff --git a/f b/f\nold mode 100755\nnew mode 100644\n", "MODE_MISMATCH"),
        (git("l", HUNK, "index 0123456..789abcd 100644\n"), "MODE_MISMATCH"),
    ],
)
def test_a_tree_that_is_not_what_the_patch_was_made_against_is_a_conflict(patch: str, code: str) -> None:
    assert isinstance(refusal(patch, code), ConflictError)


@pytest.mark.parametrize(
    "patch",
    [
        "diff --git a/s b/s\nnew file mode 160000\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 @@\n+Subproject commit 01\n",
        "diff --git a/s b/s\nindex 0123456..789abcd 160000\n--- a/s\n+++ b/s\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/s b/s\ndeleted file mode 160000\n",
    ],
)
def test_submodules_are_refused_by_name(patch: str) -> None:
    assert "submodule" in refusal(patch, "SUBMODULE_UNSUPPORTED").message


def test_other_modes_are_refused_and_group_bits_do_not_count() -> None:
    refusal("diff --git a/n b/n\nnew file mode 040000\n", "MODE_UNSUPPORTED")
    refusal("diff --git a/n b/n\nnew file mode rwxr--\n", "MODE_UNSUPPORTED")
    assert run("diff --git a/n b/n\nnew file mode 100664\n")[0].new_mode == "100644"


def test_plain_diffs_with_dates() -> None:
    dated = "--- a/f\t2024-01-01 10:00:00.000000000 +0000\n+++ b/f\t2024-01-02 10:00:00.000000000 +0000\n"
    assert run("Only in x: y\n" + dated + HUNK)[0].content == FILE.replace(b"3", b"three")
    assert run("--- f\n+++ f\n" + HUNK)[0].path == "f"
    epoch = "1970-01-01 00:00:00.000000000 +0000"
    assert run(f"--- a/n\t{epoch}\n+++ b/n\t2024-01-02 10:00:00 +0000\n@@ -0,0 +1 @@\n+x\n")[0].content == b"x\n"
    assert run("--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n")[0].path == "n"
    (gone,) = run(
        f"--- a/f\t2024-01-02 10:00:00 +0000\n+++ b/f\t{epoch}\n@@ -1,9 +0,0 @@\n"
        + "".join(f"-{n}\n" for n in range(1, 10))
    )
    assert gone.operation is Operation.DELETE


def literal(data: bytes, *, stated: int | None = None, packed: bytes | None = None, kind: str = "literal") -> str:
    squeezed = zlib.compress(data) if packed is None else packed
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    lines = [f"{kind} {len(data) if stated is None else stated}"]
    for start in range(0, len(squeezed), 52):
        piece = squeezed[start : start + 52]
        padded = piece + b"\0" * (-len(piece) % 4)
        lines.append(letters[len(piece) - 1] + base64.b85encode(padded).decode())
    return "\n".join(lines) + "\n\n"


def binary(old: bytes, new: bytes, body: str, name: str = "f") -> str:
    ids = f"index {blob_id(old, '0' * 40)}..{blob_id(new, '0' * 40)} 100644\n"
    return f"diff --git a/{name} b/{name}\n{ids}GIT binary patch\n{body}"


def test_a_binary_patch_is_checked_against_both_object_ids() -> None:
    new = bytes(range(256)) * 10
    assert run(binary(FILE, new, literal(new)))[0].content == new
    refusal(binary(FILE + b"x", new, literal(new)), "CONTENT_MISMATCH")
    refusal(binary(FILE, new + b"x", literal(new)), "PATCH_MALFORMED")
    short = binary(FILE, new, literal(new)).replace(blob_id(FILE, "0" * 40), "0123456")
    refusal(short, "PATCH_MALFORMED")


def test_a_binary_file_without_its_bytes_is_refused() -> None:
    patch = "diff --git a/f b/f\nindex 0123456..789abcd 100644\nBinary files a/f and b/f differ\n"
    assert "--binary" in refusal(patch, "PATCH_BINARY_MISSING").hint


@pytest.mark.parametrize(
    "body",
    [
        "nonsense\n",
        "literal x\n",
        literal(b"abc", stated=2),
        literal(b"abc", stated=4),
        literal(b"abc", packed=b"not zlib at all."),
        literal(b"abc", packed=zlib.compress(b"abc")[:-2]),
        literal(b"abc", packed=zlib.compress(b"abc") + b"tail"),
        "literal 3\nDzzz\n\n",
        'literal 3\nD""""""""\n\n',
        "literal 3\nD~~~~~\n\n",
    ],
)
def test_damaged_binary_data_is_malformed(body: str) -> None:
    refusal(binary(FILE, b"abc", body), "PATCH_MALFORMED")


def test_a_bomb_does_not_inflate_beyond_what_is_stated_and_allowed() -> None:
    bomb = zlib.compress(b"\0" * 50_000_000)
    refusal(binary(FILE, b"", literal(b"", stated=10, packed=bomb)), "PATCH_MALFORMED")
    patch = binary(FILE, b"", literal(b"", stated=50_000_000, packed=bomb)).encode()
    with pytest.raises(InputError) as caught:
        parse_patch(patch, Limits(max_input_bytes=1_000_000))
    assert caught.value.code == "PATCH_TOO_LARGE"


def test_a_bomb_costs_no_memory() -> None:
    bomb = binary(FILE, b"", literal(b"", stated=10, packed=zlib.compress(b"\0" * 50_000_000))).encode()
    big = b"x" * 60_000
    flood = binary(big, b"?", delta(big, 100, bytes([0xB0, 0x60, 0xEA]) * 1000)).encode()
    tracemalloc.start()
    try:
        for patch in (bomb, flood):
            with pytest.raises(InputError):
                apply_patch(parse_patch(patch), {"f": OldFile(big, "100644")}.get)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_copy_of_size_zero_means_64_kib() -> None:
    big = bytes(range(256)) * 256
    assert run(binary(big, big + b"!", delta(big, 65_537, b"\x80\x01!")), {"f": OldFile(big, "100644")})[0].content == (
        big + b"!"
    )


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def delta(old: bytes, size: int, commands: bytes) -> str:
    data = varint(len(old)) + varint(size) + commands
    return literal(data, kind="delta")


def test_deltas_copy_and_insert_and_never_reach_outside() -> None:
    copy_all = bytes([0x90, len(FILE)])
    assert run(binary(FILE, FILE + b"xy", delta(FILE, len(FILE) + 2, copy_all + b"\x02xy")))[0].content == FILE + b"xy"
    for size, commands in [
        (len(FILE) + 1, copy_all),
        (len(FILE) - 1, copy_all),
        (5, b"\x05xy"),
        (5, b"\x00"),
        (5, bytes([0x91, 200, 5])),
        (5, bytes([0x91])),
    ]:
        refusal(binary(FILE, b"?", delta(FILE, size, commands)), "PATCH_MALFORMED")
    refusal(binary(FILE, b"?", delta(FILE + b"longer", 18, copy_all)), "PATCH_MALFORMED")


def test_a_delta_bomb_is_stopped_by_its_stated_size() -> None:
    big = b"x" * 60_000
    commands = bytes([0xB0, 0x60, 0xEA]) * 1000
    patch = binary(big, b"?", delta(big, 60_000_000, commands)).encode()
    with pytest.raises(InputError) as caught:
        apply_patch(parse_patch(patch), {"f": OldFile(big, "100644")}.get, Limits(max_input_bytes=1_000_000))
    assert caught.value.code == "PATCH_TOO_LARGE"


def test_too_many_files_and_too_large_a_patch_are_refused() -> None:
    patch = "".join(f"diff --git a/n{i} b/n{i}\nnew file mode 100644\n" for i in range(5)).encode()
    for limits, code in [(Limits(max_changes=4), "TOO_MANY_CHANGES"), (Limits(max_input_bytes=50), "PATCH_TOO_LARGE")]:
        with pytest.raises(InputError) as caught:
            parse_patch(patch, limits)
        assert caught.value.code == code
    assert len(parse_patch(patch, Limits(max_changes=5)).files) == 5
