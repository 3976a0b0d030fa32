"""Text from outside cannot act on a terminal or mislead its reader."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonelycat.interfaces.cli.neutral import neutral, neutral_lines


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain text, 100 %", "plain text, 100 %"),
        ("naïve café 日本 🐈", "naïve café 日本 🐈"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("over\rwritten", "over\\rwritten"),
        ("two\nlines", "two\\nlines"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
        ("bidi \u202egnp.exe", "bidi \\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("filler\u3164end", "filler\\u3164end"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("bytes \udcff", "bytes \\xff"),
        ("lone \ud800", "lone \\ud800"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        ("del\x7f", "del\\x7f"),
    ],
)
def test_hostile_text_is_spelled_out(hostile: str, shown: str) -> None:
    assert neutral(hostile) == shown


@given(st.text(st.characters(), max_size=60))
def test_what_comes_out_is_printable_and_stays(text: str) -> None:
    out = neutral(text)
    assert all(char.isprintable() for char in out)
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in out)
    assert neutral(out) == out


def test_stacked_marks_cannot_climb_over_other_lines() -> None:
    assert neutral("e\u0301") == "e\u0301"
    assert "\u0301" not in neutral("e" + "\u0301" * 40)


def test_only_line_feeds_make_lines() -> None:
    assert neutral_lines("a\rb\x0bc\n\td\n") == ["a\\rb\\x0bc", "\td"]
    assert neutral_lines("no end") == ["no end"]
