"""A file system in memory that folds names, served to the kernel through ``/dev/fuse``: no package is needed for it.

Run as ``python -m tests.hostile_tree.shim MOUNTPOINT FOLD``; prints ``ready`` once mounted, and ends when unmounted.
Takes root, as mounting does.

Invariants:
- Names that fold to the same key are one name, as on the file systems of macOS and Windows. A directory lists a name
  as it was first made.
- Everything else is as a Linux file system has it: hard links, symbolic links, NOREPLACE and EXCHANGE.
- The kernel caches nothing, so that every look is answered by the folding.

The numbers and forms are those of ``linux/fuse.h``, protocol 7.31.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import stat
import struct
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

MAGIC = 0x65735546
_MAX_WRITE = 128 * 1024
_HEADER = struct.Struct("<IIQQIIII")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_NOREPLACE, _EXCHANGE = 1, 2
_IGNORED = frozenset("\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff")
"""What HFS+ leaves out when it compares names."""


def fold_case(name: str) -> str:
    """Fold as a file system that keeps case and ignores it."""
    return name.casefold()


def fold_form(name: str) -> str:
    """Fold as a file system that normalises."""
    return unicodedata.normalize("NFD", name)


def fold_all(name: str) -> str:
    """Fold case and form and leave out what cannot be seen, as HFS+ does."""
    seen = "".join(sign for sign in name if sign not in _IGNORED)
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", seen).casefold())


FOLDS: dict[str, Callable[[str], str]] = {"case": fold_case, "form": fold_form, "all": fold_all}


class Node:
    """A file, directory or symbolic link."""

    _numbers = itertools.count(1)

    def __init__(self, mode: int, uid: int, gid: int) -> None:
        self.number = next(self._numbers)
        self.mode, self.uid, self.gid = mode, uid, gid
        self.data = bytearray()
        self.children: dict[str, tuple[bytes, Node]] = {}
        self.links = 2 if stat.S_ISDIR(mode) else 0
        self.atime = self.mtime = self.ctime = time.time_ns()

    def touched(self) -> None:
        """Note a change."""
        self.mtime = self.ctime = time.time_ns()

    def attributes(self) -> bytes:
        """Return the kernel's form."""
        times = [divmod(moment, 10**9) for moment in (self.atime, self.mtime, self.ctime)]
        size = len(self.data)
        return _ATTR.pack(
            self.number, size, (size + 511) // 512, *(s for s, _ in times), *(n for _, n in times),
            self.mode, self.links, self.uid, self.gid, 0, 4096, 0,
        )  # fmt: skip


class Refused(OSError):
    """An answer that is an error number."""


class Shim:
    """Answers the kernel's questions."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold
        root = Node(stat.S_IFDIR | 0o755, 0, 0)
        self.nodes = {1: root}

    def key(self, name: bytes) -> str:
        """Return what ``name`` is known by."""
        return self._fold(name.decode("utf-8", "surrogateescape"))

    def child(self, parent: int, name: bytes) -> Node:
        found = self.nodes[parent].children.get(self.key(name))
        if found is None:
            raise Refused(errno.ENOENT, "")
        return found[1]

    def entry(self, node: Node) -> bytes:
        self.nodes[node.number] = node
        return struct.pack("<QQQQII", node.number, 0, 0, 0, 0, 0) + node.attributes()

    def add(self, parent: int, name: bytes, node: Node) -> bytes:
        directory = self.nodes[parent]
        if self.key(name) in directory.children:
            raise Refused(errno.EEXIST, "")
        directory.children[self.key(name)] = (name, node)
        node.links += 0 if stat.S_ISDIR(node.mode) else 1
        node.ctime = time.time_ns()
        directory.touched()
        return self.entry(node)

    def made(self, parent: int, mode: int, uid: int, gid: int) -> Node:
        """Return a new node, which takes the group of a directory that says so, as on Linux."""
        above = self.nodes[parent]
        if above.mode & stat.S_ISGID:
            gid = above.gid
            mode |= stat.S_ISGID if stat.S_ISDIR(mode) else 0
        return Node(mode, uid, gid)

    def take(self, parent: int, name: bytes) -> Node:
        node = self.child(parent, name)
        del self.nodes[parent].children[self.key(name)]
        node.links -= 0 if stat.S_ISDIR(node.mode) else 1
        node.ctime = time.time_ns()
        self.nodes[parent].touched()
        return node

    def rename(self, parent: int, name: bytes, to: int, new: bytes, flags: int) -> bytes:
        node, there = self.child(parent, name), self.nodes[to].children.get(self.key(new))
        if flags == _EXCHANGE:
            if there is None:
                raise Refused(errno.ENOENT, "")
            own = self.nodes[parent].children[self.key(name)][0]
            self.nodes[to].children[self.key(new)] = (there[0], node)
            self.nodes[parent].children[self.key(name)] = (own, there[1])
        else:
            if there is not None and there[1] is not node:
                if flags == _NOREPLACE:
                    raise Refused(errno.EEXIST, "")
                if there[1].children:
                    raise Refused(errno.ENOTEMPTY, "")
                self.take(to, new)
            elif there is not None and flags == _NOREPLACE:
                raise Refused(errno.EEXIST, "")
            self.take(parent, name)
            self.add(to, new, node)
        self.nodes[parent].touched()
        self.nodes[to].touched()
        return b""

    # -- questions -----------------------------------------------------------------------------------------------

    def answer(self, opcode: int, number: int, uid: int, gid: int, body: bytes) -> bytes | None:
        """Return the answer's body, or None where the kernel expects none."""
        handler = getattr(self, f"_op_{opcode}", None)
        if handler is None:
            raise Refused(errno.ENOSYS, "")
        result: bytes | None = handler(number, uid, gid, body)
        return result

    def _op_1(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # LOOKUP
        return self.entry(self.child(number, body[:-1]))

    def _op_2(self, *_: object) -> None:  # FORGET
        return None

    _op_42 = _op_36 = _op_2  # BATCH_FORGET, INTERRUPT

    def _op_3(self, number: int, *_: object) -> bytes:  # GETATTR
        return struct.pack("<QII", 0, 0, 0) + self.nodes[number].attributes()

    def _op_4(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # SETATTR
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        atime, mtime, _, atime_ns, mtime_ns, _ = struct.unpack_from("<QQQIII", body, 32)
        mode, _, to_uid, to_gid = struct.unpack_from("<IIII", body, 68)
        node = self.nodes[number]
        if valid & 1:
            node.mode = mode
        node.uid = to_uid if valid & 2 else node.uid
        node.gid = to_gid if valid & 4 else node.gid
        if valid & 8:
            node.data = node.data[:size].ljust(size, b"\0")
            node.touched()
        node.atime = atime * 10**9 + atime_ns if valid & 16 else node.atime
        node.mtime = mtime * 10**9 + mtime_ns if valid & 32 else node.mtime
        node.ctime = time.time_ns()
        return self._op_3(number)

    def _op_5(self, number: int, *_: object) -> bytes:  # READLINK
        return bytes(self.nodes[number].data)

    def _op_6(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # SYMLINK
        name, target, _ = body.split(b"\0", 2)
        node = self.made(number, stat.S_IFLNK | 0o777, uid, gid)
        node.data = bytearray(target)
        return self.add(number, name, node)

    def _op_8(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # MKNOD
        (mode,) = struct.unpack_from("<I", body)
        return self.add(number, body[16:-1], self.made(number, mode, uid, gid))

    def _op_9(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # MKDIR
        (mode,) = struct.unpack_from("<I", body)
        return self.add(number, body[8:-1], self.made(number, stat.S_IFDIR | mode, uid, gid))

    def _op_10(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # UNLINK
        self.take(number, body[:-1])
        return b""

    def _op_11(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # RMDIR
        if self.child(number, body[:-1]).children:
            raise Refused(errno.ENOTEMPTY, "")
        self.take(number, body[:-1])
        return b""

    def _op_12(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # RENAME
        name, new, _ = body[8:].split(b"\0", 2)
        return self.rename(number, name, struct.unpack_from("<Q", body)[0], new, 0)

    def _op_45(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # RENAME2
        to, flags = struct.unpack_from("<QI", body)
        name, new, _ = body[16:].split(b"\0", 2)
        return self.rename(number, name, to, new, flags)

    def _op_13(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # LINK
        return self.add(number, body[8:-1], self.nodes[struct.unpack_from("<Q", body)[0]])

    def _op_14(self, number: int, *_: object) -> bytes:  # OPEN
        return struct.pack("<QII", number, 1, 0)  # FOPEN_DIRECT_IO

    def _op_27(self, number: int, *_: object) -> bytes:  # OPENDIR
        return struct.pack("<QII", number, 0, 0)

    def _op_35(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # CREATE
        _, mode = struct.unpack_from("<II", body)
        node = self.made(number, stat.S_IFREG | (mode & 0o7777), uid, gid)
        return self.add(number, body[16:-1], node) + struct.pack("<QII", node.number, 1, 0)

    def _op_15(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # READ
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self.nodes[number].data[offset : offset + size])

    def _op_16(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # WRITE
        _, offset, size = struct.unpack_from("<QQI", body)
        node = self.nodes[number]
        if len(node.data) < offset:
            node.data.extend(b"\0" * (offset - len(node.data)))
        node.data[offset : offset + size] = body[40 : 40 + size]
        node.touched()
        return struct.pack("<II", size, 0)

    def _op_17(self, *_: object) -> bytes:  # STATFS
        return struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096, 0)

    def _op_18(self, *_: object) -> bytes:  # RELEASE
        return b""

    _op_20 = _op_25 = _op_29 = _op_30 = _op_50 = _op_18  # FSYNC, FLUSH, RELEASEDIR, FSYNCDIR, SYNCFS

    def _op_43(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # FALLOCATE
        _, offset, length = struct.unpack_from("<QQQ", body)
        node = self.nodes[number]
        node.data.extend(b"\0" * (offset + length - len(node.data)))
        return b""

    def _op_28(self, number: int, uid: int, gid: int, body: bytes) -> bytes:  # READDIR
        _, offset, size = struct.unpack_from("<QQI", body)
        listed = [(b".", self.nodes[number]), (b"..", self.nodes[number]), *self.nodes[number].children.values()]
        answer = b""
        for at, (name, node) in enumerate(listed[offset:], offset + 1):
            item = struct.pack("<QQII", node.number, at, len(name), stat.S_IFMT(node.mode) >> 12) + name
            item += b"\0" * (-len(item) % 8)
            if len(answer) + len(item) > size:
                break
            answer += item
        return answer

    def _op_26(self, *_: object) -> bytes:  # INIT
        head = struct.pack("<IIIIHHII", 7, 31, 0, 0, 8, 6, _MAX_WRITE, 1)
        return head + b"\0" * (64 - len(head))


def serve(device: int, shim: Shim) -> None:
    """Answer until the file system is unmounted."""
    while True:
        try:
            question = os.read(device, _MAX_WRITE + 8192)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                continue
            raise
        _, opcode, unique, number, uid, gid, _, _ = _HEADER.unpack_from(question)
        code, body = 0, b""
        try:
            answer = shim.answer(opcode, number, uid, gid, question[_HEADER.size :])
            if answer is None:
                continue
            body = answer
        except Refused as refused:
            code = refused.errno or errno.EIO
        with_header = struct.pack("<IiQ", 16 + len(body), -code, unique) + body
        try:
            os.write(device, with_header)
        except OSError as error:
            if error.errno != errno.ENOENT:  # the question was interrupted
                raise


def main(place: str, fold: str) -> None:
    """Mount at ``place`` and serve."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
    if libc.mount(b"shim", os.fsencode(place), b"fuse", 0, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), place)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    serve(device, Shim(FOLDS[fold]))


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()), sys.argv[2])
