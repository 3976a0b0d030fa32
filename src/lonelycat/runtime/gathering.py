"""The contents of a git range as they are read: in memory while they are few bytes in all, else in a spool.

Invariant: of contents that go into a spool, no more than the bound was ever in memory.
"""

from __future__ import annotations

from typing import NamedTuple

from lonelycat.changes.changeset import BlobRef
from lonelycat.records.spool import Spool

Contents = tuple[str, bytes | BlobRef | None]
"""SHA-256 of an object's bytes and, where a change carries them, the bytes or where they are kept."""


class _Place(NamedTuple):
    offset: int
    size: int


class GatheredContents:
    """What the objects of a range hold, by their names.

    Args:
        spool: takes the contents once they are over the bound; without one they stay in memory.
        most: the bound, in bytes of all of them together.
    """

    def __init__(self, spool: Spool | None, most: int) -> None:
        self._spool = spool
        self._left = most
        self._found: dict[str, tuple[str, bytes | BlobRef | _Place | None]] = {}

    def add(self, name: str, sha256: str, content: bytes | BlobRef | None) -> None:
        """Take one object.

        Raises:
            OSError: the spool cannot be written.
        """
        if self._spool is None or not isinstance(content, bytes):
            self._found[name] = sha256, content
            return
        over_already = self._left < 0
        self._left -= len(content)
        self._found[name] = sha256, content
        if self._left < 0:
            self._spill(self._spool, (name,) if over_already else tuple(self._found))

    def _spill(self, spool: Spool, names: tuple[str, ...]) -> None:
        for name in names:
            sha256, content = self._found[name]
            if isinstance(content, bytes):
                self._found[name] = sha256, _Place(spool.add(content), len(content))

    def all(self) -> dict[str, Contents]:
        """Return what was found, and seal the spool if it holds anything.

        Raises:
            OSError: the spool cannot be written.
        """
        pack = self._spool.seal().sha256 if self._spool is not None and self._left < 0 else None

        def settled(sha256: str, content: bytes | BlobRef | _Place | None) -> Contents:
            if isinstance(content, _Place):
                return sha256, BlobRef(sha256=sha256, size=content.size, pack=pack, offset=content.offset)
            return sha256, content

        return {name: settled(*found) for name, found in self._found.items()}
