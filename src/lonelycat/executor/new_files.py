"""The new files of a transaction, written into its stage.

Invariants:
- A new file is not what was approved, byte for byte, unless its hash says so: it is taken while the file is written.
- What git does not track is carried over from the file that it continues: owner, other permission bits, attributes.
- When :meth:`NewFiles.write` returns or raises, nobody writes any more.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from threading import Event

from lonelycat.changes.changeset import EXECUTABLE, BlobRef
from lonelycat.changes.conflict import conflict_error
from lonelycat.changes.paths import printable
from lonelycat.errors import RefusedError
from lonelycat.executor.conflicts import difference
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.operations import FileOperation, Identity
from lonelycat.executor.side_by_side import wait_and_work
from lonelycat.executor.tree import NO_ATTRIBUTES, Found

BlobOpener = Callable[[BlobRef], Iterable[bytes]]
"""Yields a blob's bytes in chunks."""
SIDE_BY_SIDE_FROM = 256
"""From this many new files on, two threads write them: making a file is nearly all system calls."""


class NewFiles:
    """Writes the new contents of operations.

    Args:
        stage: the transaction directory.
        stop: called before every chunk that is written; raises to stop.
        by_path: every operation of the transaction.
        found: what their paths held when the base was checked.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        stage: int,
        open_blob: BlobOpener,
        chunk: int,
        stop: Callable[[], None],
        by_path: Mapping[str, FileOperation],
        found: Mapping[str, Found],
    ) -> None:
        self._filesystem = filesystem
        self._stage = stage
        self._open_blob = open_blob
        self._chunk = chunk
        self._stop = stop
        self._by_path = by_path
        self._found = found
        self._failed = Event()

    def write(self, operations: list[FileOperation], *, durable: bool) -> None:
        """Write the new contents of ``operations``; their order does not matter, so many are written two at a time.

        Args:
            durable: fsync each file.

        Raises:
            ConflictError: an old file that is the source of a new one is not what it was.
            RefusedError: a content that is not what was approved.
            OSError: no space, no rights, an I/O error.
        """

        def write(some: list[FileOperation]) -> None:
            try:
                for operation in some:
                    self._write(operation, durable=durable)
            except _OtherFailedError:
                return  # and tells why
            except BaseException:
                self._failed.set()
                raise

        if len(operations) < SIDE_BY_SIDE_FROM:
            write(operations)
        else:
            wait_and_work(partial(write, operations[1::2]), partial(write, operations[::2]), hurry=self._failed.set)

    def _write(self, operation: FileOperation, *, durable: bool) -> None:
        new = operation.new
        if new is None:
            return
        if new.is_link:
            self._write_link(operation, new)
            return
        source = None if operation.source is None else self._by_path[operation.source]
        replaced = None if source is None else self._found.get(source.path)
        permissions = permissions_of(new, replaced)
        fd = self._filesystem.create_file(self._stage, operation.staged_name, permissions)
        try:
            digest, size = hashlib.sha256(), 0
            for data in self._content(operation):
                self._stop()
                if self._failed.is_set():
                    raise _OtherFailedError
                digest.update(data)
                size += len(data)
                self._filesystem.write(fd, data)
            check_written(operation, digest.hexdigest(), size)
            if source is not None and replaced is not None and not replaced.identity.is_link:
                self._carry_over(fd, source, replaced, permissions)
            else:
                self._settle_mode(fd, os.fstat(fd), permissions)
            if durable:
                self._filesystem.fsync(fd)
        finally:
            self._filesystem.close(fd)

    def _write_link(self, operation: FileOperation, new: Identity) -> None:
        target = b"".join(self._content(operation))
        check_written(operation, hashlib.sha256(target).hexdigest(), len(target))
        if not target or b"\0" in target or len(target) > 4095:
            raise RefusedError(
                "LINK_TARGET",
                f"{printable(operation.path)} would be a symbolic link with an impossible target",
                "A link's target is 1 to 4095 bytes without NUL.",
            )
        self._filesystem.make_link(target, self._stage, operation.staged_name)

    def _content(self, operation: FileOperation) -> Iterable[bytes]:
        if isinstance(operation.content, bytes):
            return (operation.content,)
        if isinstance(operation.content, BlobRef):
            return self._open_blob(operation.content)
        return () if operation.source is None else self._old_content(self._by_path[operation.source])

    def _old_content(self, operation: FileOperation) -> Iterator[bytes]:
        if operation.old is not None and operation.old.is_link:
            yield self._filesystem.read_link(self._stage, operation.backup_name)
            return
        with self._filesystem.closing(self._filesystem.open_file(self._stage, operation.backup_name)) as fd:
            while data := self._filesystem.read(fd, self._chunk):
                yield data

    def _carry_over(self, fd: int, source: FileOperation, replaced: Found, permissions: int) -> None:
        """Carry over what git does not track: owner, the other permission bits, extended attributes."""
        made, old = os.fstat(fd), replaced.status
        if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):  # its group may be the directory's, not ours
            with suppress(PermissionError):
                self._filesystem.set_owner(fd, old.st_uid, old.st_gid)
        self._settle_mode(fd, made, permissions)
        if replaced.attributes:
            with _tolerating_no_attributes():
                self._copy_extended_attributes(fd, source, replaced.attributes)

    def _settle_mode(self, fd: int, made: os.stat_result, permissions: int) -> None:
        """Set the mode where creating the file has not already: nearly always the umask leaves it as asked."""
        if stat.S_IMODE(made.st_mode) != permissions:
            self._filesystem.set_mode(fd, permissions)

    def _copy_extended_attributes(self, fd: int, source: FileOperation, names: tuple[str, ...]) -> None:
        old = self._filesystem.open_file(self._stage, source.backup_name)
        with self._filesystem.closing(old):
            for name in names:
                self._filesystem.set_attribute(fd, name, self._filesystem.get_attribute(old, name))


class _OtherFailedError(Exception):
    """Ends the writing of a new file while the other thread's reason is raised."""


@contextmanager
def _tolerating_no_attributes() -> Iterator[None]:
    """Pass over a file system without extended attributes, but not over a full disk: the file keeps its access list."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ATTRIBUTES:
            raise


def permissions_of(new: Identity, replaced: Found | None) -> int:
    """Return the permission bits of a new file: those of the one that it continues, or git's under the umask."""
    if replaced is None or replaced.identity.is_link:
        wanted = 0o777 if new.mode == EXECUTABLE else 0o666
        # Whatever the umask, the owner's bits are those that git's mode stands for.
        return wanted & ~process_umask() | wanted & 0o700
    permissions = stat.S_IMODE(replaced.status.st_mode)
    if new.mode == replaced.identity.mode:
        return permissions
    return permissions | 0o100 | (permissions & 0o444) >> 2 if new.mode == EXECUTABLE else permissions & ~0o111


def check_written(operation: FileOperation, actual: str, size: int) -> None:
    content, new = operation.content, operation.new
    if content is None and new is not None and actual != new.sha256:
        raise conflict_error([difference(operation.source or operation.path, "FILE_CHANGED", new, "other bytes")])
    # The checksum covers a blob's hash; its size, which limits are held against, is held to the truth here.
    sized = not isinstance(content, BlobRef) or size == content.size
    if new is None or actual != new.sha256 or not sized:
        raise RefusedError(
            "CHECKSUM_MISMATCH",
            f"the bytes for {printable(operation.path)} are not those that were approved",
            "The change set or its stored content was altered; propose it again.",
        )


@lru_cache(maxsize=1)
def process_umask() -> int:
    """Return the process's umask without changing it, as setting it would race with other threads."""
    return FileSystem().umask()
