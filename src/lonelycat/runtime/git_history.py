"""What the commits say of single paths: what HEAD holds, who committed last, and a content by its hash.

Invariant: as in ``git.py``, git runs nothing on our behalf. The work tree is therefore never compared by git, whose
filters are programs, but by :func:`object_hasher`; a file that a filter changes on its way shows as uncommitted.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from lonelycat.errors import InputError, LonelyCatError
from lonelycat.runtime.git import GitRepository

_BATCH = 500
_VERSIONS = 64
"""How many versions of a path are looked through for a content."""
_LOG = ("log", "-1", "--no-color", "--encoding=UTF-8", "--format=%H%x00%an%x00%aI%x00%s")
_RAW = ("log", f"-{_VERSIONS}", "--format=", "--raw", "--no-abbrev", "--no-renames", "-z")


class TreeEntry(NamedTuple):
    """What HEAD holds at a path: git's mode and object id."""

    mode: str
    object_id: str


class Commit(NamedTuple):
    """One commit, as far as it is shown."""

    id: str
    author: str
    at: str
    subject: str


class GitHistory(GitRepository):
    """The history of the repository whose work tree is ``root``."""

    def at_head(self, paths: Iterable[str]) -> dict[str, TreeEntry]:
        """Return what HEAD holds at each of ``paths``; those that it does not hold are left out."""
        if self.head() is None:
            return {}
        wanted = sorted(set(paths))
        found: dict[str, TreeEntry] = {}
        for start in range(0, len(wanted), _BATCH):
            names = wanted[start : start + _BATCH]
            listing = self._run("ls-tree", "-z", "--full-tree", "HEAD", "--", *names).stdout
            for line in filter(None, listing.split(b"\0")):
                facts, _, name = line.partition(b"\t")
                mode, kind, object_id = facts.decode("ascii").split()
                if kind == "blob":
                    found[name.decode("utf-8", "surrogateescape")] = TreeEntry(mode, object_id)
        return found

    def last_commit(self, path: str) -> Commit | None:
        """Return the last commit that changed ``path``, or None."""
        result = self._run(*_LOG, "HEAD", "--", path, check=False)
        parts = result.stdout.decode("utf-8", "replace").removesuffix("\n").split("\0")
        return Commit(*parts) if result.returncode == 0 and len(parts) == 4 else None

    def content(self, path: str, sha256: str, max_bytes: int) -> bytes | None:
        """Return the bytes with that hash from one of the newest versions of ``path``, or None.

        Args:
            max_bytes: nothing is looked for behind a version that is larger.
        """
        result = self._run(*_RAW, "HEAD", "--", path, check=False)
        if result.returncode != 0:
            return None
        words = [field.split() for field in result.stdout.split(b"\0") if field.lstrip(b"\n").startswith(b":")]
        ids = dict.fromkeys(word.decode("ascii") for entry in words if len(entry) == 5 for word in (entry[3], entry[2]))
        with tempfile.TemporaryFile() as requests:
            requests.write("".join(f"{name}\n" for name in ids if name.strip("0")).encode("ascii"))
            requests.seek(0)
            with self._start("cat-file", "--batch", "--buffer", stdin=requests) as process:
                assert process.stdout is not None  # noqa: S101  # narrows the type; Popen was given a pipe
                try:
                    for data in _blobs(process.stdout, max_bytes):
                        if hashlib.sha256(data).hexdigest() == sha256:
                            return data
                finally:
                    process.stdout.close()
                    process.kill()
        return None


def _blobs(stream: IO[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield the blobs of ``git cat-file --batch``, up to the first that is too large."""
    while header := stream.readline().split():
        if len(header) != 3:
            continue  # missing, as in a partial clone
        size = int(header[2])
        if header[1] != b"blob" or size > max_bytes:
            return
        yield stream.read(size)
        stream.read(1)


def history_of(repository: GitHistory) -> GitHistory | None:
    """Return ``repository`` if there is one that can be asked; None where there is no usable git."""
    try:
        return repository if repository.is_repository() else None
    except (LonelyCatError, InputError, OSError):
        return None


def object_hasher(size: int, like: str) -> hashlib._Hash:
    """Return what takes a content of ``size`` bytes and gives its object id, of the kind that ``like`` is."""
    algorithm = "sha1" if len(like) == 40 else "sha256"
    return hashlib.new(algorithm, b"blob %d\0" % size, usedforsecurity=False)
