"""The system calls of the protocol alone, for many small updates: what no checking and no recording can go below.

It stages, applies, makes durable and removes with the same calls in the same order and by as many threads, hashes what
it reads and writes, and does nothing else: no decision, no lock, no journal, no evidence, no history. What an execution
takes beyond this is LonelyCat's own; what this takes beyond the naive loop or ``git apply`` is the protocol's.
"""

from __future__ import annotations

import hashlib
import os
import time
from functools import partial
from pathlib import Path

from benchmarks.workspace import text

from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.old_copies import ARCHIVE
from lonelycat.executor.removal import remove_transaction
from lonelycat.executor.side_by_side import wait_and_work


def bare_calls(root: Path, paths: list[str], before: int, after: int) -> float:
    """Replace revision ``before`` of ``paths`` by ``after``; return seconds."""
    contents = [text(number, after) for number in range(len(paths))]
    wanted = [hashlib.sha256(text(number, before)).digest() for number in range(len(paths))]
    places = [path.rpartition("/")[::2] for path in paths]
    fs = FileSystem()
    begun = time.perf_counter()
    transaction = f"bare-{after}"  # by its name ext4 chooses where its files go: never twice in the same place
    stages = fs.open_root(root / ".lonelycat/tx")
    fs.spread(stages)
    fs.make_directory(stages, transaction, 0o700)
    stage = fs.open_beneath(stages, transaction)
    top = fs.open_root(root)
    directories = {directory: fs.open_beneath(top, directory) for directory in {directory for directory, _ in places}}
    _stage(fs, stage, [(directories[directory], name) for directory, name in places], contents, wanted)
    fs.syncfs(stage)
    for number, (directory, name) in enumerate(places):
        fs.exchange(stage, f"{number:06d}.new", directories[directory], name)
        assert _digest(fs, stage, f"{number:06d}.new") == wanted[number]
    fs.syncfs(stage)
    remove_transaction(fs, stages, stage, transaction)
    seconds = time.perf_counter() - begun
    for fd in (stages, stage, top, *directories.values()):
        fs.close(fd)
    return seconds


def _stage(
    fs: FileSystem, stage: int, places: list[tuple[int, str]], contents: list[bytes], wanted: list[bytes]
) -> None:
    old: list[bytes] = []
    for number, (directory, name) in enumerate(places):
        assert _digest(fs, directory, name, old) == wanted[number]
    with fs.closing(fs.create_file(stage, ARCHIVE)) as fd:
        fs.write(fd, b"".join(old))
    fs.hard_link(stage, ARCHIVE, stage, f"{ARCHIVE}.link")
    fs.unlink(stage, f"{ARCHIVE}.link")
    written = list(enumerate(contents))
    wait_and_work(partial(_write, fs, stage, written[1::2]), partial(_write, fs, stage, written[::2]))


def _write(fs: FileSystem, stage: int, contents: list[tuple[int, bytes]]) -> None:
    for number, data in contents:
        fd = fs.create_file(stage, f"{number:06d}.new", 0o644)
        hashlib.sha256(data).digest()
        fs.write(fd, data)
        os.fstat(fd)
        fs.close(fd)


def _digest(fs: FileSystem, directory: int, name: str, keep: list[bytes] | None = None) -> bytes:
    fd = fs.open_file(directory, name)
    size = os.fstat(fd).st_size
    data = fs.read(fd, size + 1)
    if keep is not None:
        fs.kept_attributes(fd)
        keep.append(data)
    fs.close(fd)
    return hashlib.sha256(data).digest()
