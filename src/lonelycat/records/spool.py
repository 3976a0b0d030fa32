"""Where small contents that are many in all wait while they are judged: a file that has no name.

Invariants:
- Nobody else can open it by a name: it never has one (``O_TMPFILE`` with ``O_EXCL``, so that it cannot get one later),
  or, where the file system does not know that, has lost it before the first byte is written. It is gone with the
  process, however that ends: what is then denied for a secret is on the disk no longer.
- What it holds is a pack in the making. Once it is sealed, references to its parts are those that they have when the
  pack is stored, and they are read through a :class:`~lonelycat.records.blobs.BlobStore`, which checks them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lonelycat.changes.changeset import BlobRef
from lonelycat.records.blobs import write_all
from lonelycat.records.keys import private_directory

_WAITING_BYTES = 64 * 1024


class Spool:
    """One file without a name; nothing is made before the first content comes. Close it, or use it in ``with``.

    Args:
        directory: on the file system that the contents may lie on; made with mode 0700.

    Attributes:
        pack: once sealed, the reference of all that it holds as one blob; None before.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._size = 0
        self.pack: BlobRef | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, data: bytes) -> int:
        """Append ``data`` and return where it begins; not once the spool is sealed.

        Raises:
            OSError: no space, no rights, or a disk that fails.
        """
        assert self.pack is None, "a sealed spool takes nothing more"  # noqa: S101  # its hash has been told
        offset = self._size
        self._size += len(data)
        self._digest.update(data)
        self._waiting += data
        if len(self._waiting) >= _WAITING_BYTES:
            self._write_waiting()
        return offset

    def seal(self) -> BlobRef:
        """Return the reference of all that was added, as one blob.

        Raises:
            OSError: as :meth:`add`.
        """
        if self.pack is None:
            self._write_waiting()
            self.pack = BlobRef(sha256=self._digest.hexdigest(), size=self._size)
        return self.pack

    def holds(self, ref: BlobRef) -> bool:
        """Tell whether the content of ``ref`` is a part of the sealed pack."""
        return self.pack is not None and ref.pack == self.pack.sha256

    def part(self, offset: int, size: int, chunk_bytes: int) -> Iterator[bytes]:
        """Yield what lies at ``offset``, in chunks; unchecked, and less than ``size`` where the file was cut."""
        end = offset + size
        while self._file is not None and offset < end:
            chunk = os.pread(self._file.fileno(), min(chunk_bytes, end - offset), offset)
            if not chunk:
                return
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        """Let the file go, and with it what it holds."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_waiting(self) -> None:
        if self._file is None:
            import tempfile

            private_directory(self._directory)
            # Unnamed from the start where that can be; else made under a name that `gc` knows, and unlinked at once.
            self._file = tempfile.TemporaryFile(prefix=".new-", dir=self._directory, buffering=0)  # noqa: SIM115
        write_all(self._file.fileno(), self._waiting)
        self._waiting.clear()
