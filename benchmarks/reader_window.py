"""How long a program that reads without asking can see half of a change, and what it costs to let others ask.

Run alone: ``python -m benchmarks.reader_window [FILES …]``. The window is from the first rename of an apply to its
last; the marks are what an execution writes for those who use ``lonelycat.read_settled``.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workspace import fill, text, throwaway

from lonelycat import FileChange
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.transaction import Transaction

ROUNDS = 7
FILES = (1, 10, 50, 1000)


@dataclass(frozen=True)
class Window:
    """Medians, in seconds: the window, the whole transaction that it is part of, and both marks together."""

    files: int
    open: float
    transaction: float
    marks: float


class _Watched(FileSystem):
    def __init__(self) -> None:
        self.renames: list[float] = []
        self.marks = 0.0

    def exchange(self, directory: int, name: str, to_directory: int, to_name: str) -> None:
        self.renames.append(time.perf_counter())
        super().exchange(directory, name, to_directory, to_name)
        self.renames.append(time.perf_counter())

    def write(self, fd: int, data: bytes) -> None:
        begun = time.perf_counter()
        super().write(fd, data)
        if data.lstrip(b"\n").startswith((b"settled", b"unsettled")):
            self.marks += time.perf_counter() - begun


def measure(files: int = 1000) -> Window:
    """Update ``files`` files a few times."""
    with throwaway() as root:
        paths = fill(root, files)
        runs = [_once(root, paths, revision) for revision in range(ROUNDS)]
    return Window(files, *(statistics.median(values) for values in zip(*runs, strict=True)))


def _once(root: Path, paths: list[str], revision: int) -> tuple[float, float, float]:
    changes = tuple(
        FileChange.update(path, text(number, revision), text(number, revision + 1)) for number, path in enumerate(paths)
    )
    layer = _Watched()
    begun = time.perf_counter()
    with Transaction(layer, root, f"exec_{revision}", revision + 1, lambda _: []) as transaction:
        transaction.stage(changes, {})
        transaction.apply()
        transaction.commit({})
        transaction.clean_up()
    return layer.renames[-1] - layer.renames[0], time.perf_counter() - begun, layer.marks


def main(arguments: list[str]) -> int:
    """Print one line for each number of files."""
    for files in [int(item) for item in arguments] or FILES:
        found = measure(files)
        print(
            f"{files} files: window {found.open * 1000:.2f} ms of {found.transaction * 1000:.1f} ms,"
            f" marks {found.marks * 1e6:.0f} µs"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
