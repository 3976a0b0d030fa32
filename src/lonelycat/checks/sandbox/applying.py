"""Puts a change in place in a tree that is nobody else's. Standard library only.

Invariant: the tree then equals the one that the executor makes of the same change: bytes, modes, links, and which
directories come and go. A test holds the two against each other.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from lonelycat.checks.sandbox.spec import Operation, Rehearsal

_CHUNK = 1024 * 1024


def apply(rehearsal: Rehearsal, root: str, contents: int, stage: str) -> None:
    """Apply ``rehearsal`` below ``root``.

    Args:
        contents: descriptor of the file that holds the new contents.
        stage: an empty directory for what is copied from files that may be gone by the time it is needed.
    """
    copied = [each for each in (*rehearsal.early, *rehearsal.rest) if each.copied_from is not None]
    staged = {each.path: f"{stage}/{number}" for number, each in enumerate(copied)}
    for each in copied:
        _copy_object(f"{root}/{each.copied_from}", staged[each.path])
    for each in rehearsal.early:
        os.unlink(f"{root}/{each.path}")
    for path in rehearsal.rooms:
        os.rmdir(f"{root}/{path}")
    for path in rehearsal.made:
        if not os.path.isdir(f"{root}/{path}") or os.path.islink(f"{root}/{path}"):
            os.mkdir(f"{root}/{path}")
    for each in rehearsal.rest:
        _put(each, f"{root}/{each.path}", contents, staged.get(each.path))
    for path in rehearsal.pruned:
        try:
            os.rmdir(f"{root}/{path}")
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise


def _put(operation: Operation, place: str, contents: int, staged: str | None) -> None:
    with suppress(FileNotFoundError):
        os.unlink(place)
    if operation.kind == "link":
        target = os.readlink(staged) if staged else os.fsdecode(b"".join(_chunks(operation, contents)))
        os.symlink(target, place)
    elif operation.kind == "file":
        mode = operation.mode or 0
        file = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        try:
            for data in _file_chunks(staged) if staged else _chunks(operation, contents):
                _write(file, data)
            if operation.owner is not None:
                with suppress(OSError):
                    os.fchown(file, *operation.owner)
            os.fchmod(file, mode)
        finally:
            os.close(file)


def _chunks(operation: Operation, contents: int) -> Iterator[bytes]:
    place, end = operation.offset, operation.offset + operation.size
    while place < end:
        data = os.pread(contents, min(_CHUNK, end - place), place)
        if not data:
            raise OSError(errno.EIO, f"the content of {operation.path!a} ends early")
        place += len(data)
        yield data


def _file_chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            yield data


def _copy_object(source: str, target: str) -> None:
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    file = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        for data in _file_chunks(source):
            _write(file, data)
    finally:
        os.close(file)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
