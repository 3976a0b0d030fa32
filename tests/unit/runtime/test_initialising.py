"""``init`` writes what is missing, adopts it, and never overwrites."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lonelycat import FileChange, LonelyCat, LonelyCatError
from lonelycat.governance.policy_file import load_policy
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.settings import DEFAULT_POLICY_PATH, WORKFLOW_PATH, Settings


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".lonelycat" not in path.parts
    }


def test_an_empty_directory_that_is_no_repository(tmp_path: Path) -> None:
    report = LonelyCat.open(tmp_path).init()
    assert set(_files(tmp_path)) == {DEFAULT_POLICY_PATH, WORKFLOW_PATH}
    assert set(report.created) >= {DEFAULT_POLICY_PATH, WORKFLOW_PATH}
    assert report.kept == ()
    assert report.summary
    assert load_policy(report.policy_path.read_bytes()).policy.executor.allowed_paths
    found = Wiring(Settings.for_workspace(tmp_path)).policy()
    assert (found.pinned, found.trusted, found.shipped) == (True, True, False)
    assert (tmp_path / ".lonelycat").stat().st_mode & 0o077 == 0
    assert (tmp_path / ".lonelycat/.gitignore").read_text() == "*\n"


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    first = LonelyCat.open(tmp_path).init()
    files = _files(tmp_path)
    again = LonelyCat.open(tmp_path).init()
    assert _files(tmp_path) == files
    assert again.created == ()
    assert set(again.kept) == {DEFAULT_POLICY_PATH, WORKFLOW_PATH}
    assert again.policy_path == first.policy_path


@pytest.mark.parametrize("path", [DEFAULT_POLICY_PATH, WORKFLOW_PATH])
def test_what_is_there_stays_whatever_it_is(tmp_path: Path, path: str) -> None:
    place = tmp_path / path
    place.parent.mkdir(parents=True)
    own = b"version: 1\nname: mine\nexecutor: {allowed_paths: ['docs/**']}\n"
    place.write_bytes(own)
    report = LonelyCat.open(tmp_path).init()
    assert place.read_bytes() == own
    assert path in report.kept


def test_the_policy_is_fitted_and_works_at_once(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("x = 1\n")
    cat = LonelyCat.open(tmp_path)
    cat.init()
    assert cat.policy_test().passed
    planner = Wiring(Settings.for_workspace(tmp_path))
    plan, changeset = planner.planner(planner.policy()).plan(
        intent="Say hello", created_by="agent:x", changes=[FileChange.create("docs/a.md", "hello\n")]
    )
    judgement = cat.keep(plan, changeset)
    assert str(judgement.decision.verdict) == "ALLOW"
    assert cat.execute(judgement.plan.id).success


@pytest.mark.parametrize("where", ["agent", "agent/policies"])
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, where: str) -> None:
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / where).write_text("a file in the way\n")
    with pytest.raises(LonelyCatError) as refused:
        LonelyCat.open(tmp_path).init()
    assert refused.value.code in ("INIT_FAILED", "POLICY_UNREADABLE", "POLICY_MISSING")
    assert refused.value.hint
    assert (tmp_path / where).read_text() == "a file in the way\n"


@pytest.mark.parametrize("path", [DEFAULT_POLICY_PATH, WORKFLOW_PATH])
def test_a_dangling_link_is_not_written_through(tmp_path: Path, path: str) -> None:
    root = tmp_path / "workspace"
    (root / path).parent.mkdir(parents=True)
    (root / path).symlink_to(tmp_path / "victim")
    with pytest.raises(LonelyCatError):
        LonelyCat.open(root).init()
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["link", "fifo", "unreadable"])
def test_odd_objects_in_the_workspace_are_passed_over(tmp_path: Path, name: str) -> None:
    if name == "link":
        (tmp_path / "pyproject.toml").symlink_to("/etc/passwd")
        (tmp_path / "loop").symlink_to(tmp_path)
    elif name == "fifo":
        os.mkfifo(tmp_path / "pyproject.toml")
    else:
        os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe")
        (tmp_path / "package.json").write_bytes(b"\xff\x00{")
    report = LonelyCat.open(tmp_path).init()
    assert report.policy_path.exists()
    assert b"root:" not in report.policy_path.read_bytes()


def test_a_state_directory_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / ".lonelycat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LonelyCatError) as refused:
        LonelyCat.open(root).init()
    assert refused.value.code == "STATE_DIRECTORY_UNSAFE"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def _program(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)


STAND_IN = 'echo "pyenv: pytest: command not found"; echo "The \'pytest\' command exists in: 3.9.1"; exit 127'


@pytest.mark.parametrize(
    ("text", "runs", "said"),
    [
        (STAND_IN, False, "`pytest --version` does not work in the sandbox: exited with 127: pyenv: pytest: command"),
        ("kill -9 $$", False, "killed by signal 9"),
        ("echo pytest 8.0.0", True, "pytest runs"),
    ],
)
def test_a_runner_counts_only_when_it_was_seen_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, runs: bool, said: str
) -> None:
    root = tmp_path / "shop"
    _program(tmp_path / "bin/pytest", text)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (root / "tests").mkdir(parents=True)
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "tests/test_a.py").write_text("def test_a(): pass\n")
    report = LonelyCat.open(root).init(offline=True)
    assert ("tests" in load_policy(report.policy_path.read_bytes()).policy.verification) is runs
    assert any(said in line for line in report.summary), report.summary
    assert any("is not used" in line for line in report.summary) is not runs


def test_what_a_trial_writes_stays_in_its_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "shop"
    _program(root / ".venv/bin/python", "echo mine > conftest.py; echo mine > ../outside")
    (root / ".venv/bin/pytest").write_text("#!/bin/sh\n")
    (root / "pytest.ini").write_text("[pytest]\n")
    report = LonelyCat.open(root).init(offline=True)
    assert ".venv/bin/pytest runs" in " ".join(report.summary)
    assert not (root / "conftest.py").exists() and not (tmp_path / "outside").exists()


def test_where_there_is_no_sandbox_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lonelycat.checks.sandbox import launch

    monkeypatch.setattr(launch, "LEVELS", ())
    root = tmp_path / "shop"
    _program(root / ".venv/bin/python", f"touch {tmp_path / 'ran'}")
    (root / ".venv/bin/pytest").write_text("#!/bin/sh\n")
    (root / "pytest.ini").write_text("[pytest]\n")
    report = LonelyCat.open(root).init(offline=True)
    assert "tests" not in load_policy(report.policy_path.read_bytes()).policy.verification
    assert "no sandbox can be made here" in " ".join(report.summary)
    assert not (tmp_path / "ran").exists()
