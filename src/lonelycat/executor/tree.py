"""The governed tree, opened once and held: directories as descriptors, files by identity.

Invariants:
- A directory is opened beneath the pinned root without links or mounts, and remembered by device and inode; when its
  path no longer leads to the same directory, that is a CONFLICT, never a write elsewhere.
- A file is looked at through a descriptor that was opened without following links; only regular files with one name,
  on the workspace's device, without setuid bits, and symbolic links themselves, can be part of a transaction.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lonelycat.changes.changeset import EXECUTABLE, REGULAR, SYMLINK
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.paths import printable
from lonelycat.errors import ConflictError, RefusedError
from lonelycat.executor.filesystem import FileSystem, Status
from lonelycat.executor.operations import Identity, split
from lonelycat.settings import STATE_DIRECTORY

_MAX_OPEN_DIRECTORIES = 256
NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES})
"""How a file system says that it has no extended attributes; a full disk is none of them."""
_LOOKS = 100
"""How often a look begins again when somebody replaces what it looks at in its middle."""
_SAME = "the directory that was there"
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


class Found(NamedTuple):
    """What a path holds, and the inode that holds it.

    Attributes:
        attributes: names of the extended attributes that a new version of a regular file keeps; filled by ``look``.
    """

    identity: Identity
    status: Status
    attributes: tuple[str, ...] = ()


def git_mode(status: os.stat_result) -> str:
    """Return git's mode for a regular file or symbolic link."""
    if stat.S_ISLNK(status.st_mode):
        return SYMLINK
    return EXECUTABLE if status.st_mode & 0o100 else REGULAR


class PinnedTree:
    """The workspace root and the directories below it that are in use; close it when done."""

    def __init__(self, filesystem: FileSystem, root: Path, chunk: int) -> None:
        self.filesystem = filesystem
        self.path = root
        self._chunk = chunk
        self.root = filesystem.open_root(root)
        try:
            status = os.fstat(self.root)
        except OSError:
            filesystem.close(self.root)
            raise
        self.device = status.st_dev
        self.inode = status.st_ino
        self._open: OrderedDict[str, int] = OrderedDict()
        self._known: dict[str, tuple[int, int]] = {}

    def close(self) -> None:
        """Close every descriptor."""
        for fd in self._open.values():
            self.filesystem.close(fd)
        self._open.clear()
        if self.root >= 0:
            self.filesystem.close(self.root)
            self.root = -1

    def __enter__(self) -> PinnedTree:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- directories ---------------------------------------------------------------------------------------------

    def directory(self, path: str) -> int:
        """Return a descriptor of the directory ``path``, valid until the next call for another directory.

        Raises:
            RefusedError: a link, a mount or something that is not a directory on the way.
            ConflictError: ``DIRECTORY_CHANGED`` when the path led to another directory before.
            FileNotFoundError: there is no such directory.
        """
        if not path:
            return self.root
        held = self._open.get(path)
        if held is not None:
            self._open.move_to_end(path)
            return held
        fd = self._open_checked(path)
        self._open[path] = fd
        while len(self._open) > _MAX_OPEN_DIRECTORIES:
            _, oldest = self._open.popitem(last=False)
            self.filesystem.close(oldest)
        return fd

    def existing(self, paths: Iterable[str]) -> Iterator[int]:
        """Yield descriptors of those directories that are still where they were, each valid until the next."""
        for path in paths:
            with suppress(FileNotFoundError, ConflictError, RefusedError):
                yield self.directory(path)

    def _open_checked(self, path: str) -> int:
        try:
            fd = self.filesystem.open_beneath(self.root, path)
        except OSError as error:
            raise _unopenable(path, error, link=self._is_link(path)) from error
        try:
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino)
            if self._known.setdefault(path, identity) != identity:
                raise _moved(path)
        except (ConflictError, OSError):
            self.filesystem.close(fd)
            raise
        return fd

    def _is_link(self, path: str) -> bool:
        """Tell a link from a file in the last component: asked for a directory, the kernel answers ENOTDIR for both."""
        parent, name = split(path)
        with suppress(OSError), self.filesystem.closing(self.filesystem.open_beneath(self.root, parent or ".")) as fd:
            return stat.S_ISLNK(self.filesystem.stat(fd, name).st_mode)
        return False

    def forget(self, path: str) -> None:
        """Let go of a directory that was removed, so that a new one may take its place."""
        fd = self._open.pop(path, None)
        if fd is not None:
            self.filesystem.close(fd)
        self._known.pop(path, None)

    def check_root(self, transactions: int, locked: tuple[int, int] | None) -> None:
        """Check that this is the root that was locked, and the one whose ``.lonelycat/tx`` is open.

        Args:
            locked: device and inode of the locked directory; None where the caller does not know.

        Raises:
            ConflictError: ``ROOT_REPLACED``: another directory has taken its path since.
        """
        try:
            with self.filesystem.closing(self.filesystem.open_beneath(self.root, f"{STATE_DIRECTORY}/tx")) as fd:
                same = os.fstat(fd).st_ino == os.fstat(transactions).st_ino
        except FileNotFoundError:
            same = False
        if not same or locked not in (None, (self.device, self.inode)):
            raise _root_replaced(self.path)

    def check_pins(self) -> None:
        """Check that the root and every directory used so far are still where they were.

        Raises:
            ConflictError: ``ROOT_REPLACED`` or ``DIRECTORY_CHANGED``.
        """
        try:
            status = self.path.lstat()
            same = (status.st_dev, status.st_ino) == (self.device, self.inode)
        except OSError:
            same = False
        if not same:
            raise _root_replaced(self.path)
        for path, identity in list(self._known.items()):
            try:
                with self.filesystem.closing(self.filesystem.open_beneath(self.root, path)) as fd:
                    status = os.fstat(fd)
                    same = (status.st_dev, status.st_ino) == identity
            except OSError:
                same = False
            if not same:
                raise _moved(path)

    # -- files ---------------------------------------------------------------------------------------------------

    def look(self, path: str, sink: Callable[[bytes], object] | None = None) -> Found | None:
        """Return what ``path`` holds, or None when nothing is there.

        Args:
            path: workspace-relative path.
            sink: receives the bytes of a regular file as they are read.

        Raises:
            RefusedError: an object that cannot be part of a transaction (``OBJECT_…``).
        """
        directory, name = split(path)
        try:
            return self.look_in(self.directory(directory), name, path, sink, whole=True)
        except FileNotFoundError:
            return None

    def look_in(
        self,
        directory: int,
        name: str,
        path: str,
        sink: Callable[[bytes], object] | None = None,
        *,
        links: int = 1,
        whole: bool = False,
    ) -> Found | None:
        """Like :meth:`look`, for ``name`` in an open directory.

        Args:
            links: how many names the file may have.
            whole: look at the extended attributes as well.

        Raises:
            ConflictError: ``PATH_NEVER_STILL`` too, when it was something else at each call of each look.
        """
        for _ in range(_LOOKS):
            try:
                fd = self.filesystem.open_file(directory, name)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in (errno.ENXIO, errno.ENODEV):
                    raise _special(path) from error
                if error.errno != errno.ELOOP:
                    raise
            else:
                return self._look_at_file(fd, path, sink, links, whole=whole)
            try:
                link = self._look_at_link(directory, name, path, links)
            except FileNotFoundError:
                return None
            if link is not None:
                return link
        told = f"{printable(path)} is replaced again and again while it is looked at"
        raise _other(path, "PATH_NEVER_STILL", "what stays for one look", "a link, then a file, again and again", told)

    def _look_at_file(
        self, fd: int, path: str, sink: Callable[[bytes], object] | None, links: int, *, whole: bool
    ) -> Found:
        try:
            status = os.fstat(fd)
            self._refuse_object(path, status, links)
            identity = Identity(self._hash(fd, status.st_size, sink), git_mode(status))
            return Found(identity, status, kept_attributes(self.filesystem, fd) if whole else ())
        finally:
            self.filesystem.close(fd)

    def _hash(self, fd: int, size: int, sink: Callable[[bytes], object] | None) -> str:
        """Return the SHA-256 of what ``fd`` holds; ``size`` is what it should be, and saves a look for the end."""
        wanted = min(self._chunk, size + 1)
        data = self.filesystem.read(fd, wanted)
        digest = hashlib.sha256(data)
        while data:
            if sink is not None:
                sink(data)
            if len(data) == size < wanted:
                break
            wanted = self._chunk
            data = self.filesystem.read(fd, wanted)
            digest.update(data)
        return digest.hexdigest()

    def _look_at_link(self, directory: int, name: str, path: str, links: int) -> Found | None:
        """Return the link, or None when it has become something else since it was opened."""
        status = self.filesystem.stat(directory, name)
        if not stat.S_ISLNK(status.st_mode):
            return None
        if status.st_nlink > links:
            raise _hard_linked(path)
        try:
            target = self.filesystem.read_link(directory, name)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise
        return Found(Identity(sha256_hex(target), SYMLINK), status)

    def _refuse_object(self, path: str, status: os.stat_result, links: int) -> None:
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISDIR(status.st_mode):
                told = f"{printable(path)} is a directory, not a file"
                raise _other(path, "PATH_IS_DIRECTORY", "a file", "a directory", told)
            raise _special(path)
        if status.st_dev != self.device:
            raise RefusedError(
                "OBJECT_ON_ANOTHER_MOUNT",
                f"{printable(path)} lies on another file system than the workspace",
                "A change can only be all-or-nothing on one file system; unmount it or change the workspace.",
            )
        if status.st_nlink > links:
            raise _hard_linked(path)
        if status.st_mode & _SPECIAL_BITS:
            raise RefusedError(
                "OBJECT_SPECIAL_BITS",
                f"{printable(path)} has setuid, setgid or sticky bits",
                "LonelyCat does not touch such files; remove the bits first.",
            )


def kept_attributes(filesystem: FileSystem, fd: int) -> tuple[str, ...]:
    """Return the names of the extended attributes that matter, access lists among them; none where none are kept."""
    try:
        return filesystem.kept_attributes(fd)
    except OSError as error:
        if error.errno in NO_ATTRIBUTES:
            return ()
        raise


def _unopenable(path: str, error: OSError, *, link: bool) -> Exception:
    if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and link):
        return RefusedError(
            "PATH_THROUGH_LINK",
            f"a directory of {printable(path)} is a symbolic link",
            "Name the real directory inside the workspace.",
        )
    if error.errno == errno.EXDEV:
        return RefusedError(
            "PATH_LEAVES_WORKSPACE",
            f"{printable(path)} leads to another mount or out of the workspace",
            "A change stays on the workspace's own file system.",
        )
    if error.errno == errno.ENOTDIR:
        shown = f"a directory of {printable(path)} is a file"
        return _other(path, "PATH_NOT_DIRECTORY", "a directory", "a file", shown)
    return error


def _root_replaced(path: Path) -> ConflictError:
    from lonelycat.changes.conflict import Conflict, conflict_error

    shown = printable(str(path))
    return conflict_error(
        [Conflict(path=shown, code="ROOT_REPLACED", expected=_SAME, found="another", phase="apply")],
        f"the workspace root {shown} was replaced while the change was being made",
        "Find out what moved it; then propose the change again.",
    )


def _moved(path: str) -> ConflictError:
    from lonelycat.changes.conflict import Conflict, conflict_error

    return conflict_error(
        [Conflict(path=printable(path), code="DIRECTORY_CHANGED", expected=_SAME, found="another", phase="apply")],
        f"the directory {printable(path)} was replaced while the change was being made",
        "Find out what else writes here; then propose the change again.",
    )


def _other(path: str, code: str, expected: str, found: str, message: str) -> ConflictError:
    from lonelycat.changes.conflict import Conflict, conflict_error

    conflict = Conflict(path=printable(path), code=code, expected=expected, found=found)
    return conflict_error([conflict], message, "Propose the change again.")


def _special(path: str) -> RefusedError:
    return RefusedError(
        "OBJECT_NOT_A_FILE",
        f"{printable(path)} is a FIFO, socket or device",
        "Only regular files and symbolic links can be changed.",
    )


def _hard_linked(path: str) -> RefusedError:
    return RefusedError(
        "OBJECT_HARD_LINKED",
        f"{printable(path)} has more than one name (hard link)",
        "A change would split it from its other names; copy it over itself first. While an execution is unfinished, "
        "its old content in .lonelycat/tx is such a name: then run `lonelycat recover`.",
    )
