"""The content-addressed store for what is too large for JSON.

Invariants:
- A blob's name is the SHA-256 of its bytes; it appears under its name complete or not at all.
- Putting and reading use memory of one chunk, whatever the size.
- A pack is a blob like any other; what it is made of is known only to the references to its parts.
- Reading verifies: bytes that do not have their name's hash raise at the latest at the end of the stream.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lonelycat.changes.changeset import BlobRef
from lonelycat.changes.digest import sha256_hex
from lonelycat.durable import sync_file
from lonelycat.errors import InputError, RefusedError
from lonelycat.patterns import late_pattern
from lonelycat.records.keys import private_directory, sync_directory
from lonelycat.settings import Limits

if TYPE_CHECKING:
    from lonelycat.records.spool import Spool

_NAME = late_pattern(r"[0-9a-f]{64}", re.ASCII)


class BlobStore:
    """Blobs below one directory, two characters of the hash to a sub-directory.

    Args:
        directory: made with mode 0700 at the first put.
        fsync: whether a put is durable when it returns; a crash may otherwise lose the newest blobs, which
            reading notices.
        chunk_bytes: how much is read or written at once.
        spool: a pack that is not stored; references to its parts are read from there.
    """

    def __init__(
        self,
        directory: Path,
        *,
        fsync: bool = False,
        chunk_bytes: int = Limits().chunk_bytes,
        spool: Spool | None = None,
    ) -> None:
        self.directory = directory
        self.spool = spool
        self._fsync = fsync
        self._chunk = chunk_bytes

    def with_spool(self, spool: Spool) -> BlobStore:
        """Return the same store, with ``spool``."""
        return BlobStore(self.directory, fsync=self._fsync, chunk_bytes=self._chunk, spool=spool)

    def put_bytes(self, data: bytes) -> BlobRef:
        """Store ``data`` and return its reference; storing it again changes nothing."""
        return self.put_stream((data,))

    def put_expendable(self, data: bytes) -> BlobRef:
        """Like :meth:`put_bytes`, for what a power cut may take; a blob that is there stays as durable as it is."""
        ref = BlobRef(sha256=sha256_hex(data), size=len(data))
        if self.find(ref.sha256) == ref:
            return ref
        return BlobStore(self.directory, chunk_bytes=self._chunk).put_bytes(data)

    def put_stream(self, chunks: Iterable[bytes], expected: BlobRef | None = None) -> BlobRef:
        """Store the concatenation of ``chunks``, hashed while it is written.

        Raises:
            RefusedError: ``BLOB_TAMPERED`` when it is not what is ``expected``; nothing is stored then.
        """
        private_directory(self.directory)
        temporary = f"{self.directory}/.new-{secrets.token_hex(12)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        digest, size = hashlib.sha256(), 0
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb", buffering=0) as file:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    write_all(file.fileno(), chunk)
                if self._fsync:
                    sync_file(file.fileno())
            ref = BlobRef(sha256=digest.hexdigest(), size=size)
            if expected is not None and ref != expected:
                raise _tampered(expected)
            folder, target = self._place(ref)
            private_directory(folder)
            os.replace(temporary, target)  # noqa: PTH105
            if self._fsync:
                sync_directory(folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        return ref

    def keep_spool(self, spool: Spool) -> None:
        """Store a sealed spool as the pack that it is.

        Raises:
            RefusedError: ``BLOB_TAMPERED`` when it does not hold any longer what was put into it.
        """
        pack = spool.seal()
        self.put_stream(spool.part(0, pack.size, self._chunk), pack)

    def put_together(self, contents: Iterable[bytes]) -> tuple[BlobRef, ...]:
        """Store many small contents as one blob, a pack, and return a reference to each, in order."""
        placed: list[tuple[str, int, int]] = []

        def chunks() -> Iterator[bytes]:
            waiting, offset = bytearray(), 0
            for data in contents:
                placed.append((sha256_hex(data), len(data), offset))
                offset += len(data)
                waiting += data
                if len(waiting) >= self._chunk:
                    yield bytes(waiting)
                    waiting.clear()
            yield bytes(waiting)

        pack = self.put_stream(chunks()).sha256
        return tuple(BlobRef(sha256=sha256, size=size, pack=pack, offset=offset) for sha256, size, offset in placed)

    def path(self, ref: BlobRef) -> Path:
        """Return where the blob that holds a content lies, or would lie."""
        return Path(self._place(ref)[1])

    def _place(self, ref: BlobRef) -> tuple[str, str]:
        """Return the folder and the file of a blob as text: a proposal asks for tens of thousands."""
        folder = f"{self.directory}/{ref.blob[:2]}"
        return folder, f"{folder}/{ref.blob[2:]}"

    def has(self, ref: BlobRef) -> bool:
        """Tell whether a file of the right size is there; its bytes are checked by :meth:`verify`."""
        try:
            status = os.lstat(self._place(ref)[1])
        except (FileNotFoundError, NotADirectoryError):
            return False
        long_enough = status.st_size == ref.size if ref.pack is None else status.st_size >= ref.offset + ref.size
        return stat.S_ISREG(status.st_mode) and long_enough

    def find(self, sha256: str) -> BlobRef | None:
        """Return the reference of the blob with that hash if it has a file, whose bytes reading it checks."""
        if not _NAME.fullmatch(sha256):
            return None
        try:
            status = os.lstat(f"{self.directory}/{sha256[:2]}/{sha256[2:]}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return BlobRef(sha256=sha256, size=status.st_size) if stat.S_ISREG(status.st_mode) else None

    def open(self, ref: BlobRef) -> Iterator[bytes]:
        """Yield a content's bytes in chunks.

        Raises:
            InputError: ``BLOB_MISSING``.
            RefusedError: ``BLOB_TAMPERED``, possibly after some chunks: use nothing before the end is reached.
        """
        digest, size = hashlib.sha256(), 0
        if self.spool is not None and self.spool.holds(ref):
            chunks = self.spool.part(ref.offset, ref.size, self._chunk)
        else:
            chunks = self._stored(ref)
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        if (digest.hexdigest(), size) != (ref.sha256, ref.size):
            raise _tampered(ref)

    def _stored(self, ref: BlobRef) -> Iterator[bytes]:
        try:
            descriptor = os.open(self._place(ref)[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise InputError(
                "BLOB_MISSING", f"the content {ref.sha256} is not stored here", "Propose the change again."
            ) from error
        size = 0
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                if ref.offset:
                    file.seek(ref.offset)
                while chunk := file.read(self._chunk if ref.pack is None else min(self._chunk, ref.size - size)):
                    size += len(chunk)
                    yield chunk

    def read(self, ref: BlobRef) -> bytes:
        """Return all of a blob, verified; for those that are known to be small."""
        return b"".join(self.open(ref))

    def verify(self, ref: BlobRef) -> bool:
        """Tell whether the blob is there and has the bytes that its name says."""
        try:
            for _ in self.open(ref):
                pass
        except (InputError, RefusedError, OSError):
            return False
        return True

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        """Yield the hash and the file of every blob."""
        if not self.directory.is_dir():
            return
        for folder in sorted(self.directory.iterdir()):
            if len(folder.name) == 2 and folder.is_dir() and not folder.is_symlink():
                for file in sorted(folder.iterdir()):
                    if _NAME.fullmatch(folder.name + file.name):
                        yield folder.name + file.name, file

    def leftovers(self) -> Iterator[Path]:
        """Yield the temporary files of puts that did not finish."""
        if self.directory.is_dir():
            yield from sorted(self.directory.glob(".new-*"))


def _tampered(ref: BlobRef) -> RefusedError:
    return RefusedError(
        "BLOB_TAMPERED",
        f"the stored content {ref.sha256} is not what its name says",
        "Nothing was touched. Find out who changed it, and propose the change again.",
    )


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of ``data``, however little the system takes at once."""
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(descriptor, view[written:])
