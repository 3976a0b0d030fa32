"""A workspace does not begin inside another one, nor in what git keeps for itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lonelycat import LonelyCat, LonelyCatError


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def _refused(place: Path) -> LonelyCatError:
    with pytest.raises(LonelyCatError) as refused:
        LonelyCat.open(place).init(offline=True)
    assert not (place / ".lonelycat").exists() and not (place / "agent").exists()
    return refused.value


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    root = tmp_path / "outer"
    (root / "src/deep").mkdir(parents=True)
    _git("init", "-q", str(root))
    LonelyCat.open(root).init(offline=True)
    return root


def test_one_inside_another_is_refused_by_whatever_name_it_goes(outer: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(outer / "src")
    for place in (outer / "src", outer / "src/deep", tmp_path / "link"):
        refused = _refused(place)
        assert refused.code == "WORKSPACE_NESTED" and f"-C {outer}" in refused.hint


def test_a_repository_of_its_own_is_no_part_of_the_one_around_it(outer: Path) -> None:
    _git("init", "-q", str(outer / "src/deep"))
    assert ".lonelycat" in LonelyCat.open(outer / "src/deep").init(offline=True).created


def test_one_that_was_there_already_goes_on(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    LonelyCat.open(tmp_path / "inner").init(offline=True)
    LonelyCat.open(tmp_path).init(offline=True)
    assert LonelyCat.open(tmp_path / "inner").status().initialised


@pytest.mark.parametrize("place", ["bare.git", "bare.git/refs", "outer/.git", "outer/.git/hooks"])
def test_what_git_keeps_for_itself_is_refused(outer: Path, tmp_path: Path, place: str) -> None:
    _git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    assert _refused(tmp_path / place).code == "WORKSPACE_IS_GITS"


def test_a_part_of_a_repository_is_told_how_its_patches_are_made(tmp_path: Path) -> None:
    part = tmp_path / "large/services/shop"
    part.mkdir(parents=True)
    _git("init", "-q", str(tmp_path / "large"))
    cat = LonelyCat.open(part)
    assert any("CLONE/services/shop diff --relative" in line for line in cat.init(offline=True).summary)
    (part / "a.txt").write_text("one\n")
    _git("-C", str(part), "add", "a.txt")
    (part / "a.txt").write_text("two\n")
    told = ["git", "-C", str(part), "diff", "--relative"]
    patch = subprocess.run(told, check=True, capture_output=True).stdout
    (part / "a.txt").write_text("one\n")
    from lonelycat.runtime.requests import ChangeRequest

    judged = cat.check(ChangeRequest(patch=patch, intent="Two", by="agent:a"))
    assert [change.path for change in judged.changeset.changes] == ["a.txt"]
