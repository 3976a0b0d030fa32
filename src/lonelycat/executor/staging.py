"""Staging: everything that can fail for want of space, rights or the expected base happens here, before any change.

Invariant: staging only reads the workspace and writes the transaction directory. When :meth:`Stager.settle` returns,
every old file has a hard link as backup, or a copy, every new file lies ready with its bytes hashed while written and
its mode set, and all of it is durable; the workspace is as it was.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from lonelycat.changes.changeset import EXECUTABLE, BlobRef
from lonelycat.changes.conflict import Conflict, conflict_error
from lonelycat.changes.paths import printable
from lonelycat.durable import make_durable
from lonelycat.errors import ConflictError, LonelyCatError, RefusedError
from lonelycat.executor.conflicts import code_of_difference, difference
from lonelycat.executor.filesystem import FileStatus, FileSystem
from lonelycat.executor.layout import BALLAST, BALLAST_BYTES, Directory, Intent
from lonelycat.executor.old_copies import OldCopies
from lonelycat.executor.operations import FileOperation, Identity, OperationPlan, split
from lonelycat.executor.tree import NO_ATTRIBUTES, Found, PinnedTree, kept_attributes

BlobOpener = Callable[[BlobRef], Iterable[bytes]]
"""Yields a blob's bytes in chunks."""
SYNC_WHOLE_FROM = 8
"""From this many files on, one syncfs is cheaper than one fsync each (FACTS: 33 ms against 382 ms at 1000)."""
ENTRY_BYTES = 64
"""What the two names that undo gives an old file take in the stage's directory, and some room to spare."""
OldFileTaker = Callable[[FileOperation, Found, bytes | None], None]
"""Receives every old file as it was found, with all of its bytes if there are few."""


class Stager:
    """Fills one transaction directory."""

    def __init__(
        self,
        filesystem: FileSystem,
        tree: PinnedTree,
        stage: int,
        open_blob: BlobOpener,
        chunk: int,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._filesystem = filesystem
        self._tree = tree
        self._stage = stage
        self._open_blob = open_blob
        self._chunk = chunk
        self._stop = stop
        self.old_contents = SmallContents(stop)
        self.copies = OldCopies(filesystem, stage, frozenset())
        self._unsettled: list[FileOperation] = []

    def prepare(self, plan: OperationPlan, identity: dict[str, object]) -> Intent:
        """Check the base, copy or link the old files, write the new contents; :meth:`settle` makes all of it durable.

        Raises:
            ConflictError: the workspace is not what the change set was made against; names every path.
            RefusedError: an object that cannot be part of a transaction; a content that is not what was approved.
        """
        written = [operation for operation in plan.operations if operation.new is not None]
        each = len(written) < SYNC_WHOLE_FROM and self._filesystem.syncs_whole
        # What undo makes would get an access list where the directories hand one down, which the old file may not have.
        copying = not each and self._filesystem.syncs_whole and not kept_attributes(self._filesystem, self._stage)
        found = self._check_and_copy(plan.operations, copying=copying)
        old = [operation for operation in plan.operations if operation.old is not None]
        self._back_up([operation for operation in old if not self.copies.has(operation)], found)
        by_path = {operation.path: operation for operation in plan.operations}
        for operation in written:
            self._write_new(operation, by_path, found, durable=each)
        with self._filesystem.closing(self._filesystem.create_file(self._stage, BALLAST)) as fd:
            self._filesystem.allocate(fd, BALLAST_BYTES + ENTRY_BYTES * len(self.copies))
        self._unsettled = [] if each else written
        return Intent(
            identity=identity,
            early=plan.early,
            rest=plan.rest,
            rooms=self._existing(plan.rooms),
            made=self._missing(plan.parents, {item for item in plan.rooms} | {o.path for o in plan.early}),
            pruned=self._existing(plan.prunable),
            permissions=tuple(
                stat.S_IMODE(found[operation.path].status.st_mode) if operation.old is not None else None
                for operation in plan.operations
            ),
            inodes=self._copied_inodes(plan.operations, found),
        )

    def _check_and_copy(self, operations: tuple[FileOperation, ...], *, copying: bool) -> dict[str, Found]:
        if not copying:
            return check_base(self._tree, operations, self.old_contents, self._stop)
        needed = {operation.source for operation in operations if operation.content is None and operation.source}
        copies = self.copies = OldCopies(self._filesystem, self._stage, frozenset(needed))
        try:
            found = check_base(self._tree, operations, self.old_contents, self._stop, copies.take)
            copies.finish()
        finally:
            copies.close()
        return found

    def _copied_inodes(self, operations: tuple[FileOperation, ...], found: dict[str, Found]) -> tuple[int | None, ...]:
        if not self.copies:
            return ()
        return tuple(
            found[operation.path].status.st_ino if self.copies.has(operation) else None for operation in operations
        )

    @property
    def is_settled(self) -> bool:
        """Whether :meth:`prepare` has made everything durable itself."""
        return not self._unsettled

    def settle(self) -> None:
        """Make durable what :meth:`prepare` has not."""
        make_durable(self._filesystem, self._stage, self._written_files)

    def _written_files(self) -> Iterator[int]:
        for operation in self._unsettled:
            if operation.new is not None and not operation.new.is_link:  # a link has its target in the directory
                with self._filesystem.closing(self._filesystem.open_file(self._stage, operation.staged_name)) as fd:
                    yield fd

    # -- backups and new contents --------------------------------------------------------------------------------

    def _back_up(self, operations: list[FileOperation], found: dict[str, Found]) -> None:
        backups = [operation.backup_name for operation in operations]
        for operation, backup in zip(operations, backups, strict=True):
            self._stop()
            directory, name = split(operation.path)
            self._filesystem.hard_link(self._tree.directory(directory), name, self._stage, backup)
        linked = self._filesystem.inodes(self._stage) if operations else {}
        for operation, backup in zip(operations, backups, strict=True):
            # the file that was looked at, and not one that was put in its place since
            if linked[backup] != found[operation.path].status.st_ino:
                raise conflict_error([difference(operation.path, "FILE_CHANGED", operation.old, "another file")])

    def _write_new(
        self, operation: FileOperation, by_path: dict[str, FileOperation], found: dict[str, Found], *, durable: bool
    ) -> None:
        new = operation.new
        if new is None:
            return
        if new.is_link:
            self._write_link(operation, new, by_path)
            return
        source = None if operation.source is None else by_path[operation.source]
        replaced = None if source is None else found.get(source.path)
        permissions = permissions_of(new, replaced)
        fd = self._filesystem.create_file(self._stage, operation.staged_name, permissions)
        try:
            digest, size = hashlib.sha256(), 0
            for data in self._content(operation, by_path):
                self._stop()
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

    def _write_link(self, operation: FileOperation, new: Identity, by_path: dict[str, FileOperation]) -> None:
        target = b"".join(self._content(operation, by_path))
        check_written(operation, hashlib.sha256(target).hexdigest(), len(target))
        if not target or b"\0" in target or len(target) > 4095:
            raise RefusedError(
                "LINK_TARGET",
                f"{printable(operation.path)} would be a symbolic link with an impossible target",
                "A link's target is 1 to 4095 bytes without NUL.",
            )
        self._filesystem.make_link(target, self._stage, operation.staged_name)

    def _content(self, operation: FileOperation, by_path: dict[str, FileOperation]) -> Iterable[bytes]:
        if isinstance(operation.content, bytes):
            return (operation.content,)
        if isinstance(operation.content, BlobRef):
            return self._open_blob(operation.content)
        return () if operation.source is None else self._old_content(by_path[operation.source])

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

    # -- directories ---------------------------------------------------------------------------------------------

    def _existing(self, paths: tuple[str, ...]) -> tuple[Directory, ...]:
        found = [(path, os.fstat(self._tree.directory(path))) for path in paths]
        return tuple(Directory(path, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid) for path, s in found)

    def _missing(self, paths: tuple[str, ...], going: set[str]) -> tuple[str, ...]:
        missing: list[str] = []
        gone: set[str] = set()
        for path in paths:
            above, _ = split(path)
            if path in going or above in gone:
                gone.add(path)
                missing.append(path)
                continue
            try:
                self._tree.directory(path)
            except FileNotFoundError:
                gone.add(path)
                missing.append(path)
        return tuple(missing)


class SmallContents:
    """The bytes of small old files, as they were read to be hashed, so that the evidence need not read them again.

    Bounded: whatever the change set, it holds at most ``TOTAL_BYTES``.

    Args:
        stop: called between the chunks of a file; raises to stop.
    """

    FILE_BYTES = 64 * 1024
    TOTAL_BYTES = 4 * 1024 * 1024

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._by_path: dict[str, bytes] = {}
        self._left = self.TOTAL_BYTES
        self._path = ""
        self._is_first = True
        self.last: bytes | None = None
        """The bytes of the file that was read last, held or not; None if they are not few."""

    def reading(self, path: str) -> Callable[[bytes], None]:
        """Return where the chunks of ``path`` go while it is read."""
        self._path, self._is_first, self.last = path, True, b""
        return self._take

    def _take(self, data: bytes) -> None:
        if not self._is_first:  # not a small file
            self._stop()
            self._left += len(self._by_path.pop(self._path, b""))
            self.last = None
        elif len(data) > self.FILE_BYTES:
            self.last = None
        else:
            self.last = data
            if len(data) <= self._left:
                self._by_path[self._path] = data
                self._left -= len(data)
        self._is_first = False

    def get(self, path: str) -> bytes | None:
        """Return the old bytes of ``path`` if they are held."""
        return self._by_path.get(path)


def check_base(
    tree: PinnedTree,
    operations: tuple[FileOperation, ...],
    contents: SmallContents | None = None,
    stop: Callable[[], None] = lambda: None,
    take: OldFileTaker | None = None,
) -> dict[str, Found]:
    """Return what every path of ``operations`` holds, if it is what the change set was made against; only looks.

    Args:
        contents: keeps the bytes of small files as they are read.
        stop: called before every file; raises to stop.
        take: receives every old file that is as expected.

    Raises:
        ConflictError: it is not; names every path.
        RefusedError: an object that cannot be part of a transaction.
    """
    found: dict[str, Found] = {}
    differences: list[Conflict] = []
    going = {operation.path for operation in operations if operation.new is None}
    for operation in operations:
        stop()
        difference = _check_one(tree, operation, found, going, contents)
        if difference is not None:
            differences.append(difference)
        elif take is not None and contents is not None and operation.old is not None:
            take(operation, found[operation.path], contents.last)
    if differences:
        raise conflict_error(differences)
    return found


def _check_one(
    tree: PinnedTree,
    operation: FileOperation,
    found: dict[str, Found],
    going: set[str],
    contents: SmallContents | None,
) -> Conflict | None:
    path = operation.path
    try:
        there = tree.look(path, None if contents is None else contents.reading(path))
    except LonelyCatError as error:
        if operation.old is None and _makes_room(error.code, path, going):
            return None
        if isinstance(error, ConflictError):
            return difference(path, error.code, operation.old, error.message)
        raise
    actual = there.identity if there else None
    if actual == operation.old:
        if there is not None and operation.old is not None:
            # The same hash is in memory already, and of the status a third is enough: it is kept for every file.
            found[path] = Found(operation.old, FileStatus.of(there.status), there.attributes)
        return None
    if there is not None:
        found[path] = there
    return difference(path, code_of_difference(operation.old, actual), operation.old, actual)


def _makes_room(code: str, path: str, going: set[str]) -> bool:
    """Whether what stands in the way of a create goes away in the same change set."""
    if code == "PATH_IS_DIRECTORY":
        return any(other.startswith(path + "/") for other in going)
    if code in ("PATH_NOT_DIRECTORY", "PATH_THROUGH_LINK"):
        return any(path.startswith(above + "/") for above in going)
    return False


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
