"""The artifacts of one execution, written while it runs: what was asked, what was decided, both sides of every file.

Invariants:
- ``inverse.json``, from which a revert is made, holds the old contents exactly. Like the workspace's own files it is
  private to the user and is not redacted; every other artifact is.
- What was written until then is durable before the commit point; the end's artifacts are before the transaction goes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.changes.diff import DiffEntry, render_file
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.paths import to_wire
from lonelycat.changes.strict_json import loads
from lonelycat.executor.operations import FileOperation
from lonelycat.executor.side_by_side import wait_and_work
from lonelycat.executor.transaction import Transaction
from lonelycat.records.artifacts import ArtifactDirectory
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.execution_request import Request
from lonelycat.runtime.inverses import INVERSE
from lonelycat.runtime.steps import ExecutionContext

CHANGESET = "changeset.json"
DIFF = "diff.patch"
_MAX_DIFF_BYTES = 1024 * 1024
"""A file above this many bytes is named in ``diff.patch`` without its contents."""


class Evidence:
    """Writes the artifacts of one execution."""

    def __init__(self, wiring: Wiring, context: ExecutionContext, request: Request) -> None:
        self._wiring = wiring
        self._context = context
        self._request = request
        self._directory = ArtifactDirectory(executions_directory(wiring), context.execution_id)

    def begin(self) -> None:
        """Write what was asked and decided, and begin to keep events."""
        request = self._request
        self._directory.write_json("plan.json", request.plan.model_dump(mode="json"))
        self._directory.write_json("decision.json", request.decision.model_dump(mode="json"))
        self._directory.write_json("approvals.json", [item.model_dump(mode="json") for item in request.approvals])
        head, changes = described(request.changeset)
        self._directory.write_long_json(CHANGESET, head, "changes", changes)
        self._context.keep_artifacts(self._directory)

    def keep_both_sides(self, transaction: Transaction, blobs: set[str]) -> None:
        """Write ``inverse.json`` and ``diff.patch`` from the staged backups, and add what was made to ``blobs``."""
        by_path = {operation.path: operation for operation in transaction.intent.operations}
        with self._directory.writing(INVERSE, verbatim=True) as inverse, self._directory.writing(DIFF) as diff:
            inverse.add(b'{"changes":[')
            for number, change in enumerate(self._request.changeset.changes):
                self._context.check_time()
                operation = by_path[change.old_path or change.path]
                old = None if operation.old is None else self._old(transaction, operation)
                if isinstance(old, BlobRef):
                    blobs.add(old.sha256)
                if number:
                    inverse.add(b",")
                inverse.add(to_json(_inverse(change, old)))  # a tenth of the time of the standard library's
                diff.add(render_file(_entry(change, old, self._new(change))))
            inverse.add(b"]}")

    def settle(self, transaction: Transaction) -> None:
        """Settle the transaction, and the artifacts where that does not; their digests are taken meanwhile."""
        wait_and_work(partial(self._make_durable, transaction), self._directory.note_digests)

    def _make_durable(self, transaction: Transaction) -> None:
        transaction.settle()
        if not transaction.settles_all_on(self._directory.device()):
            self._directory.settle()

    def _old(self, transaction: Transaction, operation: FileOperation) -> bytes | BlobRef:
        data = transaction.old_content(operation, self._wiring.settings.limits.inline_bytes)
        return self._wiring.records.blobs.put_stream(transaction.old_chunks(operation)) if data is None else data

    def _new(self, change: FileChange) -> bytes | BlobRef | None:
        content = change.content
        if isinstance(content, BlobRef) and content.size <= self._wiring.settings.limits.inline_bytes:
            return self._wiring.blobs.read(content)
        return content


def _inverse(change: FileChange, old: bytes | BlobRef | None) -> dict[str, Any]:
    """Return the JSON of the change that undoes ``change``."""
    operation = {"create": "delete", "delete": "create"}.get(str(change.operation), str(change.operation))
    needed = change.old_hash is not None and change.old_hash != change.new_hash
    return {
        "operation": operation,
        "path": to_wire(change.old_path or change.path),
        "old_path": None if change.old_path is None else to_wire(change.path),
        "old_hash": change.new_hash,
        "new_hash": change.old_hash,
        "old_mode": change.new_mode,
        "new_mode": change.old_mode,
        "content": _content(old) if needed else None,
    }


def _content(old: bytes | BlobRef | None) -> dict[str, Any] | None:
    if old is None:
        return None
    if isinstance(old, BlobRef):
        return {"blob": old.to_json()}
    try:
        return {"text": old.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(old).decode("ascii")}


def _entry(change: FileChange, old: bytes | BlobRef | None, new: bytes | BlobRef | None) -> DiffEntry:
    if new is None and change.new_hash is not None:
        new = old
    return DiffEntry(
        path=change.path,
        old=_shown(old),
        new=_shown(new),
        old_mode=change.old_mode,
        new_mode=change.new_mode,
        old_path=change.old_path,
    )


def _shown(content: bytes | BlobRef | None) -> bytes | BlobRef | None:
    if isinstance(content, bytes) and len(content) > _MAX_DIFF_BYTES:
        return BlobRef(sha256=sha256_hex(content), size=len(content))
    return content


def described(changeset: ChangeSet) -> tuple[dict[str, Any], Iterator[dict[str, str | None]]]:
    """Return a change set's JSON without the changes, and theirs without contents, which ``new_hash`` stands for."""
    changes = ({"content": None, **change.canonical()} for change in changeset.changes)
    return changeset.model_dump(mode="json", exclude={"changes"}), changes


def described_changes(wiring: Wiring, execution_id: str) -> tuple[FileChange, ...]:
    """Return the changes that an execution made, as its artifacts state them; each content is only a hash.

    Raises:
        InputError: ``ARTIFACT_MISSING``, ``JSON_…``.
        ValueError: it is not what :func:`described` wrote.
    """
    document = loads(ArtifactDirectory(executions_directory(wiring), execution_id).read(CHANGESET), what=CHANGESET)
    try:
        changes = [dict(change) for change in document["changes"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{CHANGESET} has no list of changes") from error
    for change in changes:
        if change.get("new_hash") != change.get("old_hash") and change.get("new_hash") is not None:
            change["content"] = BlobRef(sha256=change["new_hash"], size=0)
    return tuple(FileChange.model_validate(change) for change in changes)


def executions_directory(wiring: Wiring) -> Path:
    """Return where the artifact directories lie."""
    return wiring.settings.state_dir / "executions"
