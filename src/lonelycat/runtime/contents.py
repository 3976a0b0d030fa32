"""Contents for the gate and the planner: old bytes from the workspace, new ones from the change set or the blobs.

Invariant: old bytes count only when they have the hash that the change states; otherwise they are unknown, and unknown
is never "nothing".
"""

from __future__ import annotations

from contextlib import suppress

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.tree import PinnedTree
from lonelycat.records.blobs import BlobStore
from lonelycat.settings import Settings


class WorkspaceContents:
    """Reads what the models do not carry; satisfies ``governance.facts.ContentReader``."""

    def __init__(self, settings: Settings, blobs: BlobStore, max_bytes: int) -> None:
        self._settings = settings
        self._blobs = blobs
        self._max_bytes = max_bytes

    def old(self, change: FileChange) -> bytes | None:
        """Return the bytes before the change if the workspace still has them and they are not too many."""
        if change.old_hash is None:
            return None
        path = change.old_path or change.path
        with suppress(LonelyCatError, OSError):
            data, sha256 = self.read(path)
            if sha256 == change.old_hash:
                return data
        return None

    def new(self, change: FileChange) -> bytes | None:
        """Return the bytes after the change if they are not too many."""
        if isinstance(change.content, bytes):
            return change.content
        if isinstance(change.content, BlobRef) and change.content.size <= self._max_bytes:
            with suppress(LonelyCatError, OSError):
                return self._blobs.read(change.content)
        return None

    def read(self, path: str) -> tuple[bytes | None, str | None]:
        """Return (bytes, SHA-256) of a file of the workspace; bytes are None when there are too many.

        Raises:
            LonelyCatError, OSError: the path cannot be opened safely.
        """
        parts: list[bytes] = []
        total = 0

        def sink(data: bytes) -> None:
            nonlocal total
            total += len(data)
            if total <= self._max_bytes:
                parts.append(data)

        with PinnedTree(FileSystem(), self._settings.workspace, self._settings.limits.chunk_bytes) as tree:
            found = tree.look(path, sink)
            if found is None:
                return None, None
            if found.identity.is_link:
                directory, _, name = path.rpartition("/")
                parts = [tree.filesystem.read_link(tree.directory(directory), name)]
        return (b"".join(parts) if total <= self._max_bytes else None), found.identity.sha256
