"""What a change was made against, kept so that it can be rebased when the workspace has moved on.

Invariants:
- Kept is only what hunks can be taken from: the old text of an update, at most ``MAX_TEXT_BYTES`` of one file and
  ``MAX_TOTAL_BYTES`` of one proposal. It lies in the blob store under its own hash, so that proposals on the same file
  share it, and goes with the last proposal that needs it.
- A text that holds a secret is not kept: such a file is rebased only where git has its old text, or as a whole.
- A base that cannot be kept or found, or that a power cut took, is no failure; it only makes fewer changes rebase.
"""

from __future__ import annotations

from contextlib import suppress

from lonelycat.changes.changeset import SYMLINK, BlobRef, ChangeSet, FileChange, Operation
from lonelycat.changes.diff import is_binary
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.rebase import MAX_TEXT_BYTES
from lonelycat.errors import LonelyCatError
from lonelycat.governance.secrets import find_secrets
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.contents import WorkspaceContents
from lonelycat.runtime.git_history import GitHistory, history_of

MAX_TOTAL_BYTES = 32 * 1024 * 1024
_GIT_SECONDS = 10.0


def has_hunks(change: FileChange) -> bool:
    """Tell whether ``change`` edits a file in place, so that it may consist of hunks."""
    edits = change.operation is Operation.UPDATE and change.old_hash != change.new_hash
    return edits and change.old_mode == change.new_mode != SYMLINK


def keep_bases(wiring: Wiring, changeset: ChangeSet, contents: WorkspaceContents) -> set[str]:
    """Store the old texts of ``changeset`` and return their hashes."""
    kept: set[str] = set()
    left = MAX_TOTAL_BYTES
    for change in changeset.changes:
        old_hash = change.old_hash
        if old_hash is None or not has_hunks(change) or old_hash in kept:
            continue
        if not _is_text(contents.new(change), MAX_TEXT_BYTES):
            continue
        old = contents.old(change)
        if old is None or not _is_text(old, min(MAX_TEXT_BYTES, left)) or any(find_secrets(old)):
            continue
        with suppress(OSError):
            wiring.blobs.put_expendable(old)
            kept.add(old_hash)  # that of these bytes; a text of its own for each takes more than the set
            left -= len(old)
    return kept


def _is_text(data: bytes | None, most: int) -> bool:
    return data is not None and len(data) <= most and not is_binary(data)


class Bases:
    """Finds old and new texts again."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._git: GitHistory | None = None
        self._asked_git = False

    def old(self, change: FileChange) -> bytes | None:
        """Return the text that ``change`` was made against: as it was kept, or from git's history; or None."""
        if change.old_hash is None:
            return None
        ref = self._wiring.blobs.find(change.old_hash)
        with suppress(LonelyCatError, OSError):
            if ref is not None and ref.size <= MAX_TEXT_BYTES:
                return self._wiring.blobs.read(ref)
        with suppress(LonelyCatError, OSError):
            git = self._history()
            return None if git is None else git.content(change.path, change.old_hash, MAX_TEXT_BYTES)
        return None

    def new(self, change: FileChange) -> bytes | None:
        """Return the text that ``change`` makes, or None."""
        content = change.content
        if isinstance(content, BlobRef):
            if content.size > MAX_TEXT_BYTES:
                return None
            with suppress(LonelyCatError, OSError):
                content = self._wiring.blobs.read(content)
        return content if isinstance(content, bytes) and sha256_hex(content) == change.new_hash else None

    def _history(self) -> GitHistory | None:
        if not self._asked_git:
            settings = self._wiring.settings
            self._git = history_of(GitHistory(settings.workspace, settings.limits, seconds=_GIT_SECONDS))
            self._asked_git = True
        return self._git
