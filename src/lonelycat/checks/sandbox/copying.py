"""Copies a workspace where no overlay can be had, and remembers what was copied. Standard library only."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator

Manifest = dict[str, tuple[int, int, int, int]]
"""By relative path: mode, size, time of change in nanoseconds, inode."""
_MAX_DEPTH = 100
_MAX_PATH_BYTES = 3_500
"""With one more name and what is before it, still less than the kernel takes for one path."""


def copy_tree(source: str, target: str, without: tuple[str, ...]) -> None:
    """Copy directories, regular files and symbolic links with modes and times, but no entry ``without`` of the root."""
    for name in sorted(os.listdir(source)):
        if name not in without:
            _copy(f"{source}/{name}", f"{target}/{name}")
    shutil.copystat(source, target)


def _copy(source: str, target: str) -> None:
    mode = os.lstat(source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISDIR(mode):
        os.mkdir(target)
        for name in os.listdir(source):
            _copy(f"{source}/{name}", f"{target}/{name}")
        shutil.copystat(source, target)
    elif stat.S_ISREG(mode):
        shutil.copy2(source, target)


def is_too_deep(path: str) -> bool:
    """Whether what lies in the directory at ``path``, relative to the workspace, is not looked at one by one."""
    return path.count("/") > _MAX_DEPTH or len(os.fsencode(path)) > _MAX_PATH_BYTES


def manifest(root: str) -> Manifest:
    """Return what lies below ``root``, directories included, but nothing of those that are too deep."""
    return dict(_entries(root, ""))


def _entries(root: str, above: str) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    with os.scandir(f"{root}/{above}" if above else root) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            path = above + entry.name
            yield path, (status.st_mode, status.st_size, status.st_ctime_ns, status.st_ino)
            if stat.S_ISDIR(status.st_mode) and not is_too_deep(path):
                yield from _entries(root, path + "/")
