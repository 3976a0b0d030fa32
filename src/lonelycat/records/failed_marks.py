"""Marks on disk of the digests in quarantine, so that a judgement that stores nothing need not open the database.

Invariant: a mark is durable before the row that it stands for, and goes after it. So where there is none there is no
row; where there is one the database decides. Small, and imports nothing heavy: ``lonelycat check`` loads it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lonelycat.records.layout import FAILED_CHANGES


class FailedMarks:
    """The marks of one workspace.

    Args:
        state_dir: where the database lies.
    """

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / FAILED_CHANGES

    def has(self, checksum: object) -> bool:
        """Tell whether the database has to be asked about ``checksum``, whatever that is."""
        return isinstance(checksum, str) and checksum.isalnum() and (self._directory / checksum).exists()

    def add(self, checksum: str) -> None:
        """Make the mark, durably."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(self._directory / checksum, flags, 0o600))
        for directory in (self._directory, self._directory.parent):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, checksum: str) -> None:
        """Take the mark away; one that stays by accident costs a look into the database and no more."""
        with suppress(OSError):
            (self._directory / checksum).unlink()
