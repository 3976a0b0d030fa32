"""Hunks on today's text: where they apply, where not and how that is told."""

from __future__ import annotations

import pytest

from lonelycat.changes.changeset import FileChange
from lonelycat.changes.conflict import Conflict
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.rebase import Misfit, Placed, Present, Rebased, place_hunks, rebase_change

OLD = b"".join(b"%d\n" % number for number in range(1, 31))


def replaced(text: bytes, *pairs: tuple[bytes, bytes]) -> bytes:
    for before, after in pairs:
        assert text.count(before) == 1
        text = text.replace(before, after)
    return text


NEW = replaced(OLD, (b"\n15\n", b"\nfifteen\n"))


def test_a_hunk_moves_with_its_context_and_the_offset_is_said() -> None:
    today = b"a\nb\n" + replaced(OLD, (b"\n25\n", b"\ntwenty-five\n"))
    placed = place_hunks(OLD, NEW, today)
    assert placed == Placed(replaced(today, (b"\n15\n", b"\nfifteen\n")), (2,))


@pytest.mark.parametrize(
    ("today", "line", "expected", "found"),
    [
        (replaced(OLD, (b"\n13\n", b"\nthirteen\n")), 13, "'13\\n'", "'thirteen\\n'"),  # a line of context
        (replaced(OLD, (b"\n15\n", b"\nXV\n")), 15, "'15\\n'", "'XV\\n'"),
        (OLD + OLD, 12, "one place where it applies", "more than one: lines 12 and 42"),
        (NEW + b"31\n", 12, "'12\\n'", "what the hunk makes of it: it is already there"),
        (OLD[:20], 11, "'12\\n'", "the end of the file"),
        (b"", 1, "'12\\n'", "the end of the file"),
    ],
)
def test_a_hunk_that_does_not_apply_names_its_line(today: bytes, line: int, expected: str, found: str) -> None:
    assert place_hunks(OLD, NEW, today) == Misfit(1, line, expected, found)


def test_overlapping_places_count() -> None:
    old = b"x\n" * 7
    new = b"x\n" * 3 + b"y\n" + b"x\n" * 4
    assert isinstance(place_hunks(old, new, old + b"x\n"), Misfit)


def test_what_began_or_ended_the_file_still_has_to() -> None:
    appended = OLD + b"31\n"
    assert place_hunks(OLD, appended, b"0\n" + OLD) == Placed(b"0\n" + appended, (1,))
    assert isinstance(place_hunks(OLD, appended, OLD + b"theirs\n"), Misfit)
    first = b"0\n" + OLD
    assert isinstance(place_hunks(OLD, first, b"theirs\n" + OLD), Misfit)
    second = replaced(OLD, (b"1\n2\n", b"1\ntwo\n"))
    assert place_hunks(OLD, second, b"theirs\n" + OLD) == Placed(b"theirs\n" + second, (1,))


def test_a_missing_newline_at_the_end_is_part_of_the_line() -> None:
    old, new = OLD + b"end", replaced(OLD, (b"\n29\n", b"\nXXIX\n")) + b"end"
    assert place_hunks(old, new, b"0\n" + old) == Placed(b"0\n" + new, (1,))
    assert isinstance(place_hunks(old, new, b"0\n" + old + b"\n"), Misfit)
    assert isinstance(place_hunks(OLD, OLD + b"end", OLD[:-1]), Misfit)


def test_lines_that_were_moved_are_not_the_lines_that_were_there() -> None:
    lines = OLD.splitlines(keepends=True)
    new = replaced(OLD, (b"\n5\n", b"\nfive\n"), (b"\n25\n", b"\nXXV\n"))
    for number, today in ((1, [*lines[12:], *lines[:12]]), (2, [*lines[20:], *lines[:20]])):
        found = place_hunks(OLD, new, b"".join(today))
        assert isinstance(found, Misfit) and "moved or written anew" in found.found
        assert found.hunk in (number, 3 - number)
    joined = b"".join([*lines[1:8], *lines[24:]])  # the second hunk's context went
    assert isinstance(place_hunks(OLD, new, joined), Misfit)


def test_what_was_done_already_is_not_done_twice() -> None:
    old, new = b"line\nend", b"line\nline\nend"
    assert isinstance(place_hunks(old, new, new), Misfit)
    assert isinstance(place_hunks(old, new, b"line\n" + new), Misfit)


@pytest.mark.parametrize(
    ("old", "new", "today"),
    [
        # Both add a line to the same run: the comparison puts one at its head, one at its end.
        (b"one two one", b"one one two one one", b"one two one one"),
        (b"one two two", b"two one two two two", b"one two two two"),
        # ... here because it moved the end of the file into what the hunk adds
        (b"two four one four", b"two one four one four five four", b"four two four one four three five"),
        # Any of today's four is the new one, so between which two of them the hunk belongs is not known.
        (b"two one one one", b"two one two one one", b"two two one one one two one"),
        # Both take one away.
        (b"a b x x x x c d", b"a b x x x c d e", b"0 a b x x x c d"),
    ],
)
def test_beside_equal_lines_of_which_any_may_be_the_new_one_nothing_is_guessed(
    old: bytes, new: bytes, today: bytes
) -> None:
    texts = [b"".join(word + b"\n" for word in text.split()) for text in (old, new, today)]
    assert isinstance(place_hunks(*texts), Misfit)


def test_equal_lines_that_nobody_touched_are_no_reason_to_refuse() -> None:
    old = b"a\n" + b"x\n" * 5 + OLD
    new = b"a\n" + b"x\n" * 5 + NEW
    assert place_hunks(old, new, b"a\n" + b"x\n" * 6 + OLD) == Placed(b"a\n" + b"x\n" * 6 + NEW, (1,))


# -- whole changes -----------------------------------------------------------------------------------------------

UPDATE = FileChange.update("f", OLD, NEW)


def present(data: bytes, mode: str = "100644") -> Present:
    return Present(sha256_hex(data), mode, data)  # type: ignore[arg-type]  # one of git's


def rebased(change: FileChange, old: bytes | None = OLD, new: bytes | None = NEW, **files: object) -> object:
    return rebase_change(change, old, new, lambda path: files.get(path))  # type: ignore[arg-type,return-value]


def codes(found: object) -> list[tuple[str, str]]:
    assert isinstance(found, list), found
    assert all(isinstance(one, Conflict) and one.phase == "rebase" for one in found)
    return [(one.path, one.code) for one in found]


def test_an_update_where_nothing_changed_and_where_it_is_already_there() -> None:
    assert rebased(UPDATE, f=present(OLD)) == Rebased("as_it_was", "f", UPDATE)
    assert rebased(UPDATE, f=present(NEW)) == Rebased("already_there", "f", None)
    assert codes(rebased(UPDATE)) == [("f", "FILE_MISSING")]
    assert codes(rebased(UPDATE, f="a directory")) == [("f", "FILE_CHANGED")]


def test_a_moved_hunk_becomes_a_change_on_todays_bytes_and_todays_mode() -> None:
    today = b"0\n" + OLD
    found = rebased(UPDATE, f=present(today, "100755"))
    assert isinstance(found, Rebased) and found.change is not None
    assert (found.how, found.offsets, found.change.content) == ("moved", (1,), b"0\n" + NEW)
    assert (found.change.old_hash, found.change.new_hash) == (sha256_hex(today), sha256_hex(b"0\n" + NEW))
    assert (found.change.old_mode, found.change.new_mode) == ("100755", "100755")


def test_a_change_that_is_in_todays_text_already_is_left_out() -> None:
    assert rebased(UPDATE, f=present(b"0\n" + NEW + b"31\n")) == Rebased("already_there", "f", None)
    two = replaced(OLD, (b"\n5\n", b"\nfive\n"), (b"\n25\n", b"\nXXV\n"))
    change = FileChange.update("f", OLD, two)
    half = b"0\n" + replaced(OLD, (b"\n5\n", b"\nfive\n"))
    found = rebased(change, OLD, two, f=present(half))
    assert codes(found) == [("f", "HUNK_MISMATCH")]
    assert isinstance(found, list) and (found[0].hunk, found[0].found) == (
        1,
        "what the hunk makes of it: it is already there",
    )


def test_another_mode_alone_is_kept() -> None:
    found = rebased(UPDATE, f=present(OLD, "100755"))
    assert isinstance(found, Rebased) and found.change is not None
    assert (found.how, found.change.new_mode, found.change.content) == ("as_it_was", "100755", NEW)


@pytest.mark.parametrize(
    ("change", "old", "new", "today"),
    [
        (UPDATE, None, NEW, b"0\n" + OLD),  # nobody knows what it was made against
        (UPDATE, OLD, NEW, b"\0" + OLD),
        (FileChange.update("f", OLD, b"\0" + NEW), OLD, b"\0" + NEW, b"0\n" + OLD),
        (FileChange.update("f", OLD, NEW, new_mode="100755"), OLD, NEW, b"0\n" + OLD),
        (FileChange.update("f", OLD, OLD, new_mode="100755"), OLD, OLD, b"0\n" + OLD),
        (FileChange.delete("f", OLD), OLD, None, b"0\n" + OLD),
    ],
)
def test_what_is_about_the_whole_file_needs_the_file_as_it_was(
    change: FileChange, old: bytes | None, new: bytes | None, today: bytes
) -> None:
    assert codes(rebased(change, old, new, f=present(today))) == [("f", "FILE_CHANGED")]
    too_large = Present(sha256_hex(today), "100644", None)
    assert codes(rebased(change, old, new, f=too_large)) == [("f", "FILE_CHANGED")]


def test_a_link_in_the_files_place_is_a_conflict() -> None:
    assert codes(rebased(UPDATE, f=present(b"0\n" + OLD, "120000"))) == [("f", "FILE_CHANGED")]
    assert codes(rebased(UPDATE, f=present(OLD, "120000"))) == [("f", "MODE_CHANGED")]


def test_creations_deletions_and_renames_hold_only_where_nothing_changed() -> None:
    create, delete = FileChange.create("f", NEW), FileChange.delete("f", OLD)
    assert rebased(create) == Rebased("as_it_was", "f", create)
    assert rebased(create, f=present(NEW)) == Rebased("already_there", "f", None)
    assert codes(rebased(create, f=present(OLD))) == [("f", "FILE_EXISTS")]
    assert rebased(delete, f=present(OLD)) == Rebased("as_it_was", "f", delete)
    assert rebased(delete) == Rebased("already_there", "f", None)
    rename = FileChange.rename("f", "g", OLD, new_content=NEW)
    assert rebased(rename, f=present(OLD)) == Rebased("as_it_was", "g", rename)
    assert rebased(rename, g=present(NEW)) == Rebased("already_there", "g", None)
    assert codes(rebased(rename)) == [("f", "FILE_MISSING")]
    assert codes(rebased(rename, f=present(NEW), g=present(OLD))) == [("f", "FILE_CHANGED"), ("g", "FILE_EXISTS")]
    assert codes(rebased(rename, f="a directory", g="a directory")) == [("f", "FILE_CHANGED"), ("g", "FILE_CHANGED")]
    assert codes(rebased(rename, f=present(OLD), g=present(NEW))) == [("g", "FILE_EXISTS")]


def test_a_text_of_one_repeated_line_is_judged_in_no_time() -> None:
    old = b"\n" * 400_000
    new = b"\n" * 200_000 + b"x\n" + b"\n" * 200_000
    assert isinstance(place_hunks(old, new, old + b"\n"), Misfit)
    many = b"".join(b"%d\nx\nx\nx\nx\nx\nx\nx\n" % number for number in range(3_000))
    found = place_hunks(many, many.replace(b"0\nx", b"0\ny\nx").replace(b"5\nx", b"5\ny\nx"), many + b"end\n")
    assert isinstance(found, Placed | Misfit)
