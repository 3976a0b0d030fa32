"""The generated history is what it claims to be, and LonelyCat replays it to git's own trees."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.conformance.history import EVENTS, build_history
from tests.conformance.replay import WorkTree, replay


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("history") / "repository"
    build_history(root, commits=320, seed=7)
    return root


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True, text=True).stdout


def test_the_history_is_long_and_holds_every_kind_of_event(tmp_path: Path) -> None:
    counts = build_history(tmp_path / "repository", commits=320, seed=7)
    assert set(counts) == set(EVENTS)
    assert min(counts.values()) >= 10
    assert int(_git(tmp_path / "repository", "rev-list", "--count", "main")) == 320
    seen = Counter(
        line.split("\t")[0].split(" ")[-1][:1]
        for line in _git(tmp_path / "repository", "log", "--raw", "-M", "--format=").splitlines()
        if line
    )
    assert all(seen[status] >= 20 for status in "AMDRT")


def test_the_history_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    heads = set()
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        build_history(tmp_path / name, commits=30, seed=seed)
        heads.add(_git(tmp_path / name, "rev-parse", "main"))
    assert len(heads) == 2


def test_the_comparison_sees_every_kind_of_difference(generated: Path, tmp_path: Path) -> None:
    work = WorkTree(generated, tmp_path / "work")
    head = work.last_commits(1)[-1]
    work.check_out(head)
    assert work.differences(head) == []
    regular = sorted(p for p in work.root.rglob("*.txt") if not p.is_symlink() and ".git" not in p.parts)
    link = next(p for p in work.root.rglob("*") if p.is_symlink())
    (work.root / "extra").write_text("", encoding="utf-8")
    (work.root / "empty/below").mkdir(parents=True)
    regular[0].write_bytes(regular[0].read_bytes() + b"x")
    regular[1].chmod(regular[1].stat().st_mode ^ 0o111)
    regular[2].unlink()
    link.unlink()
    link.symlink_to("somewhere/else")
    assert len(work.differences(head)) == 6


def test_the_last_commits_of_a_generated_history_replay_to_gits_trees(generated: Path, tmp_path: Path) -> None:
    _replayed(generated, 45, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_whole_generated_history_replays_to_gits_trees(generated: Path, tmp_path: Path) -> None:
    _replayed(generated, 319, tmp_path)


def _replayed(repository: Path, commits: int, scratch: Path) -> None:
    report = replay(repository, commits, scratch)
    assert report.differences == []
    assert report.refused == {}
    assert (report.executed, report.empty) == (commits, 0)
