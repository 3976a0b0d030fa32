"""A rebase against git: the text that `git apply` or `git merge-file` makes, or a refusal.

Both are asked about each example. ``git apply`` moves a hunk to where its context stands; ``git merge-file`` merges the
two edits of the old text. Whoever of them answers has to answer as we do, and one of them has to. Where they answer
differently there is more than one way to join the two edits: any answer would be a guess, and only a refusal is right.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from tests.tally import tally

from lonelycat.changes.diff import DiffEntry, render_diff
from lonelycat.changes.lines import split_lines
from lonelycat.changes.rebase import Misfit, Placed, place_hunks

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
WORDS = [b"one\n", b"two\n", b"\n", b"three\r\n", b"}\n", b"  end\n"]
line = st.one_of(st.sampled_from(WORDS), st.integers(0, 60).map(lambda number: b"line %d\n" % number))
tail = st.sampled_from([b"", b"", b"", b"no newline", b"cr\r"])
old_text = st.builds(lambda lines, end: b"".join(lines) + end, st.lists(line, min_size=1, max_size=40), tail)


@st.composite
def edited(draw: st.DrawFn, text: bytes, most: int) -> bytes:
    """``text`` with up to ``most`` places of it replaced, lengthened, shortened or moved."""
    lines = split_lines(text)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(lines)))
        if draw(st.integers(0, 9)) == 0:  # a block goes to another place
            length = draw(st.integers(1, 8))
            block, lines = lines[at : at + length], lines[:at] + lines[at + length :]
            to = draw(st.integers(0, len(lines)))
            lines = _whole(lines[:to]) + _whole(block) + lines[to:]
        else:
            lines = _whole(lines[:at]) + draw(st.lists(line, max_size=3)) + lines[at + draw(st.integers(0, 2)) :]
    return b"".join(lines)


def _whole(lines: Sequence[bytes]) -> list[bytes]:
    return [line if line.endswith(b"\n") else line + b"\n" for line in lines]


Texts = tuple[bytes, bytes, bytes]
"""The text before a change, after it, and as it is today."""


@st.composite
def histories(draw: st.DrawFn) -> Texts:
    old = draw(old_text)
    return old, draw(edited(old, 3)), draw(edited(old, 3))


@st.composite
def repetitive(draw: st.DrawFn) -> Texts:
    """Few lines of two or three kinds: there is always more than one way to compare them."""
    few = st.lists(st.sampled_from(WORDS[: draw(st.integers(2, 3))]), max_size=3)
    old = draw(st.lists(few, min_size=1, max_size=4).map(lambda runs: [line for run in runs for line in run]))
    texts = [old]
    for _ in range(2):
        lines = list(old)
        for _ in range(draw(st.integers(1, 2))):
            at = draw(st.integers(0, len(lines)))
            lines[at : at + draw(st.integers(0, 2))] = draw(few)
        texts.append(lines)
    return b"".join(texts[0]), b"".join(texts[1]), b"".join(texts[2])


def git_apply(folder: Path, old: bytes, new: bytes, today: bytes) -> bytes | None:
    (folder / "f").write_bytes(today)
    patch = render_diff([DiffEntry("f", old, new, "100644", "100644")])
    done = subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], cwd=folder, input=patch, capture_output=True)
    return (folder / "f").read_bytes() if done.returncode == 0 else None


def git_merge(folder: Path, old: bytes, new: bytes, today: bytes) -> bytes | None:
    for name, data in (("old", old), ("new", new), ("today", today)):
        (folder / name).write_bytes(data)
    done = subprocess.run(["git", "merge-file", "-p", "today", "old", "new"], cwd=folder, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def held_against_git(old: bytes, new: bytes, today: bytes) -> None:
    if new == old:
        return
    placed = place_hunks(old, new, today)
    if isinstance(placed, Misfit):
        event("refused")
        tally("rebase", refused=1)
        return
    assert isinstance(placed, Placed)
    with tempfile.TemporaryDirectory() as name:
        applied, merged = git_apply(Path(name), old, new, today), git_merge(Path(name), old, new, today)
    answers = [answer for answer in (applied, merged) if answer is not None]
    event(f"placed; git apply {applied is not None}, git merge-file {merged is not None}")
    tally("rebase", placed=1, violations=int(any(answer != placed.data for answer in answers) or not answers))
    assert answers, "neither `git apply` nor `git merge-file` does this"
    assert all(answer == placed.data for answer in answers)


ADDED_BY_BOTH = (b"one\ntwo\none\n", b"one\none\ntwo\none\none\n", b"one\ntwo\none\none\n")
"""`git apply` adds another line to the last run, `git merge-file` takes the two additions for one."""


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(st.one_of(histories(), repetitive()))
@example(ADDED_BY_BOTH)
def test_a_rebase_is_what_git_makes_or_a_refusal(texts: Texts) -> None:
    held_against_git(*texts)


@pytest.mark.long
@settings(max_examples=3_000, deadline=None, suppress_health_check=SLOW)
@given(histories())
def test_long_a_rebase_is_what_git_makes_or_a_refusal(texts: Texts) -> None:
    held_against_git(*texts)


@pytest.mark.long
@settings(max_examples=3_000, deadline=None, suppress_health_check=SLOW)
@given(repetitive())
@example(ADDED_BY_BOTH)
def test_long_a_rebase_of_repetitive_text_is_what_git_makes_or_a_refusal(texts: Texts) -> None:
    held_against_git(*texts)
