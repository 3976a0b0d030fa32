"""``drift``: what was changed without a transaction since executions wrote it; looking changes nothing at all."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import UPDATE_NOTES, create, quiet_environment
from tests.interfaces.cli.test_commands import BY, propose, run
from tests.interfaces.cli.test_conflicts import commit
from tests.patience import PATIENCE_SECONDS, until

from lonelycat.changes.digest import sha256_hex

NAMES = ("a.txt", "b.txt", "d/c.txt", "d/e.txt", "d/x/f.txt")


def drift(cli: Any, workspace: Path, *more: str) -> dict[str, dict[str, Any]]:
    answer = cli("-C", workspace, "drift", *more, "--json").json
    assert answer["exit_code"] == (5 if answer["drift"] else 0), answer
    assert answer["code"] == ("DRIFT" if answer["drift"] else None)
    return {one["path"]: one for one in answer["drift"]}


def kinds(cli: Any, workspace: Path, *more: str) -> dict[str, str]:
    return {path: one["kind"] for path, one in drift(cli, workspace, *more).items()}


GONE = b"diff --git a/a.txt b/a.txt\ndeleted file mode 100644\n--- a/a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-hello\n"
_MADE: dict[str, Path] = {}
"""The workspace below, made once and copied from then on."""


@pytest.fixture
def written(cli: Any, workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which executions made five files, deleted one of them and changed another file."""
    if "written" not in _MADE:
        for patch in (b"".join(create(name) for name in NAMES), UPDATE_NOTES, GONE):
            assert run(cli, workspace, patch)["status"] == "completed"
        _MADE["written"] = tmp_path_factory.mktemp("made") / "workspace"
        shutil.copytree(workspace, _MADE["written"], symlinks=True)
    shutil.rmtree(workspace)
    shutil.copytree(_MADE["written"], workspace, symlinks=True)
    return workspace


def everything_below(root: Path) -> dict[str, tuple[int, ...]]:
    """Return what shows that anything was written below ``root``, times included."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        facts = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink)
        found[str(path)] = facts
    return found


def test_nothing_was_written_yet_and_nothing_is_made(cli: Any, workspace: Path) -> None:
    before = everything_below(workspace)
    assert kinds(cli, workspace) == {}
    assert "nothing to compare" in cli("-C", workspace, "drift").text
    assert everything_below(workspace) == before
    assert not (workspace / ".lonelycat").exists()


def test_what_executions_left_is_no_drift(cli: Any, written: Path) -> None:
    answer = cli("-C", written, "drift", "--json").json
    assert (answer["checked"], answer["drift"], answer["in_progress"]) == (6, [], [])
    assert "NO DRIFT  6 paths" in cli("-C", written, "drift").text


def test_every_kind_of_drift(cli: Any, written: Path) -> None:
    (written / "a.txt").write_text("again\n")
    (written / "b.txt").write_text("hellO\n")  # the same size
    (written / "d/c.txt").chmod(0o755)
    (written / "d/e.txt").unlink()
    (written / "notes.md").unlink()
    (written / "notes.md").symlink_to("b.txt")
    (written / "other.txt").write_text("no execution wrote it\n")
    found = drift(cli, written)
    assert {path: one["kind"] for path, one in found.items()} == {
        "a.txt": "created",
        "b.txt": "modified",
        "d/c.txt": "mode_changed",
        "d/e.txt": "deleted",
        "notes.md": "replaced",
    }
    assert found["b.txt"]["expected"] == {"sha256": sha256_hex(b"hello\n"), "mode": "100644"}
    assert found["b.txt"]["found"] == {"sha256": sha256_hex(b"hellO\n"), "mode": "100644", "size": 6}
    assert (found["a.txt"]["expected"], found["d/e.txt"]["found"]) == (None, None)
    assert (found["notes.md"]["found_in_words"], found["d/c.txt"]["found"]["mode"]) == ("a symbolic link", "100755")
    log = cli("-C", written, "log", "--json").json["executions"]
    assert [found[path]["last_execution"]["execution_id"] for path in ("a.txt", "notes.md", "b.txt")] == [
        entry["execution_id"] for entry in log
    ]
    done = cli("-C", written, "drift")
    assert done.code == 5
    assert "DRIFT  5 of 6 paths that LonelyCat wrote were changed without it." in done.text
    assert "mode      d/c.txt  100644 → 100755" in done.text
    assert "replaced  notes.md  a symbolic link" in done.text
    assert log[1]["execution_id"] + " 'change something'" in done.text


def test_a_later_execution_is_what_counts(cli: Any, written: Path) -> None:
    (written / "b.txt").write_text("by hand\n")
    assert kinds(cli, written) == {"b.txt": "modified"}
    patch = b"diff --git a/b.txt b/b.txt\n--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-by hand\n+by agent\n"
    done = run(cli, written, patch)
    assert kinds(cli, written) == {}
    assert cli("-C", written, "revert", done["execution_id"], "--by", "bob", "--json").code == 0
    assert kinds(cli, written) == {}
    (written / "b.txt").write_text("hello\n")
    assert kinds(cli, written) == {"b.txt": "modified"}


def test_an_execution_that_was_taken_back_left_nothing(cli: Any, written: Path) -> None:
    assert run(cli, written, create("broken/a.md"))["status"] == "rolled_back"
    answer = cli("-C", written, "drift", "--json").json
    assert (answer["checked"], answer["drift"]) == (6, [])


def test_committed_is_told_from_uncommitted(cli: Any, written: Path) -> None:
    commit(written, "What LonelyCat left")
    (written / "b.txt").write_text("committed by hand\n")
    (written / "d/e.txt").unlink()
    head = commit(written, "By hand")
    (written / "notes.md").write_text("not committed\n")
    (written / "a.txt").write_text("not even known\n")
    found = {path: one["git"] for path, one in drift(cli, written).items()}
    states = {path: view["state"] for path, view in found.items()}
    assert states == {
        "a.txt": "untracked", "b.txt": "committed", "d/e.txt": "committed", "notes.md": "uncommitted",
    }  # fmt: skip
    for path in ("b.txt", "d/e.txt"):
        assert (found[path]["commit"], found[path]["author"], found[path]["subject"]) == (head, "Grace", "By hand")
    text = cli("-C", written, "drift").text
    for title in ("committed to git since (2)", "not committed to git (1)", "not known to git (1)"):
        assert title in text
    assert set(kinds(cli, written, "--uncommitted")) == {"a.txt", "notes.md"}
    (written / "a.txt").unlink()
    (written / "notes.md").write_text("one\nTWO\nthree\n")
    answer = cli("-C", written, "drift", "--uncommitted", "--json").json
    assert (answer["exit_code"], answer["drift"], answer["left_out"]) == (0, [], 2)
    assert "2 changed and committed to git since, left out" in cli("-C", written, "drift", "--uncommitted").text


def test_only_the_named_paths(cli: Any, written: Path) -> None:
    for name in ("b.txt", "d/c.txt", "d/x/f.txt"):
        (written / name).write_text("x\n")
    assert set(kinds(cli, written, "d")) == {"d/c.txt", "d/x/f.txt"}
    assert set(kinds(cli, written, "d/x/", "b.txt")) == {"d/x/f.txt", "b.txt"}
    assert kinds(cli, written, "d/e.txt") == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nowhere", "PATH_NOT_WRITTEN"),
        ("d/c", "PATH_NOT_WRITTEN"),
        ("../outside", "PATH_TRAVERSAL"),
        ("/etc/passwd", "PATH_ABSOLUTE"),
        ("", "PATH_EMPTY"),
        (".", "PATH_NOT_NORMAL"),
        ("a\x1b[31m", "PATH_CONTROL_CHARACTER"),
        ("x" * 5000, "PATH_TOO_LONG"),
        (os.fsdecode(b"\xff"), "PATH_NOT_WRITTEN"),
    ],
)
def test_a_path_that_means_nothing_is_not_a_pass(cli: Any, written: Path, name: str, code: str) -> None:
    done = cli("-C", written, "drift", "--json", "--", name)
    assert (done.code, done.json["code"]) == (2, code)
    assert "\x1b[31m" not in cli("-C", written, "drift", "--", name).err


# -- hostile -------------------------------------------------------------------------------------------------------


def test_nothing_hangs_and_nothing_is_followed(cli: Any, written: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("b.txt", "c.txt", "e.txt", "f.txt"):
        (outside / name).write_text("hello\n")
    (written / "b.txt").unlink()
    (written / "b.txt").symlink_to(outside / "b.txt")
    (written / "notes.md").unlink()
    os.mkfifo(written / "notes.md")
    (written / "a.txt").mkdir()
    shutil.rmtree(written / "d/x")
    (written / "d/x").symlink_to(outside)
    (written / "d/c.txt").chmod(0o4644)
    (written / "d/e.txt").unlink()
    (written / "d/e.txt").hardlink_to(outside / "e.txt")  # the very same bytes and mode, under two names
    found = drift(cli, written)
    assert {path: (one["kind"], one["found_in_words"]) for path, one in found.items()} == {
        "a.txt": ("replaced", "a directory"),
        "b.txt": ("replaced", "a symbolic link"),
        "d/c.txt": ("replaced", "a file with setuid, setgid or sticky bits"),
        "d/x/f.txt": ("replaced", "nothing: a directory of its path is a symbolic link"),
        "notes.md": ("replaced", "a FIFO, socket or device"),
    }
    shutil.rmtree(written / "d")
    (written / "d").write_text("a file\n")
    assert kinds(cli, written, "d") == dict.fromkeys(("d/c.txt", "d/e.txt", "d/x/f.txt"), "replaced")


def test_a_huge_file_is_read_in_chunks(cli: Any, written: Path) -> None:
    with (written / "b.txt").open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 500000; exec {sys.executable} -m lonelycat -C {written} --json drift"],
        env=quiet_environment(written.parent),
        capture_output=True,
    )
    (one,) = json.loads(done.stdout)["drift"]
    assert (one["path"], one["kind"], one["found"]["size"]) == ("b.txt", "modified", 200 * 1024 * 1024)


def test_odd_names(cli: Any, workspace: Path, tmp_path: Path) -> None:
    key = tmp_path / "maria.key"
    lines = cli("-C", workspace, "approver", "new", "maria", "--out", key, "--json").json["policy_lines"]
    policy = workspace / "agent/policies/default.yaml"
    policy.write_text(policy.read_text() + lines + "\n")
    names = {"with space": "with space", 'quo"te': 'quo"te', "日本": "日本", "-dash": "-dash"}
    names[os.fsdecode(b"latin-\xe9")] = '"latin-\\351"'
    draft = {"changes": [{"operation": "create", "path": wire, "content": {"text": "x\n"}} for wire in names.values()]}
    answer = cli("-C", workspace, "propose", "--changeset", "-", *BY, "--json", stdin=json.dumps(draft).encode()).json
    approve = ("--by", "maria", "--note", "odd", "--key", key, "--json")
    assert cli("-C", workspace, "approve", answer["plan_id"], *approve).code == 0
    assert cli("-C", workspace, "execute", answer["plan_id"], "--json").json["status"] == "completed"
    assert kinds(cli, workspace) == {}
    commit(workspace, "odd")
    for name in names:
        (workspace / name).write_text("y\n")
    found = drift(cli, workspace)
    assert {one["git"]["state"] for one in found.values()} == {"uncommitted"}
    assert len(found) == len(names) and '"latin-\\351"' in found
    assert '"latin-\\351"' in cli("-C", workspace, "drift").text
    assert set(kinds(cli, workspace, os.fsdecode(b"latin-\xe9"))) == {'"latin-\\351"'}


def test_a_file_that_cannot_be_read_is_drift(written: Path) -> None:
    (written / "b.txt").chmod(0)
    done = subprocess.run(
        [
            *("setpriv", "--bounding-set", "-dac_override,-dac_read_search"),  # for root may read anything
            *(sys.executable, "-m", "lonelycat", "-C", str(written), "--json", "drift"),
        ],
        env=quiet_environment(written.parent),
        capture_output=True,
    )
    assert done.returncode == 5, done
    (one,) = json.loads(done.stdout)["drift"]
    assert (one["path"], one["kind"]) == ("b.txt", "unknown")


@pytest.mark.parametrize("how", ["changeset", "history", "artifacts"])
def test_what_is_not_known_for_certain_is_drift(cli: Any, written: Path, how: str) -> None:
    log = cli("-C", written, "log", "--json").json["executions"]
    first = log[-1]["execution_id"]
    artifacts = written / ".lonelycat/executions" / first
    if how == "changeset":
        document = artifacts / "changeset.json"
        document.write_text(document.read_text().replace(sha256_hex(b"hello\n"), sha256_hex(b"evil\n")))
        (written / "b.txt").write_text("evil\n")
    elif how == "artifacts":
        shutil.rmtree(artifacts)
    else:
        with closing(sqlite3.connect(written / ".lonelycat/lonelycat.db")) as database, database:
            database.execute("UPDATE executions SET checksum = ? WHERE execution_id = ?", ("0" * 64, first))
    found = kinds(cli, written)
    assert found == dict.fromkeys(("b.txt", "d/c.txt", "d/e.txt", "d/x/f.txt"), "unknown")
    assert "altered or removed" in cli("-C", written, "drift").text


# -- looking only --------------------------------------------------------------------------------------------------


def test_looking_changes_nothing_not_even_a_time(cli: Any, written: Path) -> None:
    (written / "b.txt").write_text("x\n")
    commit(written, "all")
    (written / "notes.md").write_text("y\n")
    before = everything_below(written)
    assert kinds(cli, written) == {"b.txt": "modified", "notes.md": "modified"}
    assert cli("-C", written, "drift").code == 5
    assert everything_below(written) == before


def test_it_works_where_nothing_can_be_written(cli: Any, written: Path, tmp_path: Path) -> None:
    (written / "b.txt").write_text("x\n")
    program = (
        f"mount --bind {written} {written} && mount -o remount,bind,ro {written} && "
        f"! touch {written}/new 2>/dev/null && exec {sys.executable} -m lonelycat -C {written} --json drift"
    )
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", program], env=quiet_environment(tmp_path), capture_output=True
    )
    assert done.returncode == 5, done
    assert [one["path"] for one in json.loads(done.stdout)["drift"]] == ["b.txt"]


def test_somebody_who_writes_to_the_records_does_not_hold_it_up(cli: Any, written: Path) -> None:
    with closing(sqlite3.connect(written / ".lonelycat/lonelycat.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM steps")
        assert kinds(cli, written) == {}
        database.execute("ROLLBACK")


@pytest.mark.parametrize("missing", ["keys", "lonelycat.db"])
def test_lost_records_are_an_error_not_a_pass(cli: Any, written: Path, missing: str) -> None:
    place = written / ".lonelycat" / missing
    place.rename(written.parent / "aside")
    done = cli("-C", written, "drift", "--json")
    assert (done.code, done.json["code"]) == (1, {"keys": "KEY_MISSING"}.get(missing, "DATABASE_MISSING"))
    assert not place.exists()


def test_a_newer_database_is_refused_and_left_alone(cli: Any, written: Path) -> None:
    with closing(sqlite3.connect(written / ".lonelycat/lonelycat.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    done = cli("-C", written, "drift", "--json")
    assert (done.code, done.json["code"]) == (1, "DATABASE_NEWER")


def test_a_running_execution_is_no_drift(cli: Any, written: Path, tmp_path: Path) -> None:
    plan = propose(cli, written, create("slow/a.md") + UPDATE_NOTES.replace(b"-two\n+TWO", b"-TWO\n+2"))["plan_id"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lonelycat", "-C", str(written), "execute", plan, "--json"],
        stdout=subprocess.PIPE,
        env=quiet_environment(tmp_path),
        start_new_session=True,
    )
    try:
        until(lambda: (written / "slow/a.md").exists() and "2" in (written / "notes.md").read_text(), "the change")
        (written / "b.txt").write_text("x\n")
        answer = cli("-C", written, "drift", "--json").json
        assert [one["path"] for one in answer["drift"]] == ["b.txt"]
        assert [one["path"] for one in answer["in_progress"]] == ["notes.md"]
        holder = answer["in_progress"][0]["transaction"]
        text = cli("-C", written, "drift", "notes.md")
        assert text.code == 0 and f"held by {holder}" in text.text
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert kinds(cli, written) == {"b.txt": "modified"}


# -- watching ------------------------------------------------------------------------------------------------------


class Watch:
    """``drift --watch`` with its lines as they come."""

    def __init__(self, workspace: Path, *more: str) -> None:
        command = [sys.executable, "-m", "lonelycat", "-C", str(workspace), *more, "drift", "--watch"]
        self.process = subprocess.Popen(
            [*command, "--interval", "0.1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=quiet_environment(workspace.parent),
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line, self.process.communicate(timeout=PATIENCE_SECONDS)
        return line

    def event(self) -> dict[str, Any]:
        return json.loads(self.line())  # type: ignore[no-any-return]

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        os.kill(self.process.pid, number)
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert err == b""
        return self.process.returncode, out.decode()


@pytest.fixture
def watch(written: Path) -> Iterator[Callable[..., Watch]]:
    begun: list[Watch] = []

    def start(*more: str) -> Watch:
        begun.append(Watch(written, *more))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_prints_one_object_a_line(
    cli: Any, written: Path, watch: Callable[..., Watch], number: signal.Signals
) -> None:
    (written / "b.txt").write_text("before\n")
    seen = watch("--json")
    first = seen.event()
    assert (first["event"], first["checked"]) == ("watching", 6)
    assert [seen.event()[key] for key in ("path",)] == ["b.txt"]
    (written / "notes.md").unlink()
    gone = seen.event()
    assert (gone["event"], gone["path"], gone["kind"]) == ("drift", "notes.md", "deleted")
    assert gone["git"]["state"] == "uncommitted"
    _replace(written / "b.txt", "hello\n")
    back = seen.event()
    assert (back["event"], back["path"]) == ("settled", "b.txt")
    done = run(cli, written, create("new.txt"))
    _replace(written / "new.txt", "x\n")
    fresh = seen.event()
    assert (fresh["path"], fresh["last_execution"]["execution_id"]) == ("new.txt", done["execution_id"])
    code, rest = seen.stop(number)
    (last,) = [json.loads(line) for line in rest.splitlines()]
    assert (code, last["event"], last["exit_code"], last["drifted"]) == (130, "stopped", 130, 2)


def test_watching_for_people(written: Path, watch: Callable[..., Watch]) -> None:
    seen = watch()
    assert "WATCHING  6 paths" in seen.line()
    _replace(written / "b.txt", "x\n")
    line = seen.line()
    assert "modified  b.txt" in line and line.count("\n") == 1
    code, rest = seen.stop()
    assert code == 130 and "STOPPED" in rest


def test_a_watcher_ends_with_its_reader(written: Path, watch: Callable[..., Watch]) -> None:
    seen = watch("--json")
    seen.event()
    assert seen.process.stdout is not None
    seen.process.stdout.close()
    numbers = itertools.count()

    def has_ended() -> bool:
        _replace(written / "b.txt", f"{next(numbers)}\n")
        return seen.process.poll() is not None

    until(has_ended, "the watcher to meet a reader that is gone", pause=0.1)
    assert seen.process.returncode == 5
    assert seen.process.stderr is not None and seen.process.stderr.read() == b""
    seen.process.stderr.close()


def test_a_terminal_shows_it_in_colour_and_ctrl_c_ends_it(written: Path, terminal: Any) -> None:
    (written / "b.txt").write_text("x\n")
    shown = terminal("-C", str(written), "drift", "--watch", "--interval", "0.1")
    shown.until("b.txt")
    shown.press_ctrl_c()
    assert shown.end() == 130
    assert "STOPPED" in shown.seen


def _replace(path: Path, text: str) -> None:
    """Give ``path`` another content in one step: a watcher never sees it half written."""
    new = path.parent.parent / "new"
    new.write_text(text)
    new.replace(path)


def test_usage(cli: Any, workspace: Path) -> None:
    for wrong in (("--interval", "0"), ("--interval", "nan"), ("--interval", "x"), ("--nothing",)):
        done = cli("-C", workspace, "drift", *wrong, "--json")
        assert (done.code, done.json["code"]) == (2, "USAGE"), wrong
