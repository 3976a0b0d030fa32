"""What a sandbox is told of a change that it puts in place on its own tree before the command runs.

Invariants:
- The base is looked at as the real run does (``executor/staging.py``), with the same conflicts; bytes and modes are
  those that the executor would write.
- Nothing is written to the workspace or the state. The contents go along in a file that the caller brings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import IO

from lonelycat.changes.changeset import BlobRef, FileChange
from lonelycat.checks.sandbox.spec import Operation, Rehearsal
from lonelycat.executor.new_files import BlobOpener, check_written, permissions_of
from lonelycat.executor.operations import FileOperation, plan_operations
from lonelycat.executor.staging import check_base
from lonelycat.executor.tree import Found, PinnedTree


def put_together(
    tree: PinnedTree, changes: Sequence[FileChange], contents: IO[bytes], open_blob: BlobOpener
) -> Rehearsal:
    """Return what the sandbox is told of ``changes``, and write their new contents to ``contents``.

    Raises:
        ConflictError: the base is not what the change was made against.
        RefusedError: an object that cannot be changed; a content that is not what was approved.
    """
    plan = plan_operations(changes)
    found = check_base(tree, plan.operations)
    by_path = {operation.path: operation for operation in plan.operations}

    def translated(operation: FileOperation) -> Operation:
        return _translated(operation, by_path, found, contents, open_blob)

    early, rest = tuple(map(translated, plan.early)), tuple(map(translated, plan.rest))
    contents.flush()
    size = os.fstat(contents.fileno()).st_size
    size += sum(found[each.copied_from].status.st_size for each in rest if each.copied_from is not None)
    return Rehearsal(early, plan.rooms, plan.parents, rest, plan.prunable, size)


def _translated(
    operation: FileOperation,
    by_path: dict[str, FileOperation],
    found: dict[str, Found],
    contents: IO[bytes],
    open_blob: BlobOpener,
) -> Operation:
    new = operation.new
    if new is None:
        return Operation(operation.path, "delete")
    source = None if operation.source is None else by_path[operation.source]
    replaced = None if source is None else found.get(source.path)
    offset, size, copied_from = contents.tell(), 0, None
    if operation.content is None and source is not None:
        copied_from = source.path
    else:
        size = _write_content(operation, contents, open_blob)
    if new.is_link:
        return Operation(operation.path, "link", offset, size, copied_from)
    owner = None
    if replaced is not None and not replaced.identity.is_link:
        owner = (replaced.status.st_uid, replaced.status.st_gid)
    return Operation(operation.path, "file", offset, size, copied_from, permissions_of(new, replaced), owner)


def _write_content(operation: FileOperation, contents: IO[bytes], open_blob: BlobOpener) -> int:
    digest, size = sha256(), 0
    for data in _content(operation, open_blob):
        digest.update(data)
        size += len(data)
        contents.write(data)
    check_written(operation, digest.hexdigest(), size)
    return size


def _content(operation: FileOperation, open_blob: BlobOpener) -> Iterable[bytes]:
    if isinstance(operation.content, BlobRef):
        return open_blob(operation.content)
    return (operation.content or b"",)
