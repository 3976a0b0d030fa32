"""Real file systems on loop devices, and what a power cut leaves of them.

Invariants:
- All of it happens in a process of its own with its own mount namespace (:func:`in_own_mounts`), on loop devices that
  detach themselves: whatever kills that process, the kernel takes every mount and loop device away with it.
- A cut is final: after it nothing that the process still does reaches the disk.

How the power is cut:
- ``nologflush``, ``logflush``: the shutdown ioctl (``EXT4_IOC_SHUTDOWN`` and ``XFS_IOC_GOINGDOWN``, one number), which
  stops a live file system at once; what it had not written is gone, the log is or is not forced out first.
- ``image``: the disk as it is at this moment is copied, and the copy is what is mounted next. It works under any file
  system; btrfs has no shutdown ioctl before Linux 6.19.

ext4 without a journal is not among them: after a power cut its repair may leave names that lead to whatever reused
their inodes, in any program's directories. No protocol above it can make that whole.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import os
import pickle
import struct
import subprocess
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from tests.debian import need_root, program

MIB = 1024 * 1024
CutKind = Literal["nologflush", "logflush", "image"]
T = TypeVar("T")

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
MS_BIND = 4096
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MNT_DETACH = 2
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
_GOING_DOWN = 0x8004587D
_GOING_FLAGS = {"logflush": 1, "nologflush": 2}
_TRIES = 100


def in_memory(base: Path, work: Callable[[], T]) -> T:
    """Return what ``work`` returns; as root with a tmpfs at ``base``, where nothing has to wait for a disk."""
    if os.geteuid() != 0:
        return work()

    def mounted() -> T:
        mount("tmpfs", base, "tmpfs")
        return work()

    return in_own_mounts(mounted)


@dataclass(frozen=True)
class Kind:
    """One kind of file system: how it is made and mounted, and how the power can be cut under it.

    Attributes:
        bytes: the size of the disk; the least that its mkfs takes, or little more.
        cuts: the ways in which the power is cut under it.
    """

    name: str
    type: str
    package: str
    make: tuple[str, ...]
    bytes: int
    cuts: tuple[CutKind, ...]
    options: str = ""


_EXT4 = ("mkfs.ext4", "-q", "-F", "-b", "1024", "-N", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=1")
_XFS = ("mkfs.xfs", "-q", "-f", "-K", "--unsupported")  # the flag allows for a disk below 300 MiB
_BTRFS = ("mkfs.btrfs", "-q", "-f", "-K", "--mixed")  # data and metadata together, for a disk below 109 MiB
_EVERY_WAY: tuple[CutKind, ...] = ("nologflush", "logflush", "image")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("ext4", "ext4", "e2fsprogs", (*_EXT4, "-J", "size=4"), 24 * MIB, _EVERY_WAY, "data=ordered"),
        Kind("xfs", "xfs", "xfsprogs", _XFS, 64 * MIB, _EVERY_WAY),
        # No commit of its own accord comes between.
        Kind("btrfs", "btrfs", "btrfs-progs", _BTRFS, 32 * MIB, ("image",), "commit=300"),
    )
}


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)


def mount(source: str, place: Path, type_: str, options: str = "", flags: int = 0) -> None:
    """Mount ``source`` at ``place``."""
    _call("mount", source.encode(), os.fsencode(place), type_.encode(), ctypes.c_ulong(flags), options.encode())


def unmount(place: Path) -> None:
    """Unmount ``place``.

    Raises:
        AssertionError: something of this process still holds it: a descriptor that was not closed.
    """
    try:
        _call("umount2", os.fsencode(place), 0)
    except OSError as error:
        held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)]
        left = [path for path in held if path.startswith(str(place))]
        raise AssertionError(f"{place} cannot be unmounted ({error.strerror}); left open: {left}") from error


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def in_own_mounts(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, run in a forked process with a mount namespace of its own.

    Raises:
        AssertionError: with the child's traceback, when ``work`` raises.
    """
    need_root("mounting file systems")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            gc.freeze()  # what was here before is never collected, so never copied for the children to come
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                try:
                    _call("unshare", _CLONE_NEWNS)
                    mount("none", Path("/"), "none", flags=_MS_REC | _MS_PRIVATE)
                    said = (True, work())
                except BaseException:  # noqa: BLE001 — whatever it is goes to the parent
                    said = (False, traceback.format_exc())
                pickle.dump(said, pipe)
            status = 0
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert answer, f"the process with the mounts ended with {os.waitstatus_to_exitcode(status)} and without a word"
    good, said = pickle.loads(answer)  # noqa: S301 — written by our own child
    if not good:
        raise AssertionError(said)
    return said  # type: ignore[no-any-return]  # what work returned


class Disk:
    """A file system on a loop device, in a mount namespace of the process's own.

    Args:
        base: an empty directory; a tmpfs for the disk's image and the mount point are made in it.
    """

    def __init__(self, kind: Kind, base: Path) -> None:
        self.kind = kind
        self.place = base / "mounted"
        self._images = base / "images"
        self._image = self._images / "0"
        self._device = -1
        self.name = ""
        for directory in (self.place, self._images):
            directory.mkdir(parents=True)
        mount("tmpfs", self._images, "tmpfs", "size=512m")
        with self._image.open("wb") as file:
            file.truncate(kind.bytes)
        tool, *arguments = kind.make
        subprocess.run([program(tool, kind.package), *arguments, self._image], check=True, capture_output=True)
        self._attach()
        self._mount()

    def _attach(self) -> None:
        backing = os.open(self._image, os.O_RDWR | os.O_CLOEXEC)
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(_TRIES):
                number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
                device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
                config = bytearray(304)  # struct loop_config: fd, block size, then struct loop_info64
                struct.pack_into("=II", config, 0, backing, 0)
                struct.pack_into("=I", config, 8 + 52, _LO_FLAGS_AUTOCLEAR)
                try:
                    fcntl.ioctl(device, _LOOP_CONFIGURE, bytes(config))
                except OSError as error:  # another process was faster
                    os.close(device)
                    if error.errno != errno.EBUSY:
                        raise
                    continue
                self._device, self.name = device, f"/dev/loop{number}"
                return
            raise OSError(errno.EBUSY, "no loop device could be had")
        finally:
            os.close(control)
            os.close(backing)

    def _detach(self) -> None:
        os.close(self._device)
        self._device = -1

    def _mount(self) -> None:
        mount(self.name, self.place, self.kind.type, self.kind.options)

    def cut(self, how: CutKind) -> None:
        """Cut the power."""
        if how == "image":
            self._copy()
            return
        root = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(root, _GOING_DOWN, struct.pack("I", _GOING_FLAGS[how]))
        finally:
            os.close(root)

    def _copy(self) -> None:
        """Take the disk as it is, between two writes to it."""
        after = self._images / str(int(self._image.name) + 1)
        for _ in range(_TRIES):
            written = self._writes()
            _copy_sparse(self._image, after)
            if self._writes() == written:
                self._after = after
                return
            after.unlink()
        raise OSError(errno.EAGAIN, "the disk did not come to rest")

    def _writes(self) -> str:
        return " ".join(Path(f"/sys/block/{Path(self.name).name}/stat").read_text().split()[4:7])

    def power_on(self) -> None:
        """Mount what the cut left, by a device that remembers nothing.

        One that stays has pages that the shutdown ioctl kept from being written, and not from being read again: ext4
        then finds bitmaps of before the cut beside checksums of after it.
        """
        unmount(self.place)
        self._detach()
        after = self._images / str(int(self._image.name) + 1)
        if after.exists():
            self._image.unlink()
            self._image = after
        self._attach()
        self._mount()

    def close(self) -> None:
        """Unmount, whatever still holds it, and detach."""
        for place in (self.place, self._images):
            with suppress(OSError):
                _call("umount2", os.fsencode(place), _MNT_DETACH)
        self._detach()


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy a file but for its holes."""
    with source.open("rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        start = 0
        while start < size:
            try:
                start = os.lseek(old.fileno(), start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            end = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            offset = start
            while offset < end:
                offset += os.copy_file_range(old.fileno(), new.fileno(), end - offset, offset, offset)
            start = end
