"""A disk as a value: inodes, directory entries, and the smallest changes that a file system makes to them.

Invariants:
- An :class:`Inode` is never changed, only replaced, so that copies of a disk share them.
- An effect says all that is needed to make it again, on any disk: it is an assignment. Leaving out effects of a
  recorded sequence and making the others in their order gives what a power cut may leave.
- An inode exists as soon as an entry names it, as it was born: a file empty, with the mode it was created with; a
  symbolic link with its target; a directory without entries. No entry ever names an inode that does not exist.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.crash.trees import Entry as TreeEntry
from tests.crash.trees import File, Folder, Link, Tree

ROOT = 1
STATE = ".lonelycat"


class Inode(NamedTuple):
    """A file, link or directory: type and permission bits, owner, contents (a link's target)."""

    mode: int
    uid: int
    gid: int
    data: bytes = b""
    attributes: tuple[tuple[str, bytes], ...] = ()


class Entry(NamedTuple):
    """A name in a directory comes to mean ``inode``; None takes it away. Durable with the directory."""

    home: int
    name: str
    inode: int | None


class Data(NamedTuple):
    """Bytes come to stand at an offset of a file, which grows if it must. Durable with the file."""

    home: int
    offset: int
    data: bytes


class Size(NamedTuple):
    """A file comes to have a size; what it grows by is zeros. Durable with the file."""

    home: int
    size: int


class Field(NamedTuple):
    """One of an inode's fields comes to have a value. Durable with the inode."""

    home: int
    name: str
    value: object


Effect = Entry | Data | Size | Field
"""``home`` is the inode whose fsync makes the effect durable."""
Key = tuple[object, ...]


class Disk:
    """What a disk holds. ``links`` counts the entries that name an inode."""

    __slots__ = ("entries", "inodes", "links")

    def __init__(self, inodes: dict[int, Inode], entries: dict[int, dict[str, int]], links: dict[int, int]) -> None:
        self.inodes = inodes
        self.entries = entries
        self.links = links

    @classmethod
    def empty(cls, uid: int = 0, gid: int = 0) -> Disk:
        """Return a disk that holds a root directory and nothing else."""
        return cls({ROOT: Inode(stat.S_IFDIR | 0o755, uid, gid)}, {ROOT: {}}, {ROOT: 1})

    def copy(self) -> Disk:
        """Return a disk that can be changed without changing this one."""
        return Disk(dict(self.inodes), {at: dict(names) for at, names in self.entries.items()}, dict(self.links))

    def make(self, effect: Effect, born: Mapping[int, Inode]) -> None:
        """Make one effect; ``born`` tells how an inode that is not there yet begins."""
        home = effect.home
        if home not in self.inodes:
            self._give_birth(home, born)
        if isinstance(effect, Entry):
            names = self.entries[home]
            before = names.pop(effect.name, None)
            if before is not None:
                self.links[before] -= 1
            inode = effect.inode
            if inode is not None:
                if inode not in self.inodes:
                    self._give_birth(inode, born)
                names[effect.name] = inode
                self.links[inode] += 1
            return
        node = self.inodes[home]
        if isinstance(effect, Data):
            data, offset, end = node.data, effect.offset, effect.offset + len(effect.data)
            self.inodes[home] = node._replace(data=data[:offset].ljust(offset, b"\0") + effect.data + data[end:])
        elif isinstance(effect, Size):
            self.inodes[home] = node._replace(data=node.data[: effect.size].ljust(effect.size, b"\0"))
        else:
            self.inodes[home] = node._replace(**{effect.name: effect.value})

    def _give_birth(self, inode: int, born: Mapping[int, Inode]) -> None:
        node = born[inode]
        self.inodes[inode] = node
        self.links[inode] = 0
        if stat.S_ISDIR(node.mode):
            self.entries[inode] = {}

    def find(self, path: str) -> int | None:
        """Return the inode at ``path`` below the root, or None."""
        at: int | None = ROOT
        for name in path.split("/") if path else ():
            at = self.entries.get(at, {}).get(name) if at is not None else None
        return at

    def path_of(self, inode: int) -> str | None:
        """Return a path that leads to ``inode``, or None when none does."""
        return next((path for path, at in self.walk() if at == inode), "" if inode == ROOT else None)

    def walk(self, below: int = ROOT, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield (path, inode) of everything that has a name below a directory."""
        for name, inode in self.entries[below].items():
            yield prefix + name, inode
            if inode in self.entries:
                yield from self.walk(inode, f"{prefix}{name}/")

    def checked(self) -> Iterator[Disk]:
        """Yield what the file system's check may make of this disk: a directory keeps only one of two names."""
        twice = next((at for at in self.entries if self.links[at] > 1), None)
        if twice is None:
            yield self
            return
        names = [(home, name) for home, held in self.entries.items() for name, at in held.items() if at == twice]
        for kept in names:
            disk = self.copy()
            for home, name in names:
                if (home, name) != kept:
                    disk.make(Entry(home, name, None), {})
            yield from disk.checked()

    def key(self) -> Key:
        """Return what tells this disk from others of the same recording: everything that has a name."""
        found: list[object] = []
        waiting = [ROOT]
        while waiting:
            at = waiting.pop()
            names = self.entries[at]
            found += (at, self.inodes[at].mode, frozenset(names.items()))
            for inode in sorted(names.values()):
                if inode in self.entries:
                    waiting.append(inode)
                else:
                    found.append(self.inodes[inode])
        return tuple(found)

    def tree(self) -> Tree:
        """Return the workspace as a value, without the state directory."""
        return {
            path: self._shown(inode)
            for path, inode in self.walk()
            if path != STATE and not path.startswith(STATE + "/")
        }

    def _shown(self, inode: int) -> TreeEntry:
        node = self.inodes[inode]
        if stat.S_ISDIR(node.mode):
            return Folder(stat.S_IMODE(node.mode))
        return Link(node.data) if stat.S_ISLNK(node.mode) else File(node.data, stat.S_IMODE(node.mode))
