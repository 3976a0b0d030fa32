"""Where contents go that have no place in the tree and are nobody's to destroy: ``.lonelycat/quarantine``."""

from __future__ import annotations

import errno
import os
from itertools import chain

from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.state_directory import open_state_directory
from lonelycat.executor.tree import PinnedTree

QUARANTINE = "quarantine"


def quarantine(filesystem: FileSystem, tree: PinnedTree, stage: int, name: str, execution_id: str) -> str:
    """Give a file of the stage a second name below ``.lonelycat/quarantine`` and return that place.

    A file that an interrupted undo put there already keeps its place.
    """
    with filesystem.closing(open_state_directory(filesystem, tree.root, QUARANTINE)) as directory:
        wanted = f"{execution_id}.{name}"
        for place in chain((wanted,), (f"{wanted}.{n}" for n in range(1, 10_000))):
            try:
                _link_or_move(filesystem, stage, name, directory, place)
            except FileExistsError:
                if not os.path.samestat(filesystem.stat(directory, place), filesystem.stat(stage, name)):
                    continue
            filesystem.fsync(directory)
            return f".lonelycat/{QUARANTINE}/{place}"
    raise OSError(errno.EEXIST, "no free name in quarantine")


def _link_or_move(filesystem: FileSystem, stage: int, name: str, directory: int, place: str) -> None:
    try:
        filesystem.hard_link(stage, name, directory, place)
    except PermissionError:  # a directory, or an object that cannot have two names
        filesystem.move(stage, name, directory, place)
