"""Hostile company in a workspace: processes that swap directories for links and back, and write, as fast as they can.

Invariants:
- A swapper exchanges a directory with a symbolic link that leads out of the workspace, and back, without a moment in
  which the name is missing. It leaves every directory where it found it.
- A writer puts each content in place with one exchange and looks at what it displaced, so that the fate of every
  content is known: whoever destroyed one has said so in the log, before or right after.
- Neither resolves a path that another could have redirected: they work on descriptors opened before it all began.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import mmap
import os
import random
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)
DIRECTORIES = ("a", "b", "c/d", "e")
SWAPPED = ("a", "b", "c", "c/d", "e")
FILES = 5


def exchange(old: bytes, new: bytes, directory: int = _AT_FDCWD, flags: int = _EXCHANGE) -> None:
    """Swap ``old`` with ``new`` below ``directory``."""
    if _libc.renameat2(_AT_FDCWD, old, directory, new, flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), new)


@dataclass
class Ground:
    """A workspace, what lies around it, and the company."""

    base: Path
    company: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.base / "root"
        self.outside = self.base / "outside"
        self.aside = self.base / "aside"
        self.log = self.base / "log"
        self.swaps = mmap.mmap(-1, 8 * 16)
        self.stop = mmap.mmap(-1, 1)
        # Outside there are not all of the files: one that is made there would show.
        for top, says, files in ((self.root, b"first %s/%d", FILES), (self.outside, b"outside %s/%d", 2)):
            for directory in DIRECTORIES:
                (top / directory).mkdir(parents=True)
                for number in range(files):
                    (top / directory / f"{number}.txt").write_bytes(says % (directory.encode(), number))
        self.aside.mkdir()
        for directory in SWAPPED:
            (self.aside / directory.replace("/", "_")).symlink_to(self.outside / directory)
        self.log.touch()
        self.pinned = {name: os.open(self.root / name, os.O_RDONLY | os.O_DIRECTORY) for name in DIRECTORIES}

    def contents(self, directory: str) -> dict[str, bytes]:
        """Return what is really in ``directory``, wherever its name leads at the moment."""
        found = {}
        for name in os.listdir(self.pinned[directory]):
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.pinned[directory])
            except OSError:
                continue
            found[name] = os.read(fd, 1000)
            os.close(fd)
        return found

    # -- the company ---------------------------------------------------------------------------------------------

    def start(self, work: Callable[[], object]) -> None:
        """Fork a process that does ``work``."""
        pid = os.fork()
        if pid:
            self.company.append(pid)
            return
        status = 1
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - a child of a test has nobody above it that would tell
            (self.base / f"died.{os.getpid()}").write_text(traceback.format_exc())
        finally:
            os._exit(status)

    def end(self) -> None:
        """Let everybody finish what they are at."""
        self.stop[0] = 1
        for pid in self.company:
            _, status = os.waitpid(pid, 0)
            said = self.base / f"died.{pid}"
            assert status == 0, f"one of the company ended with {status}: {said.read_text() if said.exists() else ''}"
        self.company.clear()

    def start_swapper(self, number: int, directories: tuple[str, ...], burst: int) -> None:
        """Swap in bursts of ``burst``, with a breath between them."""
        self.start(lambda: self._swap(number, directories, burst))

    def start_writer(self, number: int, directories: tuple[str, ...], *, pause: float, shuffle: bool) -> None:
        """Write unique contents; with ``shuffle`` also swap files with each other."""
        self.start(lambda: self._write(number, directories, pause, shuffle))

    def swapped(self) -> int:
        """Return how many swaps were made."""
        return sum(int.from_bytes(self.swaps[at : at + 8], "little") for at in range(0, len(self.swaps), 8))

    def _swap(self, number: int, directories: tuple[str, ...], burst: int) -> None:
        pairs = [
            (os.fsencode(self.aside / name.replace("/", "_")), os.fsencode(self.root / name)) for name in directories
        ]
        done = 0
        renameat2 = _libc.renameat2
        while not self.stop[0]:
            for link, place in pairs:
                for _ in range(burst):
                    # There and back; the second undoes the first, if that was possible.
                    if renameat2(_AT_FDCWD, link, _AT_FDCWD, place, _EXCHANGE) == 0:
                        assert renameat2(_AT_FDCWD, link, _AT_FDCWD, place, _EXCHANGE) == 0
                        done += 2
            self.swaps[8 * number : 8 * number + 8] = done.to_bytes(8, "little")
            os.sched_yield()

    def swap_two(self, other: Path, burst: int) -> None:
        """Swap the workspace with ``other`` in bursts, and leave it where it was."""
        one, two, done = os.fsencode(self.root), os.fsencode(other), 0
        while not self.stop[0]:
            for _ in range(burst):
                exchange(one, two)
                exchange(one, two)
                done += 2
            self.swaps[0:8] = done.to_bytes(8, "little")
            if done % 1000 < 40:
                signal.sigtimedwait([], 0.002)

    def _write(self, number: int, directories: tuple[str, ...], pause: float, shuffle: bool) -> None:
        rng = random.Random(number)
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        draft = os.fsencode(self.base / f"draft.{number}")
        for count in itertools.count():
            if self.stop[0]:
                return
            directory, name = self.pinned[rng.choice(directories)], b"%d.txt" % rng.randrange(FILES)
            if shuffle and rng.random() < 0.3:
                self._shuffle(directory, name, b"%d.txt" % rng.randrange(FILES))
                continue
            token = b"outsider %d.%d" % (number, count)
            Path(os.fsdecode(draft)).write_bytes(token)
            os.write(log, b"wrote %s\n" % token)
            self._place(log, draft, directory, name)
            if pause:
                signal.sigtimedwait([], pause)

    @staticmethod
    def _shuffle(directory: int, one: bytes, other: bytes) -> None:
        _libc.renameat2(directory, one, directory, other, _EXCHANGE)  # where both are there

    @staticmethod
    def _place(log: int, draft: bytes, directory: int, name: bytes) -> None:
        """Put the draft in place; say what it displaced."""
        while True:
            try:
                exchange(draft, name, directory)
            except OSError as error:
                assert error.errno == errno.ENOENT, error
            else:
                displaced = Path(os.fsdecode(draft)).read_bytes()
                os.write(log, b"displaced %s\n" % displaced)
                Path(os.fsdecode(draft)).unlink()
                return
            try:
                exchange(draft, name, directory, _NOREPLACE)
                return
            except OSError as error:
                assert error.errno == errno.EEXIST, error

    # -- afterwards ----------------------------------------------------------------------------------------------

    def said(self) -> tuple[set[bytes], set[bytes]]:
        """Return what the company wrote, and what it displaced."""
        wrote: set[bytes] = set()
        displaced: set[bytes] = set()
        for line in self.log.read_bytes().splitlines():
            verb, _, token = line.partition(b" ")
            (wrote if verb == b"wrote" else displaced).add(token)
        return wrote, displaced

    def in_the_tree(self) -> set[bytes]:
        """Return the contents of the workspace's files."""
        return {content for directory in DIRECTORIES for content in self.contents(directory).values()}

    def in_the_state(self) -> set[bytes]:
        """Return the contents of quarantine and of what is left of transactions."""
        state = self.root / ".lonelycat"
        places = [*(state / "quarantine").rglob("*"), *(state / "tx").rglob("*")]
        return {place.read_bytes() for place in places if place.is_file() and not place.is_symlink()}


def fingerprint(top: Path) -> dict[str, tuple[object, ...]]:
    """Return everything that a write, a creation or a removal below ``top`` would change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (top, *sorted(top.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(top))] = (status.st_mode, status.st_ino, status.st_nlink, status.st_mtime_ns,
                                             status.st_ctime_ns, content)  # fmt: skip
    return found
