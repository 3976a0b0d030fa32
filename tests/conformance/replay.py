"""Replay real history: every commit is proposed by git range and executed, and the tree must be git's.

Run as ``python -m tests.conformance.replay --repo PATH --commits N`` from the top of the checkout. The repository is
cloned to a temporary directory; nothing is written to it. Exit code 1 if any tree differs.

Judged by a permissive policy with a verification profile that reads every changed file: what is under test is
reading, applying, verifying and recording. A commit that LonelyCat refuses by design whatever the policy (a
submodule, a name that is unsafe somewhere) is counted apart with its code, and git makes that step instead.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lonelycat.errors import InputError, LonelyCatError
from lonelycat.governance.policy import Verdict

POLICY = """\
version: 1
name: replay
description: Lets everything through that is a file, after reading every changed file.
executor:
  allowed_paths: ["**"]
  constraints:
    max_files_touched: 100000
    max_patch_lines: 100000000
    max_file_bytes: 1000000000
    max_total_bytes: 10000000000
    max_deletions: 100000
  require_health_checks_for_risk: []
  require_rollback_plan_for_risk: []
approval_for_risk: []
content:
  secrets: allow
  bidirectional_text: allow
  invisible_text: allow
  executable_bit: allow
  symlinks: allow
  escaping_symlinks: allow
  binary: allow
  weakened_tests: allow
verification:
  readable:
    description: Reads every changed file that is there and fails when no path was given.
    argv:
      - "{python}"
      - "-c"
      - |
        import os, sys
        names = [n for n in open(sys.argv[1], "rb").read().split(b"\\0") if n]
        for name in names:
            if os.path.islink(name):
                os.readlink(name)
            elif os.path.isfile(name):
                open(name, "rb").read()
        print("checked", len(names), "paths")
      - "{changed_files}"
    no_tests:
      require_output_pattern: "checked [1-9][0-9]* paths"
"""

Entry = tuple[str, str]
"""git's mode and object id."""


@dataclass
class Replay:
    """What a replay found.

    Attributes:
        executed, empty: commits that LonelyCat took, and commits that change no file.
        files: file changes executed.
        approved: commits that needed an approval, which the replay gave.
        refused: codes of commits that LonelyCat refuses by design.
        differences: what was wrong, in words, by commit.
    """

    executed: int = 0
    empty: int = 0
    files: int = 0
    approved: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Return the count line."""
        refused = ", ".join(f"{count} {code}" for code, count in sorted(self.refused.items())) or "none"
        return (
            f"{self.executed} commits executed ({self.files} file changes, {self.approved} with approval), "
            f"{self.empty} empty, refused by design: {refused}; {len(self.differences)} differences"
        )


class WorkTree:
    """A clone whose files on disk are compared with git's trees by our own eyes, not by git's index."""

    def __init__(self, source: Path, root: Path) -> None:
        """Clone ``source`` to ``root`` with every conversion of contents switched off."""
        self.root = root
        self._hashes: dict[tuple[str, int, int, int], str] = {}
        _git(root.parent, "clone", "-q", "--no-checkout", str(source), str(root))
        (root / ".git/info").mkdir(exist_ok=True)
        (root / ".git/info/attributes").write_text(
            "* -text -eol -ident -filter -working-tree-encoding\n", encoding="utf-8"
        )

    def last_commits(self, count: int) -> list[str]:
        """Return ``count`` first-parent commits after a starting one, oldest first."""
        listing = _git(self.root, "rev-list", "--first-parent", "-n", str(count + 1), "HEAD")
        return listing.decode("ascii").split()[::-1]

    def check_out(self, commit: str) -> None:
        """Let git make the tree of ``commit``."""
        _git(self.root, "checkout", "-q", "--force", "--detach", commit)
        _git(self.root, "clean", "-q", "-ffdx", "-e", ".lonelycat")

    def move_head(self, commit: str) -> None:
        """Tell git that the tree on disk is ``commit``'s."""
        _git(self.root, "update-ref", "--no-deref", "HEAD", commit)
        _git(self.root, "read-tree", commit)

    def git_status(self) -> list[str]:
        """Return what ``git status`` says about the work tree, untracked files and all."""
        listing = _git(self.root, "status", "--porcelain", "-z", "--untracked-files=all", "--ignored=matching")
        lines = [os.fsdecode(line) for line in listing.split(b"\0") if line]
        return [f"git status: {line!a}" for line in lines if not line.startswith("!! .lonelycat/")]

    def differences(self, commit: str) -> list[str]:
        """Return how the files on disk differ from the tree of ``commit``: bytes, modes, links, extra and empty."""
        wanted, submodules = self._tree(commit)
        found, empty = self._disk(submodules)
        problems = [f"empty directory {name!a}" for name in empty]
        for path in sorted(wanted.keys() | found.keys()):
            if wanted.get(path) != found.get(path):
                problems.append(f"{path!a}: git has {wanted.get(path)}, disk has {found.get(path)}")
        return problems

    def _tree(self, commit: str) -> tuple[dict[str, Entry], set[str]]:
        tree: dict[str, Entry] = {}
        submodules: set[str] = set()
        for record in _git(self.root, "ls-tree", "-r", "-z", commit).split(b"\0"):
            if record:
                meta, _, name = record.partition(b"\t")
                mode, kind, identifier = meta.decode("ascii").split()
                if kind == "blob":
                    tree[os.fsdecode(name)] = (mode, identifier)
                else:
                    submodules.add(os.fsdecode(name))
        return tree, submodules

    def _disk(self, submodules: set[str]) -> tuple[dict[str, Entry], list[str]]:
        found: dict[str, Entry] = {}
        empty: list[str] = []
        for folder, folders, names in os.walk(self.root):
            if folder == str(self.root):
                folders[:] = [name for name in folders if name not in (".git", ".lonelycat")]
                names = [name for name in names if name != ".git"]
            elif not folders and not names and os.path.relpath(folder, self.root) not in submodules:
                empty.append(os.path.relpath(folder, self.root))
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in names + links:
                path = os.path.relpath(os.path.join(folder, name), self.root)
                found[path] = self._entry(path)
        return found, empty

    def _entry(self, path: str) -> Entry:
        full = self.root / path
        stat = full.lstat()
        key = (path, stat.st_ino, stat.st_ctime_ns, stat.st_mode)
        link = full.is_symlink()
        if key not in self._hashes:
            data = os.readlink(os.fsencode(full)) if link else full.read_bytes()
            self._hashes[key] = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        mode = "120000" if link else ("100755" if stat.st_mode & 0o100 else "100644")
        return mode, self._hashes[key]


def replay(repository: Path, commits: int, scratch: Path) -> Replay:
    """Replay the last ``commits`` first-parent commits of ``repository``.

    Args:
        repository: any git repository; it is only read.
        commits: how many.
        scratch: an empty directory for the clone and the state.
    """
    from lonelycat.runtime.requests import ChangeRequest
    from lonelycat.runtime.service import LonelyCat

    work = WorkTree(repository, scratch / "work")
    policy = scratch / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    history = work.last_commits(commits)
    work.check_out(history[0])
    environment = {"LONELYCAT_STATE_DIR": str(scratch / "state"), "LONELYCAT_POLICY": str(policy), "USER": "replay"}
    report = Replay()
    cat = LonelyCat.open(work.root, environment)
    for before, after in itertools.pairwise(history):
        request = ChangeRequest(git_range=f"{before}..{after}", intent=f"Replay {after}", by="agent:replay")
        try:
            judgement = cat.propose(request)
        except InputError as error:
            _count_refusal(report, error, after)
            work.check_out(after)
        else:
            _execute(cat, judgement, report, after)
            report.differences += [f"{after[:12]}: {problem}" for problem in work.differences(after)]
            work.move_head(after)
        if report.differences:
            return report
    report.differences = work.git_status()
    return report


def _count_refusal(report: Replay, error: LonelyCatError, commit: str) -> None:
    if error.code == "GIT_RANGE_EMPTY":
        report.empty += 1
    elif error.code == "SUBMODULE_UNSUPPORTED" or error.code.startswith("PATH_"):
        report.refused[error.code] += 1
    else:
        report.differences.append(f"{commit[:12]}: {error}")


def _execute(cat: object, judgement: object, report: Replay, commit: str) -> None:
    from lonelycat.runtime.consent import TerminalConfirmation
    from lonelycat.runtime.judgement import Judgement
    from lonelycat.runtime.service import LonelyCat

    assert isinstance(cat, LonelyCat)
    assert isinstance(judgement, Judgement)
    plan_id = judgement.plan.id
    if judgement.decision.verdict is Verdict.DENY:
        codes = sorted({reason.code for reason in judgement.decision.reasons if reason.verdict is Verdict.DENY})
        report.differences.append(f"{commit[:12]}: denied: {', '.join(codes)}")
        return
    if judgement.decision.verdict is Verdict.NEED_APPROVAL:
        typed = TerminalConfirmation(typed=cat.confirmation_phrase(plan_id), tty="replay")
        cat.approve(plan_id, by="reviewer", note="replayed history", confirmation=typed)
        report.approved += 1
    result = cat.execute(plan_id)
    if not result.success:
        report.differences.append(f"{commit[:12]}: {result.status} {result.error_code}: {result.message}")
        return
    report.executed += 1
    report.files += len(judgement.changeset.changes)


def _git(where: Path, *arguments: str) -> bytes:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    options = ["-c", "safe.directory=*", "-c", "core.autocrlf=false", "-c", "advice.detachedHead=false"]
    options += ["-c", "core.hooksPath=/dev/null"]
    command = ["git", "-C", str(where), *options, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def main(arguments: list[str] | None = None) -> int:
    """Run a replay from the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="Replay a repository's history through LonelyCat.")
    parser.add_argument("--repo", type=Path, required=True, help="a git repository; it is only read")
    parser.add_argument("--commits", type=int, default=300, help="how many first-parent commits")
    options = parser.parse_args(arguments)
    scratch = Path(tempfile.mkdtemp(prefix="lonelycat-replay-"))
    try:
        report = replay(options.repo.resolve(), options.commits, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for difference in report.differences[:50]:
        sys.stdout.write(difference + "\n")
    sys.stdout.write(f"{options.repo.name}: {report.summary()}\n")
    return 1 if report.differences or not report.executed else 0


if __name__ == "__main__":
    sys.exit(main())
