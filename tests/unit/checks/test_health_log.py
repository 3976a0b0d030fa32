"""Kind log on real files: what is new, rotations, truncations, bounds, and what cannot be told."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unit.checks.probing import Asking

ERROR = {"path": "app.log", "pattern": "ERROR|Traceback"}


@pytest.fixture
def log(workspace: Path) -> Path:
    path = workspace / "app.log"
    path.write_text("started\nERROR an old one\n")
    return path


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_only_what_is_new_counts(log: Path, ask: Asking) -> None:
    mark = ask.mark("log", **ERROR)
    assert ask("log", **ERROR, mark=mark).ok
    add(log, "fine\n")
    seen = ask("log", **ERROR, mark=mark)
    assert seen.ok and seen.details["lines"] == 1
    add(log, "ERROR a new one\n")
    seen = ask("log", **ERROR, mark=mark)
    assert seen.code == "HEALTH_LOG_MATCH" and "a new one" in seen.message and b"old" not in seen.output
    assert ask("log", **ERROR, max_matches=1, mark=mark).ok
    assert ask("log", **ERROR, ignore=["a new"], mark=mark).ok
    assert ask("log", **ERROR, mark=ask.mark("log", **ERROR)).ok


def test_a_mark_survives_json(log: Path, ask: Asking) -> None:
    import json

    mark = json.loads(json.dumps(ask.mark("log", **ERROR)))
    add(log, "ERROR\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"


def test_without_a_mark_nothing_can_be_told(log: Path, ask: Asking) -> None:
    assert ask("log", **ERROR).code == "HEALTH_NO_BASELINE"


def test_a_line_that_was_begun_before_and_ended_after_is_new(log: Path, ask: Asking) -> None:
    add(log, "an ERR")
    mark = ask.mark("log", **ERROR)
    add(log, "OR across\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"


def test_an_unfinished_last_line_counts(log: Path, ask: Asking) -> None:
    mark = ask.mark("log", **ERROR)
    add(log, "ERROR without end")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"


def test_a_log_that_is_made_by_the_change(workspace: Path, ask: Asking) -> None:
    mark = ask.mark("log", **ERROR)
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MISSING"
    (workspace / "app.log").write_text("ERROR first\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"
    (workspace / "app.log").write_text("fine\n")
    assert ask("log", **ERROR, mark=mark).ok


@pytest.mark.parametrize("before", [65_530, 65_536, 300_000])
def test_the_end_of_a_long_line_counts(log: Path, ask: Asking, before: int) -> None:
    mark = ask.mark("log", **ERROR)
    add(log, "x" * before + "ERROR\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"
    add(log, "x" * before + "expected" + "x" * before + "\n")
    assert ask("log", **ERROR, ignore=["x{9}ERROR"], expect="expected", mark=mark).ok


def test_silence_is_told_from_health(log: Path, ask: Asking) -> None:
    mark = ask.mark("log", **ERROR)
    assert ask("log", **ERROR, expect="^ready", mark=mark).code == "HEALTH_LOG_SILENT"
    add(log, "ready\n")
    assert ask("log", **ERROR, expect="^ready", mark=mark).ok


@pytest.mark.parametrize("old_name", ["app.log.1", "app.log-20300101", "app-20300101.log"])
@pytest.mark.parametrize("where", ["before", "after", "between", "nowhere"])
def test_rotation_by_renaming(log: Path, ask: Asking, old_name: str, where: str) -> None:
    mark = ask.mark("log", **ERROR)
    add(log, "ERROR late in the old one\n" if where == "before" else "fine\n")
    log.rename(log.with_name(old_name))
    log.write_text("ERROR between\n" if where == "between" else "fine\n")
    middle = log.with_name(old_name.replace("1", "9"))
    log.rename(middle)
    log.write_text("ERROR in the new one\n" if where == "after" else "fine\n")
    seen = ask("log", **ERROR, mark=mark)
    assert seen.code == (None if where == "nowhere" else "HEALTH_LOG_MATCH")
    if where == "nowhere":
        assert seen.details["lines"] == 3


@pytest.mark.parametrize("begun", ["", "started\n"])
def test_what_was_written_right_after_the_mark_is_new_though_its_time_is_of_the_tick_before(
    log: Path, ask: Asking, begun: str
) -> None:
    """Most kernels stamp files with the time of the last tick, up to 10 ms ago; the mark has the very moment."""
    log.write_text(begun)
    mark = ask.mark("log", **ERROR)
    assert mark is not None
    log.rename(log.with_name("app.log.2"))
    between = log.with_name("app.log.1")
    between.write_text("ERROR between\n")
    os.utime(between, (mark["at"], mark["at"] - 0.009))  # type: ignore[arg-type]  # a number
    log.write_text("fine\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"
    os.utime(between, (mark["at"], mark["at"] - 1))  # type: ignore[arg-type]  # a number
    assert ask("log", **ERROR, mark=mark).ok, "it was written before"


def test_rotation_by_the_real_logrotate(log: Path, ask: Asking, tmp_path: Path) -> None:
    from tests.debian import program

    rotate = program("logrotate", "logrotate")
    for way in ("create", "copytruncate"):
        log.write_text("ERROR an old one\n")
        mark = ask.mark("log", **ERROR)
        add(log, "fine\n")
        configuration = tmp_path / "conf"
        configuration.write_text(f"{log} {{\n rotate 3\n {way}\n su root root\n}}\n")
        configuration.chmod(0o600)
        subprocess.run([rotate, "-f", "-s", str(tmp_path / way), str(configuration)], check=True)
        assert log.read_bytes() == b""
        assert ask("log", **ERROR, mark=mark).ok
        add(log.with_name("app.log.1"), "ERROR at the last moment\n")
        assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"
        for old in log.parent.glob("app.log.*"):
            old.unlink()


@pytest.mark.parametrize("begun", ["", "not a whole line yet"])
def test_a_log_that_had_no_line_yet_may_be_copied_and_truncated(log: Path, ask: Asking, begun: str) -> None:
    log.write_text(begun)
    worker = log.with_name("app.worker.log")  # another log, which only looks like a rotated one
    worker.write_text("ERROR of old\n")
    mark = ask.mark("log", **ERROR)
    add(worker, "fine\n")
    assert ask("log", **ERROR, mark=mark).ok
    add(log, "ERROR\n")
    shutil.copy(log, log.with_name("app.log.1"))
    log.write_text("fine\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"


def test_what_was_lost_is_not_a_pass(log: Path, ask: Asking) -> None:
    mark = ask.mark("log", **ERROR)
    log.write_text("")  # the same file, emptied
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_TRUNCATED"
    log.write_text("started\nfine and longer than what was there before\n")  # and written past the mark
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_TRUNCATED"
    mark = ask.mark("log", **ERROR)
    kept = log.open()  # so that its inode is not used again
    log.unlink()
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MISSING"
    log.write_text("fine\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_LOST"
    kept.close()
    (log.parent / "app.log.1.gz").write_bytes(b"\x1f\x8b")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_LOST"


def test_a_copy_of_an_older_state_is_not_taken_for_the_rest(log: Path, ask: Asking) -> None:
    shutil.copy(log, log.with_name("app.log.1"))  # as it was when the mark is taken
    add(log, "more\n")
    mark = ask.mark("log", **ERROR)
    add(log, "ERROR\n")
    log.write_text("")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_TRUNCATED"


def test_reading_is_bounded(log: Path, ask: Asking) -> None:
    mark = ask.mark("log", **ERROR)
    add(log, "x" * 100 + "\n")
    assert ask("log", **ERROR, max_bytes=100, mark=mark).code == "HEALTH_LOG_TOO_MUCH"
    assert ask("log", **ERROR, max_bytes=101, mark=mark).ok
    add(log, "x" * 3_000_000)  # one endless line
    assert ask("log", **ERROR, mark=mark).ok
    with log.open("ab") as file:
        file.truncate(2_000_000_000)  # sparse, and far more than can be read in the time
    assert ask("log", within=0.3, **ERROR, max_bytes=1024**3, mark=mark).code == "HEALTH_LOG_TIMEOUT"


def test_what_is_no_log_does_not_block(workspace: Path, ask: Asking) -> None:
    os.mkfifo(workspace / "app.log")
    with contextlib.suppress(Exception):
        ask.mark("log", **ERROR)
    assert ask("log", **ERROR, mark={"missing": True, "at": 0.0}).code == "HEALTH_LOG_MISSING"


@pytest.mark.parametrize("parameters", [{"pattern": "("}, {"pattern": ""}, {"ignore": ["("]}, {"max_bytes": 0}])
def test_what_can_never_pass_is_refused(ask: Asking, parameters: dict[str, Any]) -> None:
    assert ask("log", **{**ERROR, **parameters}).code == "HEALTH_PARAMETERS"


WHOLE = {"device": 1, "inode": 2, "offset": 3, "end": "0" * 64, "at": 1.0}


@pytest.mark.parametrize(
    "mark",
    [
        {},
        {**WHOLE, "offset": 0},  # of an earlier version
        {**WHOLE, "offset": 0, "beside": ["2"]},
        {**WHOLE, "offset": 0, "beside": None},
        {**WHOLE, "offset": -5},
        {**WHOLE, "offset": "3"},
        {**WHOLE, "offset": True},
        {**WHOLE, "beside": [7]},
        {**WHOLE, "end": "short"},
        {**WHOLE, "at": float("nan")},
        {**WHOLE, "at": float("inf")},
        {**WHOLE, "more": 1},
        {**WHOLE, "missing": True},
        {"missing": True},
        {"missing": False, "at": 1.0},
        {"missing": True, "at": "yesterday"},
        {"restarts": 0, "invocation": "x"},
        [],
        "x",
        *({name: value for name, value in WHOLE.items() if name != left_out} for left_out in WHOLE),
    ],
)
def test_a_mark_that_is_not_whole_is_told_as_none(log: Path, ask: Asking, mark: Any) -> None:
    seen = ask("log", **ERROR, mark=mark)
    assert seen.code == "HEALTH_NO_BASELINE", seen
    assert "torn, edited or of another version" in seen.message and "'app.log'" in seen.message


def test_a_mark_of_an_empty_log_without_what_lay_beside_it_is_none(workspace: Path, ask: Asking) -> None:
    path = workspace / "app.log"
    path.write_text("")
    mark = dict(ask.mark("log", **ERROR))
    del mark["beside"]
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_NO_BASELINE"


def test_a_mark_from_later_than_now_passes_over_nothing(workspace: Path, ask: Asking) -> None:
    path = workspace / "app.log"
    path.write_text("")
    mark = {**ask.mark("log", **ERROR)}
    add(path, "ERROR\n")
    path.rename(workspace / "app.log.1")
    path.write_text("fine\n")
    assert ask("log", **ERROR, mark=mark).code == "HEALTH_LOG_MATCH"
    seen = ask("log", **ERROR, mark={**mark, "at": mark["at"] + 86_400})
    assert seen.code == "HEALTH_NO_BASELINE" and "later than now" in seen.message
