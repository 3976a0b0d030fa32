"""What undo and the clean-up see: what a path of the tree or a name in the stage holds, and whose it is.

Invariant: a look never raises for what somebody else did to the tree; what cannot be a part of a change is FOREIGN.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem, is_same_file
from lonelycat.executor.layout import Intent
from lonelycat.executor.operations import FileOperation, Identity, split
from lonelycat.executor.tree import Found, PinnedTree
from lonelycat.executor.undo_proof import ANY_LINKS, IN_THE_WAY


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something that is neither the old nor the new content, perhaps not even a file."""


FOREIGN = Foreign()
Holding = Found | Foreign | None


def holds(holding: Holding, identity: Identity | None) -> bool:
    """Whether it is ``identity``; None is nothing at all."""
    return holding is None if identity is None else isinstance(holding, Found) and holding.identity == identity


def still_waits(operation: FileOperation, staged: Holding, current: Holding) -> bool:
    """Whether our own new file lies unused in the stage, so that an equal one in the tree is somebody else's."""
    if not isinstance(staged, Found) or not isinstance(current, Found) or staged.identity != operation.new:
        return False
    return not is_same_file(staged.status, current.status)


class UndoView:
    """The tree and the stage of one transaction, as undo looks at them."""

    def __init__(self, filesystem: FileSystem, tree: PinnedTree, stage: int, intent: Intent) -> None:
        self.fs = filesystem
        self.tree = tree
        self.stage = stage
        self.intent = intent
        self.rooms = {directory.path for directory in intent.rooms}

    def in_tree(self, path: str) -> Holding:
        """Return what ``path`` holds in the workspace."""
        directory, name = split(path)
        try:
            return self.tree.look_in(self.tree.directory(directory), name, path, links=ANY_LINKS)
        except FileNotFoundError:
            return None
        except LonelyCatError as error:
            # A directory that made room for the file, or what made room for its directory, is back already.
            back = error.code in IN_THE_WAY or (error.code == "PATH_IS_DIRECTORY" and path in self.rooms)
            return None if back else FOREIGN

    def in_stage(self, name: str, path: str) -> Holding:
        """Return what ``name`` holds in the stage; ``path`` is whose it is."""
        try:
            return self.tree.look_in(self.stage, name, path, links=ANY_LINKS)
        except LonelyCatError:
            return FOREIGN

    def status(self, path: str) -> os.stat_result | None:
        """Return the status of what stands at ``path``, or None for nothing that can be reached."""
        try:
            parent, name = self.parent(path)
            return self.fs.stat(parent, name)
        except (LonelyCatError, FileNotFoundError):
            return None

    def backup(self, operation: FileOperation) -> os.stat_result | None:
        """Return the old file's status; None if INTENT outlived a power cut that its backups did not."""
        try:
            return self.fs.stat(self.stage, operation.backup_name)
        except FileNotFoundError:
            return None

    def stands_at(self, path: str, file: os.stat_result) -> bool:
        """Whether ``path`` has this very file, whatever it holds by now."""
        now = self.status(path)
        return now is not None and os.path.samestat(now, file)

    def parent(self, path: str) -> tuple[int, str]:
        """Return the open directory of ``path``, and its name there."""
        directory, name = split(path)
        return self.tree.directory(directory), name
