"""The workspace's own git repository, read only, through the ``git`` program.

Invariants:
- git runs nothing on our behalf: no hooks, pager, external diff, text conversion, file-system monitor or transport;
  no configuration of a user or the system applies, and replaced objects are not followed.
- Nothing that a caller wrote can become an option.
- A file's content is streamed; what is over ``Limits.inline_bytes`` never sits in memory whole, and smaller ones not
  together where a spool is given and they are over ``Limits.inline_bytes_together``.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.changes.formats.base import Side, change_between
from lonelycat.changes.formats.raw_diff import RawEntry, parse_raw_diff
from lonelycat.errors import InputError, LonelyCatError, StateError
from lonelycat.records.spool import Spool
from lonelycat.runtime.gathering import Contents, GatheredContents
from lonelycat.settings import Limits, child_environment

PutBlob = Callable[[Iterator[bytes]], BlobRef]

_OPTIONS = (
    "--no-pager",
    "--no-optional-locks",
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.quotePath=false"),
    *("-c", "core.bigFileThreshold=1m"),  # git itself streams what is larger, too
    *("-c", "diff.renameLimit=1000"),
    *("-c", "log.showSignature=false"),  # it would run a program that the repository's configuration names
    *("-c", "protocol.allow=never"),
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    "LANGUAGE": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
}
_DIFF_TREE = ("diff-tree", "-r", "-z", "--raw", "-M", "-l1000", "--no-abbrev", "--no-ext-diff", "--no-textconv")


class GitRepository:
    """The repository whose work tree is ``root``."""

    def __init__(self, root: Path, limits: Limits | None = None, *, seconds: float | None = None) -> None:
        """Name the repository; nothing is run yet.

        Args:
            root: the workspace, which must be the top of the work tree for the other methods to work.
            limits: the number of bytes above which contents go to a blob store, and how they are chunked.
            seconds: how long one question to git may take.
        """
        self._seconds = seconds
        self._root = root.resolve()
        self._limits = limits or Limits()
        self._safe: tuple[str, ...] = ()

    def is_repository(self) -> bool:
        """Tell whether the workspace is the top of a git work tree of its own.

        Raises:
            StateError: ``GIT_UNSAFE_DIRECTORY`` or ``GIT_NOT_FOUND``.
        """
        result = self._run("rev-parse", "--show-toplevel", check=False)
        top = result.stdout.removesuffix(b"\n")
        return result.returncode == 0 and bool(top) and Path(_text(top)).resolve() == self._root

    def head(self) -> str | None:
        """Return the id of the commit that is checked out, or None before the first commit."""
        return self._commit("HEAD")

    def list_files(self) -> tuple[str, ...]:
        """Return the paths of all tracked files and links, and of untracked ones that are not ignored, sorted.

        Raises:
            StateError: ``GIT_NOT_A_REPOSITORY``, ``GIT_UNSAFE_DIRECTORY``, ``GIT_NOT_FOUND`` or ``GIT_FAILED``.
        """
        self._require_repository()
        listing = self._run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate").stdout
        names = (_text(name) for name in listing.split(b"\0"))
        return tuple(sorted(name for name in names if name and not name.endswith("/")))

    def changes_in_range(self, revisions: str, put_blob: PutBlob, spool: Spool | None = None) -> tuple[FileChange, ...]:
        """Return what changes from A to B.

        Args:
            revisions: ``A..B``; an empty side means HEAD, as in git.
            put_blob: takes the chunks of a content over ``Limits.inline_bytes`` and returns where it keeps it.
            spool: takes the other contents where they are many bytes in all.

        Raises:
            InputError: ``GIT_RANGE``, ``GIT_RANGE_EMPTY`` or ``SUBMODULE_UNSUPPORTED``.
            PathError: a name that is unsafe under any policy.
            StateError: ``GIT_…`` when the repository cannot be read.
        """
        self._require_repository()
        before, after = self._ends(revisions)
        entries = parse_raw_diff(self._run(*_DIFF_TREE, before, after, "--").stdout)
        if not entries:
            raise InputError(
                "GIT_RANGE_EMPTY", f"nothing changes in the range {revisions[:200]!r}", "Name two commits that differ."
            )
        if len(entries) > self._limits.max_changes:
            raise InputError("TOO_MANY_CHANGES", f"over {self._limits.max_changes} changes", "Split the range.")
        contents = self._read_contents(entries, put_blob, spool)
        changes = (_change(entry, contents) for entry in entries)
        return tuple(change for change in changes if change is not None)

    def _ends(self, revisions: str) -> tuple[str, str]:
        old, dots, new = revisions.partition("..")
        ends = (old or "HEAD", new or "HEAD")
        if not dots or new.startswith(".") or ".." in new or "\0" in revisions or "\n" in revisions:
            raise _bad_range(revisions, "it is not written as A..B")
        commits = []
        for end in ends:
            commit = self._commit(end)
            if commit is None:
                raise _bad_range(revisions, f"there is no commit {end[:200]!r}")
            commits.append(commit)
        return commits[0], commits[1]

    def _commit(self, revision: str) -> str | None:
        result = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}", check=False)
        return result.stdout.decode("ascii").strip() or None if result.returncode == 0 else None

    def _require_repository(self) -> None:
        if not self.is_repository():
            raise StateError(
                "GIT_NOT_A_REPOSITORY",
                f"{self._root} is not the top of a git work tree",
                "Run in the top directory of the repository, or propose a patch instead of a range.",
            )

    def _read_contents(
        self, entries: Sequence[RawEntry], put_blob: PutBlob, spool: Spool | None
    ) -> dict[str, Contents]:
        """Return SHA-256 and, where a change carries it, the content of every object that the entries name."""
        wanted: dict[str, bool] = {}
        for entry in entries:
            if entry.old_mode is not None:
                wanted.setdefault(entry.old_id, False)
            if entry.new_mode is not None:
                carried = entry.old_mode is None or entry.new_id != entry.old_id
                wanted[entry.new_id] = wanted.get(entry.new_id, False) or carried
        gathered = GatheredContents(spool, self._limits.inline_bytes_together)
        with tempfile.TemporaryFile() as requests:
            requests.write("".join(f"{name}\n" for name in wanted).encode("ascii"))
            requests.seek(0)
            with self._start("cat-file", "--batch", "--buffer", stdin=requests) as process:
                assert process.stdout is not None  # noqa: S101  # narrows the type; Popen was given a pipe
                try:
                    for name, keep in wanted.items():
                        gathered.add(name, *self._read_object(process.stdout, name, keep, put_blob))
                finally:
                    process.stdout.close()
                    process.kill()
        return gathered.all()

    def _read_object(self, stream: IO[bytes], name: str, keep: bool, put_blob: PutBlob) -> Contents:
        header = stream.readline().split()
        if len(header) != 3 or header[1] != b"blob" or header[0].decode("ascii", "replace") != name:
            raise StateError(
                "GIT_OBJECT_MISSING",
                f"git cannot read the object {name}",
                "Run `git fsck`; in a partial clone, fetch the missing objects first.",
            )
        size = int(header[2])
        digest = hashlib.sha256()
        content: bytes | BlobRef | None = None
        chunks = _chunks(stream, size, self._limits.chunk_bytes, digest.update)
        if keep and size > self._limits.inline_bytes:
            content = put_blob(chunks)
            for _ in chunks:
                raise StateError("BLOB_STORE", "the blob store did not take the whole content", "Check its disk space.")
        elif keep:
            content = b"".join(chunks)
        else:
            for _ in chunks:
                pass
        if stream.read(1) != b"\n":
            raise _cut_short()
        sha256 = digest.hexdigest()
        if isinstance(content, BlobRef) and (content.sha256, content.size) != (sha256, size):
            raise StateError("BLOB_STORE", "the blob store kept other bytes than it was given", "Check its disk.")
        return sha256, content

    def _run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        result = self._run_once(arguments)
        if b"dubious ownership" in result.stderr and not self._safe:
            self._safe = self._directories_marked_safe()
            result = self._run_once(arguments)
        if b"dubious ownership" in result.stderr:
            raise StateError(
                "GIT_UNSAFE_DIRECTORY",
                f"git does not trust {self._root}: it belongs to another user",
                f"Run as its owner, or run `git config --global --add safe.directory {self._root}`.",
            )
        if check and result.returncode != 0:
            message = result.stderr.decode("utf-8", "replace").strip().splitlines()
            raise StateError(
                "GIT_FAILED",
                f"git {arguments[0]} failed: {message[-1][:300] if message else result.returncode}",
                "Run `git status` and `git fsck` in the workspace.",
            )
        return result

    def _run_once(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(  # noqa: S603  # a fixed program, arguments checked, no shell
                self._argv(arguments),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=self._seconds,
            )
        except OSError as error:
            raise _not_found(error) from error
        except subprocess.TimeoutExpired as error:
            what = f"git {arguments[0]} did not answer within {self._seconds:g} s"
            raise StateError("GIT_FAILED", what, "Run `git status` in the workspace.") from error

    def _start(self, *arguments: str, stdin: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603  # a fixed program, arguments checked, no shell
                self._argv(arguments),
                env=self._environment(),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=self._limits.chunk_bytes,
            )
        except OSError as error:
            raise _not_found(error) from error

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        safe = [part for directory in self._safe for part in ("-c", f"safe.directory={directory}")]
        return ["git", "-C", str(self._root), *_OPTIONS, *safe, *arguments]

    def _environment(self) -> dict[str, str]:
        return child_environment({**_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": str(self._root.parent)})

    def _directories_marked_safe(self) -> tuple[str, ...]:
        """Return what the user and the system trust; the one thing that is taken from their configuration."""
        result = subprocess.run(
            ["git", "config", "--get-all", "safe.directory"],  # noqa: S607  # git is looked up in PATH throughout
            env=child_environment({"LC_ALL": "C", "GIT_CEILING_DIRECTORIES": "/"}),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return tuple(line for line in _text(result.stdout).splitlines() if line)


def _chunks(stream: IO[bytes], size: int, chunk_bytes: int, seen: Callable[[bytes], object]) -> Iterator[bytes]:
    left = size
    while left:
        chunk = stream.read(min(left, chunk_bytes))
        if not chunk:
            raise _cut_short()
        seen(chunk)
        left -= len(chunk)
        yield chunk


def _change(entry: RawEntry, contents: dict[str, Contents]) -> FileChange | None:
    old = new = None
    if entry.old_mode is not None:
        sha256, _ = contents[entry.old_id]
        old = Side(None, sha256, entry.old_mode)
    if entry.new_mode is not None:
        sha256, content = contents[entry.new_id]
        new = Side(content, sha256, entry.new_mode)
    return change_between(entry.path, old, new, old_path=entry.old_path)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bad_range(revisions: str, why: str) -> InputError:
    return InputError(
        "GIT_RANGE",
        f"the range {revisions[:200]!r} cannot be used: {why}",
        "Write it as A..B with two commits of this repository, for example HEAD..feature.",
    )


def _cut_short() -> LonelyCatError:
    return StateError("GIT_FAILED", "git cat-file ended early", "Run `git fsck` in the workspace.")


def _not_found(error: OSError) -> LonelyCatError:
    return StateError("GIT_NOT_FOUND", f"git cannot be started: {error.strerror}", "Install git 2.30 or later.")
