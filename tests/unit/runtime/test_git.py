"""Reading the workspace's own repository: exact, streamed, and without running anything of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from lonelycat.changes.changeset import BlobRef, FileChange, Operation
from lonelycat.errors import InputError, LonelyCatError, StateError
from lonelycat.runtime import git as git_module
from lonelycat.runtime.git import GitRepository
from lonelycat.settings import Limits

Run = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.fixture
def git(root: Path) -> Run:
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout.strip()

    run("init", "-q", "-b", "main")
    return run


def commit(git: Run, root: Path, files: dict[str, bytes | None]) -> str:
    for name, data in files.items():
        path = root / name
        if data is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "x")
    return git("rev-parse", "HEAD")


def no_blobs(chunks: Iterator[bytes]) -> BlobRef:
    raise AssertionError("nothing here is large")


def refusal(repository: GitRepository, revisions: str, code: str) -> LonelyCatError:
    with pytest.raises(LonelyCatError) as caught:
        repository.changes_in_range(revisions, no_blobs)
    assert caught.value.code == code, caught.value
    assert caught.value.hint
    return caught.value


def test_a_range_gives_exact_changes(git: Run, root: Path) -> None:
    first = commit(git, root, {"a": b"1\n" * 20, "b": b"two\n", "gone": b"x", "t": b"file"})
    (root / "b").chmod(0o755)
    (root / "a").rename(root / "moved")
    (root / "t").unlink()
    (root / "t").symlink_to("b")
    commit(git, root, {"gone": None, "new": b"\0\r\n"})
    changes = GitRepository(root).changes_in_range(f"{first}..HEAD", no_blobs)
    assert sorted(changes, key=lambda change: change.path) == [
        FileChange.update("b", b"two\n", b"two\n", new_mode="100755"),
        FileChange.delete("gone", b"x"),
        FileChange.rename("a", "moved", b"1\n" * 20),
        FileChange.create("new", b"\0\r\n"),
        FileChange.update("t", b"file", b"b", new_mode="120000"),
    ]


@pytest.mark.parametrize("name", ["b", "\udcff", "a b", 'q"', "-n"])
def test_odd_names_survive(git: Run, root: Path, name: str) -> None:
    first = commit(git, root, {"a": b""})
    commit(git, root, {name: b"x"})
    repository = GitRepository(root)
    assert repository.changes_in_range(f"{first}..", no_blobs) == (FileChange.create(name, b"x"),)
    (root / "untracked").write_bytes(b"")
    (root / ".gitignore").write_bytes(b"ignored\n")
    (root / "ignored").write_bytes(b"")
    assert repository.list_files() == tuple(sorted([".gitignore", "a", name, "untracked"]))


@pytest.mark.parametrize(
    "revisions",
    [
        "HEAD",
        "",
        "HEAD...HEAD",
        "none..HEAD",
        "HEAD..none",
        "a..b..c",
        "--output=/tmp/x..HEAD",
        "HEAD..--all",
        "HEAD..-h",
        "HEAD\n..HEAD",
        "HEAD\0..HEAD",
        "HEAD:a..HEAD",
        "HEAD^{tree}..HEAD",
    ],
)
def test_a_range_that_does_not_name_two_commits_is_refused(git: Run, root: Path, revisions: str) -> None:
    commit(git, root, {"a": b"x"})
    assert isinstance(refusal(GitRepository(root), revisions, "GIT_RANGE"), InputError)


def test_a_range_without_changes_is_refused(git: Run, root: Path) -> None:
    commit(git, root, {"a": b"x"})
    refusal(GitRepository(root), "HEAD..HEAD", "GIT_RANGE_EMPTY")
    refusal(GitRepository(root), "..", "GIT_RANGE_EMPTY")


def test_submodules_are_refused(git: Run, root: Path) -> None:
    first = commit(git, root, {"a": b"x"})
    git("update-index", "--add", "--cacheinfo", f"160000,{first},sub")
    git("commit", "-q", "-m", "sub")
    assert "sub" in refusal(GitRepository(root), f"{first}..HEAD", "SUBMODULE_UNSUPPORTED").message


def test_a_large_file_is_streamed_in_chunks(git: Run, root: Path) -> None:
    limits = Limits(inline_bytes=1000, chunk_bytes=4096)
    large, larger = os.urandom(50_000), os.urandom(70_001)
    first = commit(git, root, {"big": large, "small": b"s" * 1000})
    commit(git, root, {"big": larger, "small": b"t" * 1000, "copy": larger})
    stored: list[bytes] = []

    def put(chunks: Iterable[bytes]) -> BlobRef:
        parts = list(chunks)
        assert max(map(len, parts)) <= 4096
        stored.append(b"".join(parts))
        return BlobRef(sha256=hashlib.sha256(stored[-1]).hexdigest(), size=len(stored[-1]))

    changes = {c.path: c for c in GitRepository(root, limits).changes_in_range(f"{first}..HEAD", put)}
    ref = BlobRef(sha256=hashlib.sha256(larger).hexdigest(), size=70_001)
    assert stored == [larger]
    assert changes["big"] == FileChange.update("big", large, ref)
    assert changes["copy"].content == ref
    assert changes["small"].content == b"t" * 1000


@pytest.mark.parametrize("fault", ["partial", "lying"])
def test_a_blob_store_that_loses_bytes_is_noticed(git: Run, root: Path, fault: str) -> None:
    first = commit(git, root, {"a": b""})
    commit(git, root, {"big": b"x" * 10_000})

    def put(chunks: Iterator[bytes]) -> BlobRef:
        data = next(chunks) if fault == "partial" else b"".join(chunks)[:-1]
        return BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    with pytest.raises(StateError) as caught:
        GitRepository(root, Limits(inline_bytes=10, chunk_bytes=4096)).changes_in_range(f"{first}..HEAD", put)
    assert caught.value.code == "BLOB_STORE"


def test_nothing_of_the_repository_is_run(git: Run, root: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {trap}\ncat\n', encoding="utf-8")
    script.chmod(0o755)
    first = commit(git, root, {"a": b"old\n", ".gitattributes": b"* diff=evil filter=evil\n"})
    commit(git, root, {"a": b"new\n"})
    for key in (
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.clean",
        "filter.evil.smudge",
        "core.sshCommand",
        "core.editor",
        "alias.rev-parse",
    ):
        git("config", key, str(script))
    for hook in ("post-index-change", "pre-commit", "reference-transaction", "fsmonitor-watchman"):
        (root / ".git/hooks" / hook).write_bytes(script.read_bytes())
        (root / ".git/hooks" / hook).chmod(0o755)
    index = (root / ".git/index").read_bytes()
    repository = GitRepository(root)
    assert repository.is_repository()
    assert repository.changes_in_range(f"{first}..HEAD", no_blobs) == (FileChange.update("a", b"old\n", b"new\n"),)
    assert repository.list_files() == (".gitattributes", "a")
    assert not trap.exists()
    assert (root / ".git/index").read_bytes() == index


def test_configuration_and_environment_do_not_change_the_answer(
    git: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(git, root, {"a": b"1\n" * 20, "d/x": b"x\r\n"})
    (root / "a").rename(root / "b")
    second = commit(git, root, {"d/x": b"y\r\n"})
    expected = GitRepository(root).changes_in_range(f"{first}..{second}", no_blobs)
    assert {change.operation for change in expected} == {Operation.RENAME, Operation.UPDATE}
    for key, value in [
        ("diff.renames", "false"),
        ("diff.renameLimit", "1"),
        ("core.autocrlf", "true"),
        ("diff.noprefix", "true"),
        ("diff.relative", "true"),
        ("core.quotePath", "true"),
        ("diff.ignoreSubmodules", "all"),
        ("core.abbrev", "4"),
    ]:
        git("config", key, value)
    git("replace", git("rev-parse", f"{second}:d/x"), git("rev-parse", f"{first}:d/x"))
    order = tmp_path / "order"
    order.write_text("d/*\n", encoding="utf-8")
    git("config", "diff.orderFile", str(order))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[broken", encoding="utf-8")
    assert GitRepository(root).changes_in_range(f"{first}..{second}", no_blobs) == expected


def test_a_directory_inside_a_repository_is_not_a_repository(git: Run, root: Path, tmp_path: Path) -> None:
    commit(git, root, {"sub/a": b"x"})
    assert GitRepository(root).is_repository()
    for other in (root / "sub", tmp_path):
        assert not GitRepository(other).is_repository()
        refusal(GitRepository(other), "HEAD..HEAD", "GIT_NOT_A_REPOSITORY")
        with pytest.raises(StateError):
            GitRepository(other).list_files()


def test_head_before_and_after_the_first_commit(git: Run, root: Path) -> None:
    assert GitRepository(root).head() is None
    assert GitRepository(root).list_files() == ()
    assert commit(git, root, {"a": b"x"}) == GitRepository(root).head()


def test_a_missing_object_is_named(git: Run, root: Path) -> None:
    first = commit(git, root, {"a": b"x"})
    commit(git, root, {"a": b"y"})
    identifier = git("rev-parse", "HEAD:a")
    (root / ".git/objects" / identifier[:2] / identifier[2:]).unlink()
    assert identifier in refusal(GitRepository(root), f"{first}..HEAD", "GIT_OBJECT_MISSING").message


def test_git_that_cannot_be_started_is_said_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(StateError) as caught:
        GitRepository(root).is_repository()
    assert caught.value.code == "GIT_NOT_FOUND"


def test_a_repository_of_another_user_is_refused_unless_marked_safe(
    git: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(git, root, {"a": b"x"})
    monkeypatch.setitem(git_module._ENVIRONMENT, "GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    refusal(GitRepository(root), "HEAD..HEAD", "GIT_UNSAFE_DIRECTORY")
    (tmp_path / ".gitconfig").write_text(f"[safe]\n\tdirectory = {root}\n", encoding="utf-8")
    assert GitRepository(root).list_files() == ("a",)


def test_many_files_take_one_process_for_their_contents(git: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = commit(git, root, {f"d{n % 9}/f{n}": b"%d\n" % n for n in range(300)})
    commit(git, root, {f"d{n % 9}/f{n}": b"new %d\n" % n for n in range(300)})
    started: list[object] = []
    popen = subprocess.Popen

    class Counted(popen):  # type: ignore[type-arg, misc, valid-type]  # a spy around the real class
        def __init__(self, argv: list[str], **options: object) -> None:
            started.append(argv)
            super().__init__(argv, **options)  # type: ignore[call-overload]  # passed through

    monkeypatch.setattr(subprocess, "Popen", Counted)
    assert len(GitRepository(root).changes_in_range(f"{first}..HEAD", no_blobs)) == 300
    assert len(started) <= 6
