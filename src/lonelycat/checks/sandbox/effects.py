"""What a command left in the places that it could write to. Standard library only.

Invariants:
- A file that was only opened for writing, or written with the same bytes and mode, was not changed.
- The number of paths named is bounded, the number counted is not.
- What lies too deep to be looked at is told as its directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from lonelycat.checks.sandbox.copying import Manifest, is_too_deep, manifest
from lonelycat.checks.sandbox.room import Layer, Room
from lonelycat.checks.sandbox.spec import MAX_PATHS, Written

_CHUNK = 1024 * 1024
Effect = tuple[str, str]
"""``created``, ``changed`` or ``deleted``, and the path; a directory's ends with a slash."""


def in_workspace(room: Room) -> Written:
    """Return what was written in the workspace, by relative path."""
    if room.workspace is not None:
        return _collected(written(room.workspace.upper, room.workspace.lower))
    return _collected(_copy_effects(room))


def elsewhere(room: Room) -> Written:
    """Return what was written anywhere else, by absolute path."""
    return _collected(
        (kind, f"{layer.place}/{path}")
        for layer in room.layers
        for kind, path in written(layer.upper, layer.lower)
        if not _made_by_the_room(room, layer, path)
    )


def _made_by_the_room(room: Room, layer: Layer, path: str) -> bool:
    return f"{layer.place}/{path}".removesuffix("/") in room.own


def _collected(effects: Iterator[Effect]) -> Written:
    by_kind: dict[str, list[str]] = {"created": [], "changed": [], "deleted": []}
    named = more = 0
    for kind, path in effects:
        if named < MAX_PATHS:
            by_kind[kind].append(path)
            named += 1
        else:
            more += 1
    created, changed, deleted = (tuple(sorted(paths)) for paths in by_kind.values())
    return Written(created, changed, deleted, more)


def written(upper: str, lower: str | None) -> Iterator[Effect]:
    """Yield what ``upper`` holds that ``lower`` does not, both merged as an overlay does."""
    yield from _directory(upper, lower, "")


def _directory(upper: str, lower: str | None, above: str) -> Iterator[Effect]:
    before = _names(lower)
    if lower is not None and _hides_all(upper):
        for name in sorted(before - _names(upper)):
            yield from _gone(f"{lower}/{name}", above + name)
    for name in sorted(_names(upper)):
        here, there = f"{upper}/{name}", f"{lower}/{name}" if name in before else None
        yield from _entry(here, there, above + name)


def _entry(here: str, there: str | None, path: str) -> Iterator[Effect]:
    status = os.lstat(here)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        if there is not None:
            yield from _gone(there, path)
        return
    before = None if there is None else os.lstat(there)
    if not stat.S_ISDIR(status.st_mode):
        if before is not None and stat.S_ISDIR(before.st_mode):
            yield from _gone(str(there), path)
            before = None
        if before is None:
            yield "created", path
        elif not _same(here, status, str(there), before):
            yield "changed", path
        return
    if before is not None and not stat.S_ISDIR(before.st_mode):
        yield "deleted", path
        there = before = None
    if is_too_deep(path):
        yield "created" if before is None else "changed", path + "/"
        return
    inside = list(_directory(here, there, path + "/"))
    if before is None and not inside:
        yield "created", path + "/"
    elif before is not None and stat.S_IMODE(before.st_mode) != stat.S_IMODE(status.st_mode):
        yield "changed", path + "/"
    yield from inside


def _gone(there: str, path: str) -> Iterator[Effect]:
    """Yield every file of what is no longer there."""
    if not stat.S_ISDIR(os.lstat(there).st_mode):
        yield "deleted", path
        return
    names = [] if is_too_deep(path) else sorted(_names(there))
    if not names:
        yield "deleted", path + "/"
    for name in names:
        yield from _gone(f"{there}/{name}", f"{path}/{name}")


def _names(directory: str | None) -> set[str]:
    if directory is None:
        return set()
    with suppress(OSError):
        return set(os.listdir(directory))
    return set()


def _hides_all(directory: str) -> bool:
    """Whether nothing of the directory that was there before shows through."""
    try:
        return os.getxattr(directory, "user.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def _same(here: str, status: os.stat_result, there: str, before: os.stat_result) -> bool:
    if (status.st_mode, status.st_size) != (before.st_mode, before.st_size):
        return False
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(here) == os.readlink(there)
    if not stat.S_ISREG(status.st_mode):
        return True
    try:
        with open(here, "rb", buffering=0) as new, open(there, "rb", buffering=0) as old:
            while (data := new.read(_CHUNK)) == old.read(_CHUNK):
                if not data:
                    return True
    except OSError:
        pass  # what cannot be compared counts as changed
    return False


def _copy_effects(room: Room) -> Iterator[Effect]:
    """Like :func:`written`, by comparing with what the copy held at first; to touch a file is to change it here."""
    before, now = room.copied, manifest(str(room.copy))
    full_before, full_now = _directories_with_entries(before), _directories_with_entries(now)
    for path in sorted(now.keys() | before.keys()):
        old, new = before.get(path), now.get(path)
        was_directory, is_directory = _is_directory(old), _is_directory(new)
        if old is not None and (new is None or was_directory is not is_directory):
            if not was_directory:
                yield "deleted", path
            elif new is None and path not in full_before:
                yield "deleted", path + "/"
            old = None
        if new is None:
            continue
        if old is None:
            if not is_directory:
                yield "created", path
            elif path not in full_now:
                yield "created", path + "/"
        elif (old != new and (not is_directory or old[0] != new[0])) or (is_directory and is_too_deep(path)):
            yield "changed", path + "/" * is_directory


def _is_directory(entry: tuple[int, int, int, int] | None) -> bool:
    return entry is not None and stat.S_ISDIR(entry[0])


def _directories_with_entries(found: Manifest) -> set[str]:
    return {path.rpartition("/")[0] for path in found}
