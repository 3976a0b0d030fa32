"""The tree that a command finds itself in, made in a mount namespace of its own. Standard library only.

Invariants:
- Everything that can be written lies on one tmpfs of bounded size, which goes with the namespace: nothing of it is
  ever on the host, and nothing is left when every process in it was killed.
- The workspace and each directory of the host are overlays: what is written goes to the tmpfs, where it is looked at
  afterwards. Where an overlay is refused, the host's directory is read-only and the workspace is a copy.
- What is hidden is not reachable by any other path of the tree.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import NamedTuple

from lonelycat.checks.sandbox import kernel
from lonelycat.checks.sandbox.applying import apply
from lonelycat.checks.sandbox.copying import Manifest, copy_tree, manifest
from lonelycat.checks.sandbox.spec import HIDDEN, LISTING, Rehearsal, Spec

OLD, NEW = "/old", "/new"
SUPERVISOR = "/run/lonelycat-supervisor.py"
_BASE = "/tmp"  # noqa: S108 - a directory that every system has, to mount on
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_SLACK = 64 * 1024 * 1024
"""How much the tmpfs has over the limit, so that passing the limit is seen before the disk is full."""
_INODES = 1_000_000
MAX_COPY_BYTES = 4 * 1024 * 1024 * 1024


class NoOverlay(Exception):
    """An overlay cannot be had here."""


class Layer(NamedTuple):
    """A place that can be written to, and where what is written there goes.

    Attributes:
        place: its path for the command.
        upper: the directory that holds what was written.
        lower: the directory that holds what was there before, or None for a place that was empty.
    """

    place: str
    upper: str
    lower: str | None


class Room:
    """The tree; :meth:`build` makes it below :data:`NEW`."""

    def __init__(self, spec: Spec, supervisor: bytes, contents: int) -> None:
        self._spec = spec
        self._contents = contents
        self._supervisor = supervisor
        self._count = 0
        self._overlays = spec.overlays
        self.layers: list[Layer] = []
        self.workspace: Layer | None = None
        """The workspace's own layer; None where it is a copy."""
        self.copy: str | None = None
        """Where the copy of the workspace lies, if it is one; :attr:`copied` is what it held at first."""
        self.copied: Manifest = {}
        self.own: set[str] = set()
        """Paths that the room itself made in writable places."""

    def build(self) -> None:
        """Mount everything; the calling process then lives in the bare room that holds both trees."""
        size = self._spec.max_written_bytes + _SLACK
        if self._spec.rehearsal is not None:
            size += self._spec.rehearsal.content_bytes
        kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        options = f"size={size},nr_inodes={_INODES},mode=755"
        kernel.mount("tmpfs", _BASE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
        for name in (OLD, NEW):
            os.mkdir(_BASE + name)
        kernel.pivot_root(_BASE, _BASE + OLD)
        os.chdir("/")
        for name in ("/lower", "/upper", "/merging", "/private", "/proc"):
            os.mkdir(name)
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        kernel.mount(NEW, NEW, flags=kernel.MS_BIND)
        self._overlays = self._spec.overlays and _keeps_user_attributes("/upper")
        for name in sorted(os.listdir(OLD)):
            self._host_entry(name)
        self._devices()
        self._private_places()
        for target, text in self._spec.links:
            self._link(target, text)
        for path in sorted(self._spec.shown):
            self._show(path)
        self._workspace()
        for path in self._spec.masked:
            self._mask(path)
        self._own_files()
        kernel.mount("", NEW, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)

    # -- the host ------------------------------------------------------------------------------------------------

    def _host_entry(self, name: str) -> None:
        """Show one entry of the host's root, and keep it reachable for the programs of the sandbox itself."""
        there, here = f"{OLD}/{name}", f"{NEW}/{name}"
        mode = os.lstat(there).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(there), here)
        elif stat.S_ISDIR(mode):
            os.mkdir(here)
            if f"/{name}" not in HIDDEN:
                self._show_directory(there, f"/{name}")
        if not os.path.lexists(f"/{name}"):
            os.symlink(f"old/{name}", f"/{name}")

    def _show_directory(self, there: str, place: str) -> None:
        """Put an overlay of ``there`` on ``place``, or where the kernel refuses one, itself, read-only."""
        try:
            layer = self._new_layer(there, place)
            _mount_overlay(NEW + place, str(layer.lower), layer.upper, layer.upper.replace("upper", "merging"))
            self.layers.append(layer)
        except NoOverlay:
            self._read_only(there, NEW + place)

    def _new_layer(self, there: str, place: str) -> Layer:
        if not self._overlays:
            raise NoOverlay
        self._count += 1
        lower, upper = f"/lower/{self._count}", f"/upper/{self._count}"
        os.mkdir(lower)
        try:  # not for its own sake: a plain name needs no escaping, and other mounts below it are refused here
            kernel.mount(there, lower, flags=kernel.MS_BIND)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
            raise NoOverlay from error
        os.mkdir(upper)
        os.mkdir(f"/merging/{self._count}")
        _take_after(lower, upper)
        return Layer(place, upper, lower)

    def _read_only(self, there: str, here: str) -> None:
        kernel.mount(there, here, flags=kernel.MS_BIND | kernel.MS_REC)
        kernel.make_read_only(here)

    # -- what is private -----------------------------------------------------------------------------------------

    def _devices(self) -> None:
        kernel.mount("tmpfs", f"{NEW}/dev", "tmpfs", kernel.MS_NOSUID, "size=65536,mode=755")
        for name in _DEVICES:
            os.close(os.open(f"{NEW}/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
            kernel.mount(f"{OLD}/dev/{name}", f"{NEW}/dev/{name}", flags=kernel.MS_BIND)
        for name, target in _DEVICE_LINKS.items():
            os.symlink(target, f"{NEW}/dev/{name}")
        os.mkdir(f"{NEW}/dev/pts")
        kernel.mount(
            "devpts",
            f"{NEW}/dev/pts",
            "devpts",
            kernel.MS_NOSUID | kernel.MS_NOEXEC,
            "newinstance,ptmxmode=0666,mode=620",
        )
        os.mkdir(f"{NEW}/dev/shm")  # noqa: S108 - the command's own
        processors = "/sys/devices/system/cpu"
        if os.path.isdir(OLD + processors):
            with suppress(OSError):  # some programs count processors there; none depends on it
                os.makedirs(NEW + processors)
                self._read_only(OLD + processors, NEW + processors)

    def _private_places(self) -> None:
        places = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/dev/shm": 0o1777, "/run": 0o755}  # noqa: S108
        for place, mode in {**places, **dict.fromkeys(self._spec.homes, 0o700)}.items():
            if place.startswith("/var/") and not os.path.isdir(NEW + place):
                continue
            self._make_directories(place)
            self._count += 1
            private = f"/private/{self._count}"
            os.mkdir(private)
            os.chmod(private, mode)
            kernel.mount(private, NEW + place, flags=kernel.MS_BIND)
            if place in self._spec.homes:
                self.layers.append(Layer(place, private, None))

    def _make_directories(self, place: str) -> None:
        """Make what is missing of ``place``, which holds no symbolic link, and remember that it was not the command."""
        path = ""
        for name in place.strip("/").split("/"):
            path += "/" + name
            if not os.path.lexists(NEW + path):
                os.mkdir(NEW + path)
                self.own.add(path)

    def _link(self, place: str, text: str) -> None:
        self._make_directories(os.path.dirname(place))
        if not os.path.lexists(NEW + place):
            os.symlink(text, NEW + place)
            self.own.add(place)

    def _show(self, place: str) -> None:
        if os.path.isdir(OLD + place):
            self._make_directories(place)
        else:
            self._make_directories(os.path.dirname(place))
            if not os.path.lexists(NEW + place):
                os.close(os.open(NEW + place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                self.own.add(place)
        self._read_only(OLD + place, NEW + place)

    def _mask(self, place: str) -> None:
        if not os.path.lexists(NEW + place):
            return
        self._count += 1
        empty = f"/private/{self._count}"
        if os.path.isdir(NEW + place):
            os.mkdir(empty, 0o500)
        else:
            os.close(os.open(empty, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400))
        kernel.mount(empty, NEW + place, flags=kernel.MS_BIND)
        kernel.make_read_only(NEW + place)

    def _own_files(self) -> None:
        """The supervisor is a copy: what a change does to LonelyCat's own files does not supervise the change."""
        for place, data in ((SUPERVISOR, self._supervisor), (LISTING, os.fsencode(self._spec.listing))):
            with open(NEW + place, "xb") as file:
                file.write(data)
            kernel.mount(NEW + place, NEW + place, flags=kernel.MS_BIND)
            kernel.make_read_only(NEW + place)

    # -- the workspace -------------------------------------------------------------------------------------------

    def _workspace(self) -> None:
        place = self._spec.workspace
        if place == "/":
            raise OSError(errno.EINVAL, "the root of the file system cannot be the workspace of a sandbox")
        self._make_directories(place)
        try:
            self.workspace = self._overlaid_workspace()
        except NoOverlay:
            self._copied_workspace()

    def _overlaid_workspace(self) -> Layer:
        spec, place = self._spec, self._spec.workspace
        layer = self._new_layer(OLD + place, place)
        mask = f"/private/{self._count}-without"
        os.mkdir(mask)
        _take_after(OLD + place, mask)
        for name in spec.without:
            os.mknod(f"{mask}/{name}", stat.S_IFCHR, 0)  # an overlay's sign for "there is no such file"
        lowers = f"{mask}:{layer.lower}"
        if spec.rehearsal is not None:
            lowers = f"{self._rehearsed(spec.rehearsal, lowers)}:{lowers}"
        os.mkdir("/before")
        _mount_overlay("/before", lowers)
        _mount_overlay(NEW + place, lowers, layer.upper, layer.upper.replace("upper", "merging"))
        return layer._replace(lower="/before")

    def _rehearsed(self, rehearsal: Rehearsal, lowers: str) -> str:
        """Put the change in place on an overlay of its own, and return the directory that then holds it."""
        for name in ("/rehearsal", "/rehearsal/upper", "/rehearsal/work", "/rehearsal/tree", "/rehearsal/stage"):
            os.mkdir(name)
        _take_after(OLD + self._spec.workspace, "/rehearsal/upper")
        _mount_overlay("/rehearsal/tree", lowers, "/rehearsal/upper", "/rehearsal/work")
        apply(rehearsal, "/rehearsal/tree", self._contents, "/rehearsal/stage")
        kernel.unmount("/rehearsal/tree")
        return "/rehearsal/upper"

    def _copied_workspace(self) -> None:
        place = self._spec.workspace
        self._count += 1
        copy = f"/private/{self._count}"
        os.mkdir(copy)
        kernel.mount("tmpfs", copy, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={MAX_COPY_BYTES},mode=755")
        copy_tree(OLD + place, copy, self._spec.without)
        if self._spec.rehearsal is not None:
            os.mkdir("/stage")
            apply(self._spec.rehearsal, copy, self._contents, "/stage")
        kernel.mount(copy, NEW + place, flags=kernel.MS_BIND)
        self.copy = copy
        self.copied = manifest(copy)


def _take_after(model: str, directory: str) -> None:
    """Give ``directory`` the mode and owner of ``model``, which an overlay shows as those of its root.

    An owner that has no name here cannot be given; nobody may write there then, as the owner is not the one who runs.
    """
    status = os.lstat(model)
    os.chmod(directory, stat.S_IMODE(status.st_mode))
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        try:
            os.chown(directory, status.st_uid, status.st_gid)
        except OSError:
            os.chmod(directory, stat.S_IMODE(status.st_mode) & ~0o222)


def _mount_overlay(target: str, lowers: str, upper: str | None = None, work: str | None = None) -> None:
    """Merge ``lowers`` on ``target``, writable where there is an ``upper``."""
    options = f"lowerdir={lowers},userxattr" + (f",upperdir={upper},workdir={work}" if upper else "")
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | (0 if upper else kernel.MS_RDONLY)
    try:
        kernel.mount("overlay", target, "overlay", flags, options)
    except OSError as error:  # the file system cannot be part of one, or the kernel has none
        raise NoOverlay from error


def _keeps_user_attributes(directory: str) -> bool:
    """Whether an overlay here can replace a directory by a new one, which it notes in an attribute (Linux 6.6)."""
    try:
        os.setxattr(directory, "user.overlay.probe", b"y")
    except OSError:
        return False
    return True
