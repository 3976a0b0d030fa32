"""The executor's system calls on a disk in memory, with every mutating call recorded as its effects.

Invariants:
- It behaves as Linux does for the calls that the executor makes: same tree, same errors (``test_memory.py`` runs the
  same random calls on both).
- Whatever a call changes it changes through the recorded effects, so that a recording is complete by construction.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import NamedTuple

from tests.crash.descriptors import Status, give, take_back
from tests.crash.disk import ROOT, Data, Disk, Effect, Entry, Field, Inode, Size
from tests.crash.trees import UMASK

from lonelycat.executor.filesystem import FileSystem

DEVICE = 99


class Call(NamedTuple):
    """One mutating call: its name, what it changed, and what it made durable (an inode, or everything).

    ``phase`` is what the executor was about. What an outsider did is ``durable`` at once.
    """

    name: str
    phase: str
    effects: tuple[Effect, ...]
    barrier: int | None = None
    durable: bool = False


EVERYTHING = -1


class Root(PosixPath):
    """The path of a workspace in memory, for who looks at it by path."""

    filesystem: MemoryFileSystem

    def lstat(self) -> os.stat_result:
        return self.filesystem.status(ROOT)  # type: ignore[return-value]


class _Open:
    __slots__ = ("append", "inode", "position", "writes")

    def __init__(self, inode: int, *, writes: bool, append: bool) -> None:
        self.inode = inode
        self.writes = writes
        self.append = append
        self.position = 0


def _error(code: int, name: str) -> OSError:
    return OSError(code, os.strerror(code), name)


class MemoryFileSystem(FileSystem):
    """A disk, its open descriptors, and the calls made to it.

    Args:
        disk: changed in place.
        born: how each inode began; grows.
        before: called with the number and the name of each mutating call before it is made.
    """

    syncs_whole = True  # type: ignore[assignment]

    def __init__(
        self,
        disk: Disk,
        born: dict[int, Inode] | None = None,
        before: Callable[[int, str], None] = lambda number, name: None,
    ) -> None:
        self.disk = disk
        self.born = {} if born is None else born
        self.before = before
        self.calls: list[Call] = []
        self.phase = ""
        self.root = Root("/in-memory")
        self.root.filesystem = self
        self._open: dict[int, _Open] = {}
        self._handed_over: list[int] = []
        self._written: dict[int, int] = {}
        self._changed: dict[int, int] = {}
        self._next = max((*disk.inodes, *self.born)) + 1

    # -- looking -------------------------------------------------------------------------------------------------

    def inode(self, fd: int) -> int:
        """Return the inode behind a descriptor."""
        try:
            return self._open[fd].inode
        except KeyError:
            raise _error(errno.EBADF, str(fd)) from None

    def found(self, directory: int, name: str) -> int:
        """Return the inode that a name in a directory (an inode) means."""
        try:
            return self.disk.entries[directory][name]
        except KeyError:
            raise _error(errno.ENOENT if directory in self.disk.entries else errno.ENOTDIR, name) from None

    def node(self, inode: int) -> Inode:
        """Return what an inode holds."""
        return self.disk.inodes[inode]

    def status(self, inode: int) -> Status:
        """Return the status of an inode."""
        node = self.disk.inodes[inode]
        times = self._written.get(inode, 0), self._changed.get(inode, 0)
        return Status(node.mode, inode, DEVICE, self.disk.links[inode], node.uid, node.gid, len(node.data), *times)

    def duplicate(self, fd: int) -> int:
        """Return a further descriptor of the same inode."""
        return self._opened(self.inode(fd))

    def let_go(self) -> None:
        """Close every descriptor, as the end of a process does."""
        for fd in self._open:
            take_back(fd)
        self._open.clear()

    def _opened(self, inode: int, *, writes: bool = False, append: bool = False) -> int:
        fd = give(self)
        self._open[fd] = _Open(inode, writes=writes, append=append)
        return fd

    def open_root(self, path: str | os.PathLike[str]) -> int:
        assert Path(path) == self.root
        return self._opened(ROOT)

    def open_beneath(self, root: int, path: str) -> int:
        at = self.inode(root)
        parts = [part for part in path.split("/") if part != "."]
        for number, name in enumerate(parts):
            at = self.found(at, name)
            mode = self.disk.inodes[at].mode
            if stat.S_ISLNK(mode) and number < len(parts) - 1:
                raise _error(errno.ELOOP, path)
            if not stat.S_ISDIR(mode):
                raise _error(errno.ENOTDIR, path)
        return self._opened(at)

    def open_file(self, directory: int, name: str) -> int:
        at = self.found(self.inode(directory), name)
        if stat.S_ISLNK(self.disk.inodes[at].mode):
            raise _error(errno.ELOOP, name)
        return self._opened(at)

    def stat(self, directory: int, name: str) -> os.stat_result:
        return self.status(self.found(self.inode(directory), name))  # type: ignore[return-value]

    def read(self, fd: int, size: int) -> bytes:
        inode, held = self.inode(fd), self._open[fd]
        if held.writes:
            raise _error(errno.EBADF, str(fd))
        if inode in self.disk.entries:
            raise _error(errno.EISDIR, str(fd))
        data = self.disk.inodes[inode].data[held.position : held.position + size]
        held.position += len(data)
        return data

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        return self.disk.inodes[self.inode(fd)].data[offset : offset + size]

    def read_link(self, directory: int, name: str) -> bytes:
        node = self.disk.inodes[self.found(self.inode(directory), name)]
        if not stat.S_ISLNK(node.mode):
            raise _error(errno.EINVAL, name)
        return node.data

    def kept_attributes(self, fd: int) -> tuple[str, ...]:
        return tuple(name for name, _ in self.node(self.inode(fd)).attributes)

    def get_attribute(self, fd: int, name: str) -> bytes:
        return dict(self.node(self.inode(fd)).attributes)[name]

    def is_remote(self, fd: int) -> bool:
        self.inode(fd)
        return False

    def umask(self) -> int:
        return UMASK

    def list(self, directory: int) -> list[str]:
        return [*self.disk.entries[self.inode(directory)]]

    def inodes(self, directory: int) -> dict[str, int]:
        return dict(self.disk.entries[self.inode(directory)])

    def close(self, fd: int) -> None:
        self.inode(fd)
        del self._open[fd]
        take_back(fd)

    # -- changing ------------------------------------------------------------------------------------------------

    def _begin(self, name: str) -> None:
        self.before(len(self.calls), name)

    def _change(self, name: str, *effects: Effect) -> None:
        self.calls.append(Call(name, self.phase, effects))
        now = len(self.calls)
        for effect in effects:
            self.disk.make(effect, self.born)
            self._changed[effect.home] = now
            if not isinstance(effect, Field):
                self._written[effect.home] = now
            if isinstance(effect, Entry) and effect.inode is not None:
                self._changed[effect.inode] = now

    def outside(self, directory: int, name: str, data: bytes) -> None:
        """Somebody else puts a file of theirs at a name, durably."""
        effect = Entry(directory, name, self._birth(directory, stat.S_IFREG, 0o644, data))
        self.disk.make(effect, self.born)
        self.calls.append(Call("outsider", self.phase, (effect,), durable=True))

    def _birth(self, directory: int, kind: int, mode: int, data: bytes = b"") -> int:
        above = self.disk.inodes[directory]
        group = above.gid if above.mode & stat.S_ISGID else os.getegid()
        if kind == stat.S_IFDIR:
            mode |= above.mode & stat.S_ISGID
        self._next += 1
        self.born[self._next] = Inode(kind | mode, os.geteuid(), group, data)
        return self._next

    def _free(self, fd: int, name: str) -> int:
        """Return the directory behind ``fd`` if ``name`` can be made there."""
        directory = self.inode(fd)
        if name in self.disk.entries[directory]:
            raise _error(errno.EEXIST, name)
        if not self.disk.links[directory]:
            raise _error(errno.ENOENT, name)
        return directory

    def _writable(self, fd: int, otherwise: int) -> int:
        inode = self.inode(fd)
        if not self._open[fd].writes:
            raise _error(otherwise, str(fd))
        return inode

    def create_file(self, directory: int, name: str, mode: int = 0o600) -> int:
        self._begin("create_file")
        at = self._free(directory, name)
        inode = self._birth(at, stat.S_IFREG, mode & ~UMASK)
        self._change("create_file", Entry(at, name, inode))
        return self._opened(inode, writes=True)

    def open_append(self, directory: int, name: str) -> int:
        at = self.found(self.inode(directory), name)
        if stat.S_ISLNK(self.disk.inodes[at].mode):
            raise _error(errno.ELOOP, name)
        if at in self.disk.entries:
            raise _error(errno.EISDIR, name)
        return self._opened(at, writes=True, append=True)

    def write(self, fd: int, data: bytes) -> None:
        self._begin("write")
        inode, held = self._writable(fd, errno.EBADF), self._open[fd]
        if held.append:
            held.position = len(self.disk.inodes[inode].data)
        self._change("write", *([Data(inode, held.position, bytes(data))] if data else []))
        held.position += len(data)

    def truncate(self, fd: int, size: int) -> None:
        self._begin("truncate")
        self._change("truncate", Size(self._writable(fd, errno.EINVAL), size))

    def allocate(self, fd: int, size: int) -> None:
        self._begin("allocate")
        inode = self._writable(fd, errno.EBADF)
        self._change("allocate", Size(inode, max(size, len(self.disk.inodes[inode].data))))

    def set_mode(self, fd: int, mode: int) -> None:
        self._begin("set_mode")
        inode = self.inode(fd)
        self._change("set_mode", Field(inode, "mode", stat.S_IFMT(self.disk.inodes[inode].mode) | mode))

    def set_owner(self, fd: int, uid: int, gid: int) -> None:
        self._begin("set_owner")
        inode = self.inode(fd)
        self._change("set_owner", Field(inode, "uid", uid), Field(inode, "gid", gid))

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        self._begin("set_attribute")
        inode = self.inode(fd)
        attributes = dict(self.disk.inodes[inode].attributes) | {name: value}
        self._change("set_attribute", Field(inode, "attributes", tuple(sorted(attributes.items()))))

    def spread(self, directory: int) -> None:
        """A hint about where to allocate: there is nowhere to choose from."""

    def make_link(self, target: bytes, directory: int, name: str) -> None:
        self._begin("make_link")
        if not target:
            raise _error(errno.ENOENT, name)
        at = self._free(directory, name)
        self._change("make_link", Entry(at, name, self._birth(at, stat.S_IFLNK, 0o777, target)))

    def hard_link(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        self._begin("hard_link")
        inode = self.found(self.inode(directory), name)
        at = self._free(to_directory, to_name)
        if inode in self.disk.entries:
            raise _error(errno.EPERM, to_name)
        self._change("hard_link", Entry(at, to_name, inode))

    def move(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        self._begin("move")
        source = self.inode(directory)
        inode = self.found(source, name)
        at = self._free(to_directory, to_name)
        self._refuse_loop(inode, at, to_name)
        self._change("move", Entry(source, name, None), Entry(at, to_name, inode))

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        self._begin("exchange")
        source, target = self.inode(directory), self.inode(to_directory)
        one, other = self.found(source, name), self.found(target, to_name)
        self._refuse_loop(one, target, to_name)
        self._refuse_loop(other, source, name)
        self._change("exchange", Entry(source, name, other), Entry(target, to_name, one))

    def replace(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        self._begin("replace")
        source, target = self.inode(directory), self.inode(to_directory)
        inode = self.found(source, name)
        self._refuse_loop(inode, target, to_name)
        over = self.disk.entries[target].get(to_name)
        if over is not None and self._leads_to(over, source):
            raise _error(errno.ENOTEMPTY, to_name)
        if over == inode:
            return
        if over is not None and (inode in self.disk.entries) != (over in self.disk.entries):
            raise _error(errno.EISDIR if over in self.disk.entries else errno.ENOTDIR, to_name)
        if over is not None and self.disk.entries.get(over):
            raise _error(errno.ENOTEMPTY, to_name)
        if not self.disk.links[target]:
            raise _error(errno.ENOENT, to_name)
        self._change("replace", Entry(source, name, None), Entry(target, to_name, inode))

    def _refuse_loop(self, inode: int, into: int, name: str) -> None:
        if self._leads_to(inode, into):
            raise _error(errno.EINVAL, name)

    def _leads_to(self, directory: int, inode: int) -> bool:
        return directory in self.disk.entries and inode in (directory, *(at for _, at in self.disk.walk(directory)))

    def unlink(self, directory: int, name: str) -> None:
        self._begin("unlink")
        at = self.inode(directory)
        if self.found(at, name) in self.disk.entries:
            raise _error(errno.EISDIR, name)
        self._change("unlink", Entry(at, name, None))

    def make_directory(self, directory: int, name: str, mode: int = 0o777) -> None:
        self._begin("make_directory")
        at = self._free(directory, name)
        self._change("make_directory", Entry(at, name, self._birth(at, stat.S_IFDIR, mode & ~UMASK)))

    def remove_directory(self, directory: int, name: str) -> None:
        self._begin("remove_directory")
        at = self.inode(directory)
        inode = self.found(at, name)
        if inode not in self.disk.entries:
            raise _error(errno.ENOTDIR, name)
        if self.disk.entries[inode]:
            raise _error(errno.ENOTEMPTY, name)
        self._change("remove_directory", Entry(at, name, None))

    def hand_over(self, fd: int) -> None:
        """Promise nothing: what the drive was handed is durable with the next fsync."""
        self._begin("hand_over")
        self._handed_over.append(self.inode(fd))
        self.calls.append(Call("hand_over", self.phase, ()))

    def fsync(self, fd: int) -> None:
        self._begin("fsync")
        for inode in self._handed_over:  # as it is now: nothing that is handed over is changed before the fsync
            self.calls.append(Call("fsync of what was handed over", self.phase, (), barrier=inode))
        self._handed_over.clear()
        self.calls.append(Call("fsync", self.phase, (), barrier=self.inode(fd)))

    def syncfs(self, fd: int) -> None:
        self._begin("syncfs")
        self.inode(fd)
        self.calls.append(Call("syncfs", self.phase, (), barrier=EVERYTHING))
