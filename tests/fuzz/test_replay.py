"""The short of the fuzzing: what is kept is replayed, and damaged at random; and the checks can fail."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz import bumps_target, diff_target, globs_target, json_target, policy_target
from tests.fuzz.guard import Violation, guarded
from tests.fuzz.targets import NAMES, corpus, load
from tests.tally import tally

from lonelycat.changes import strict_json
from lonelycat.changes.changeset import FileChange
from lonelycat.changes.formats import patch_apply, patch_hunks
from lonelycat.governance import matching
from lonelycat.governance.bumps import pins


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_is_kept_is_answered(name: str) -> None:
    inputs = corpus(name)
    assert len(inputs) >= 10
    for path in inputs:
        load(name).check(path.read_bytes())
    tally(f"fuzz {name}, replayed", inputs=len(inputs), findings=0)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """Return a kept input with some pieces cut out, doubled, or put in from the target's words."""
    data = bytearray(draw(st.sampled_from([path.read_bytes() for path in corpus(name)])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        what = draw(st.sampled_from(["cut", "double", "word", "byte"]))
        if what == "cut":
            del data[at:end]
        elif what == "double":
            data[at:at] = data[at:end]
        elif what == "word":
            data[at:at] = draw(st.sampled_from(load(name).WORDS))
        else:
            data[at : at + 1] = draw(st.binary(max_size=2))
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "examples"), [("diff", 100), ("json", 200), ("policy", 150), ("globs", 200), ("bumps", 200)]
)
def test_damaged_inputs_are_answered(name: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(data=damaged(name))
    def judge(data: bytes) -> None:
        load(name).check(data)

    judge()


def test_the_guard_sees_writes_processes_and_time(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"")
    for forbidden in (
        lambda: kept.write_bytes(b"x"),
        lambda: os.open(kept, os.O_WRONLY),
        lambda: kept.rename(tmp_path / "other"),
        lambda: kept.unlink(),
        lambda: (tmp_path / "d").mkdir(),
        lambda: os.symlink("x", tmp_path / "link"),
        lambda: subprocess.run(["true"], check=True),
    ):
        with pytest.raises(Violation), guarded():
            forbidden()
    assert kept.read_bytes() == b"" and list(tmp_path.iterdir()) == [kept]
    with pytest.raises(Violation, match="processor time"), guarded(0.05):
        while True:
            time.process_time()
    with guarded():
        kept.read_bytes()
    kept.write_bytes(b"and afterwards writing is allowed again")


def _lax_hunks(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Take a hunk for matching when it does but for blanks."""

    def apply(data: bytes, hunks: tuple[patch_hunks.Hunk, ...], path: str) -> bytes:
        return data.replace(hunks[0].old[0].strip(), hunks[0].new[0].strip())

    monkeypatch.setattr(patch_apply, "apply_hunks", apply)
    return b"--- a/d/e/deep\n+++ b/d/e/deep\n@@ -2 +2 @@\n- two\n+   TWO\n"


def _wrong_hash(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """State what was there before wrongly."""
    apply = diff_target.apply_patch

    def wrong(*arguments: object) -> tuple[FileChange, ...]:
        return tuple(each.model_copy(update={"old_hash": "0" * 64}) for each in apply(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(diff_target, "apply_patch", wrong)
    return b"--- a/same\n+++ b/same\n@@ -1 +1 @@\n-x\n+y\n"


def _doubled_keys(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(strict_json, "_unique", dict)
    return b'0{"a": 1, "a": 2}'


def _any_number(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(strict_json, "_constant", float)
    return b"0[NaN]"


def _crash(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(strict_json, "_check_depth", lambda text, limit: None)
    return b"0" + b"[" * 4000


def _globs_by_name(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let a star cross a slash."""
    translate = matching.translate
    monkeypatch.setattr(matching, "translate", lambda pattern: translate(pattern).replace("[^/]*", ".*"))
    matching._compiled.cache_clear()
    return b"\nx*y/q*\nxa/by/qz"


def _untyped_policy(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let an error of the YAML library through."""
    monkeypatch.setattr(policy_target.strict_yaml, "error", lambda *a: ValueError("broken"))
    return b"a: [\n"


def _tags_both_ways(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(pins, "_is_raised", lambda old, new: old != new)
    return (corpus("bumps")[9]).read_bytes()


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        (diff_target, _lax_hunks),
        (diff_target, _wrong_hash),
        (json_target, _doubled_keys),
        (json_target, _any_number),
        (json_target, _crash),
        (globs_target, _globs_by_name),
        (policy_target, _untyped_policy),
        (bumps_target, _tags_both_ways),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)).rpartition(".")[2],
)
def test_broken_code_is_noticed(target: object, broken: object, monkeypatch: pytest.MonkeyPatch) -> None:
    check = target.check  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        data = broken(patch)  # type: ignore[operator]
        with pytest.raises((AssertionError, ValueError, TypeError, RecursionError)):
            check(data)
    matching._compiled.cache_clear()
    check(data)
