"""The harness itself, on a history that is made here: it counts right, names reasons, and can fail."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.conformance.gate_quality import judge_history, main
from tests.unit.runtime.test_pin_reading import CI as PINNED
from tests.unit.runtime.test_pin_reading import Upstream

from lonelycat.runtime.pinning import shipped_pins

CI = ".github/workflows/ci.yml"


class _Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        self.commit("start", {"README.md": b"# x\n", "src/a.py": b"x = 1\n", CI: b"on: push\n"})

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(self.root), *identity, *arguments], check=True, capture_output=True)

    def commit(self, subject: str, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)


@pytest.fixture
def repository(tmp_path: Path) -> _Repository:
    return _Repository(tmp_path / "repository")


def _everyday(repository: _Repository, count: int) -> None:
    for number in range(count):
        repository.commit(f"change {number}", {"src/a.py": b"x = %d\n" % (number + 2)})


def test_an_everyday_history_passes(repository: _Repository, capsys: pytest.CaptureFixture[str]) -> None:
    _everyday(repository, 6)
    repository.commit("ci", {CI: b"on: [push, pull_request]\n"})
    assert main(["--repo", str(repository.root)]) == 0
    said = capsys.readouterr().out
    assert "7 commits" in said and "NEED_APPROVAL: 1" in said and "GOVERNANCE_PATH" in said


def test_moved_pins_are_counted_apart(repository: _Repository, capsys: pytest.CaptureFixture[str]) -> None:
    pinned = b"jobs:\n  test:\n    steps:\n      - uses: acme/setup@" + b"3b1f9" * 8 + b" # v4.0.0\n      - run: make\n"
    repository.commit("pin", {CI: pinned})
    _everyday(repository, 1)
    repository.commit("bump", {CI: pinned.replace(b"3b1f9", b"9e8d7").replace(b"4.0.0", b"4.0.1")})
    repository.commit("bump and more", {CI: pinned.replace(b"make", b"true")})
    main(["--repo", str(repository.root)])
    said = " ".join(capsys.readouterr().out.split())
    assert "NEED_APPROVAL 75.0 %" in said
    assert "held for a moved pin of CI alone 25.0 %, for anything else 50.0 %" in said


def test_pins_that_are_known_are_counted_and_pass(
    repository: _Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream = Upstream(tmp_path / "mirrors")
    one = upstream.commit("one", "v1.0.0")
    two = upstream.commit("two", "v1.1.0", parent=one)
    fork = upstream.commit("three", parent=two)
    for said, commit in (("v1.0.0", one), ("v1.1.0", two), ("v1.2.0", fork)):
        repository.commit(f"pin {said}", {CI: PINNED.format(commit, said).encode()})
    _everyday(repository, 1)
    arguments = ["--repo", str(repository.root), "--commits", "3"]
    main([*arguments, "--pins", str(tmp_path / "mirrors")])
    said = " ".join(capsys.readouterr().out.split())
    assert "NEED_APPROVAL: 1" in said and "of 3 commits that CI pins 2 are known by a tag" in said
    main(arguments)
    said = " ".join(capsys.readouterr().out.split())
    assert "NEED_APPROVAL: 2" in said and "of 3 commits that CI pins 0 are known by a tag" in said


def test_pins_that_are_shipped_are_known_where_nobody_is_asked(
    repository: _Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = shipped_pins()["actions/checkout"]
    pinned = "jobs:\n  test:\n    steps:\n      - uses: actions/checkout@{} # {}\n"
    for tag in ("v4.2.1", "v4.2.2"):
        repository.commit(tag, {CI: pinned.format(tags[tag], tag).encode()})
    main(["--repo", str(repository.root), "--commits", "1"])
    said = " ".join(capsys.readouterr().out.split())
    assert "NEED_APPROVAL: 0" in said and "as LonelyCat ships them: actions/checkout" in said


def test_too_many_holds_miss_the_target(repository: _Repository, capsys: pytest.CaptureFixture[str]) -> None:
    _everyday(repository, 1)
    repository.commit("ci", {CI: b"on: [push, pull_request]\n"})
    assert main(["--repo", str(repository.root), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["rates"] == {"deny": 0.0, "need_approval": 50.0, "everyday_held": 0.0, "held_for_pins_alone": 0.0}
    assert report["missed"] == ["NEED_APPROVAL: 50.0 % is over 30 %"]


def test_a_denial_and_an_everyday_hold_are_counted_with_their_reasons(repository: _Repository) -> None:
    repository.commit("test", {"tests/test_a.py": b"def test_a():\n    assert 1 == x\n"})
    repository.commit("no test", {"tests/test_a.py": b"# none\n"})
    repository.commit("key", {"src/k.py": ("T = 'ghp_" + "a1B2c3D4e5F6" * 3 + "'\n").encode()})
    report = judge_history(repository.root, 10)
    by_subject = {each.subject: each for each in report.judged}
    assert [by_subject[name].verdict for name in ("test", "no test", "key")] == ["ALLOW", "NEED_APPROVAL", "DENY"]
    assert by_subject["no test"].everyday and "WEAKENED_TESTS" in by_subject["no test"].reasons[0]
    assert "SECRET_FOUND" in by_subject["key"].reasons[0]
    assert (round(report.rate("DENY")), round(report.everyday_rate())) == (33, 67)
    assert len(report.missed()) == 3


def test_merges_are_left_out_and_only_the_last_commits_are_judged(repository: _Repository) -> None:
    repository.git("checkout", "-q", "-b", "side")
    repository.commit("side", {"docs/a.md": b"a\n"})
    repository.git("checkout", "-q", "main")
    _everyday(repository, 3)
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    assert {each.subject for each in judge_history(repository.root, 10).judged} == {
        "side", "change 0", "change 1", "change 2",
    }  # fmt: skip
    assert len(judge_history(repository.root, 2).judged) == 2


def test_another_policy_can_be_judged(repository: _Repository, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('version: 1\nname: closed\nexecutor: {allowed_paths: ["docs/**"]}\n')
    _everyday(repository, 2)
    assert judge_history(repository.root, 5, policy).rate("DENY") == 100.0


def test_large_and_odd_files_are_read(repository: _Repository) -> None:
    repository.commit("large", {"docs/large.md": b"word\n" * 60_000, "docs/\xe9t\xe9.md".encode().decode(): b"x\n"})
    repository.commit("less", {"docs/large.md": b"word\n" * 59_000})
    assert [each.verdict for each in judge_history(repository.root, 1).judged] == ["ALLOW"]


def test_a_history_of_nothing_misses(repository: _Repository, tmp_path: Path) -> None:
    assert main(["--repo", str(repository.root)]) == 1
    assert main(["--repo", str(tmp_path)]) == 2
