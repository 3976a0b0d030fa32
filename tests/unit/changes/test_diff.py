"""Diffs as git prints them, and line counts that hold for hostile texts."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from lonelycat.changes import lines as lines_module
from lonelycat.changes.changeset import BlobRef
from lonelycat.changes.diff import DiffEntry, patch_line_counts, quoted, render_diff, render_file
from lonelycat.changes.lines import changed_regions, split_lines


def git_diff(tmp_path: Path, old: bytes, new: bytes, *options: str) -> bytes:
    for name, data in (("old", old), ("new", new)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "f").write_bytes(data)
    command = ["git", "diff", "--no-index", "--binary", "--abbrev=10", *options, "old/f", "new/f"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.replace(b"a/old/f", b"a/f").replace(b"b/new/f", b"b/f")


NUMBERS = b"".join(b"%d\n" % n for n in range(100))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (NUMBERS, NUMBERS.replace(b"\n50\n", b"\nfifty\n")),
        (NUMBERS, NUMBERS.replace(b"\n3\n", b"\n").replace(b"\n90\n", b"\n90\n90.5\n")),
        (NUMBERS, NUMBERS.replace(b"\n10\n", b"\nten\n").replace(b"\n17\n", b"\nseventeen\n")),
        (NUMBERS, NUMBERS.replace(b"\n10\n", b"\nten\n").replace(b"\n18\n", b"\neighteen\n")),
        (NUMBERS, NUMBERS[:-1]),
        (NUMBERS[:-1], NUMBERS),
        (NUMBERS, b""),
        (b"", b"x"),
        (b"a\r\nb\r\n", b"a\nb\r\n"),
        (b"only\n", b"other"),
    ],
)
def test_the_text_is_gits_own(tmp_path: Path, old: bytes, new: bytes) -> None:
    ours = render_file(DiffEntry("f", old, new, "100644", "100644"))
    theirs = git_diff(tmp_path, old, new)
    heads = [line for line in theirs.splitlines(keepends=True) if line.startswith(b"@@")]
    for head in heads:
        theirs = theirs.replace(head, head[: head.index(b" @@") + 3] + b"\n")
    assert ours == theirs


def test_a_binary_file_is_a_literal_up_to_a_mebibyte_and_then_a_remark() -> None:
    small = render_file(DiffEntry("f", b"\0old", b"\0" * 1024 * 1024, "100644", "100644"))
    assert b"GIT binary patch\nliteral 1048576\n" in small
    assert b"\n\nliteral 4\n" in small
    large = render_file(DiffEntry("f", b"\0", b"\0" * (1024 * 1024 + 1), "100644", "100644"))
    assert large.endswith(b"Binary files a/f and b/f differ\n")
    assert b"literal" not in large


def test_contents_that_are_not_at_hand_are_said_to_differ() -> None:
    ref = BlobRef(sha256="1" * 64, size=5)
    assert render_file(DiffEntry("f", None, ref, None, "100755")) == (
        b"diff --git a/f b/f\nnew file mode 100755\nBinary files /dev/null and b/f differ\n"
    )
    moved = DiffEntry("g", ref, ref, "100644", "100644", old_path="f")
    assert render_file(moved).endswith(b"similarity index 100%\nrename from f\nrename to g\n")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("plain", b"plain"),
        ("with space", b"with space"),
        ("ü", "ü".encode()),
        ('q"', b'"q\\""'),
        ("\udcff", b'"\\377"'),
        ("t\tn\n", b'"t\\tn\\n"'),
        ("rtl\u202e", b'"rtl\\342\\200\\256"'),
        ("\x1b[31m", b'"\\033[31m"'),
    ],
)
def test_names_that_could_mislead_a_terminal_are_quoted(path: str, text: bytes) -> None:
    assert quoted(path) == text


def test_a_name_with_a_space_ends_with_a_tab_as_in_git() -> None:
    text = render_file(DiffEntry("a b", b"x\n", b"y\n", "100644", "100644"))
    assert b"\n--- a/a b\t\n+++ b/a b\t\n" in text
    assert b"diff --git a/a b b/a b\n" in text


def test_counts_are_those_of_git_numstat(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(25):
        old = [b"%d\n" % chance.randint(0, 30) for _ in range(chance.randint(0, 60))]
        new = [line for line in old if chance.random() > 0.2]
        for _ in range(chance.randint(0, 5)):
            new.insert(chance.randint(0, len(new)), b"new\n")
        added, removed, *_ = git_diff(tmp_path, b"".join(old), b"".join(new), "--numstat", "--minimal").split() or [
            0,
            0,
        ]
        ours = patch_line_counts(b"".join(old), b"".join(new))
        assert ours[0] - ours[1] == int(added) - int(removed)
        assert int(added) <= ours[0] <= int(added) + 6


def test_a_nul_byte_does_not_hide_lines_from_the_count() -> None:
    assert patch_line_counts(b"", b"\0" + b"x\n" * 5000) == (5000, 0)
    assert patch_line_counts(None, b"x\n") == (1, 0)
    assert patch_line_counts(b"x\ny", None) == (0, 2)


@pytest.mark.parametrize("kind", ["alternating", "repeated", "shuffled", "periodic", "disjoint"])
def test_hostile_texts_stay_within_the_step_budget(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts comparisons of lines, the only work that could grow faster than the input."""
    compared = 0

    class Counted(bytes):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return bytes.__eq__(self, other)  # type: ignore[arg-type]  # compared with lines only

        __hash__ = bytes.__hash__

    size, chance = 20_000, random.Random(1)
    old = {
        "alternating": [b"same\n" if n % 2 else b"%d\n" % n for n in range(size)],
        "repeated": [b"}\n"] * size,
        "shuffled": [b"%d\n" % n for n in range(size)],
        "periodic": [b"%d\n" % (n % 7) for n in range(size)],
        "disjoint": [b"o%d\n" % (n % 50) for n in range(size)],
    }[kind]
    new = {
        "alternating": [b"same\n" if n % 2 else b"-%d\n" % n for n in range(size)],
        "repeated": [b"}\n"] * (size // 2) + [b"x\n"] + [b"}\n"] * (size // 3),
        "shuffled": chance.sample(old, size),
        "periodic": [b"%d\n" % (n % 11) for n in range(size)],
        "disjoint": [b"n%d\n" % (n % 50) for n in range(size)],
    }[kind]
    regions = changed_regions([Counted(line) for line in old], [Counted(line) for line in new])
    assert compared < 40 * size + 3 * lines_module._MAX_STEPS
    result, position = [], 0
    for a, a_end, b, b_end in regions:
        result += old[position:a] + new[b:b_end]
        position = a_end
    assert result + old[position:] == new


def test_lines_end_at_newlines_only() -> None:
    assert split_lines(b"a\rb\x0cc\r\nd\xe2\x80\xa8e") == [b"a\rb\x0cc\r\n", b"d\xe2\x80\xa8e"]


def test_a_type_change_is_a_deletion_and_a_creation() -> None:
    text = render_diff([DiffEntry("f", b"to", b"text\n", "120000", "100644")])
    assert text.count(b"diff --git a/f b/f\n") == 2
    assert b"deleted file mode 120000\n" in text
    assert b"new file mode 100644\n" in text
