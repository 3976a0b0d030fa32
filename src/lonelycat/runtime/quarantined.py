"""What lies in ``.lonelycat/quarantine``: whose content it is, where it belongs, and what to do about it.

Invariants: looking only; nothing is opened that is not a plain file, no link is followed, nothing is ever removed. An
entry that nobody can explain is listed all the same.
"""

from __future__ import annotations

import re
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lonelycat.changes.paths import printable
from lonelycat.errors import LonelyCatError
from lonelycat.executor.operations import FileOperation, plan_operations
from lonelycat.executor.quarantine import QUARANTINE
from lonelycat.executor.tree import PinnedTree
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.evidence import described_changes
from lonelycat.runtime.presence import MAX_COMPARED_BYTES, look_at, size_of
from lonelycat.settings import STATE_DIRECTORY

_NAME = re.compile(r"([a-z]+_[0-9A-Za-z]{1,64})\.(?:([0-9]{6})\.(old|new|undo)|(transaction))?.*", re.DOTALL)
Holds = Literal["old_content", "outside_content", "transaction", "unknown"]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One thing in quarantine.

    Attributes:
        place: where it lies, below the workspace.
        holds: ``old_content`` of a change that was taken back, ``outside_content`` that somebody wrote meanwhile, a
            whole ``transaction`` whose journal cannot be read, or ``unknown``.
        path: where in the workspace it belongs; None where that is not known.
        execution_id: the execution that it comes from; None where that is not known.
        size: bytes of a file; None for anything else.
        kept_at: when it was put there.
        in_place: whether the workspace holds exactly this at ``path``; None where that cannot be told.
        path_is_free: whether nothing is at ``path`` now.
    """

    place: str
    holds: Holds
    path: str | None
    execution_id: str | None
    size: int | None
    kept_at: datetime
    in_place: bool | None = None
    path_is_free: bool = False

    @property
    def what_to_do(self) -> str:
        """What a person does about it, in a sentence or two."""
        shown = printable(self.place)
        if self.holds == "transaction":
            return (
                f"Compare each *.old in {shown}, and what is in its old.tar if it has one, with the workspace "
                "and put back what has to go back; "
                "then `lonelycat unfreeze --by NAME --reason TEXT`, and move the directory away."
            )
        if self.path is None:
            return f"Look at {shown}; keep what you need, then delete it."
        if self.in_place:
            return f"The workspace holds exactly this at {printable(self.path)}: delete {shown}."
        if self.path_is_free:
            return f"Nothing is at {printable(self.path)} now: move {shown} there to put it back, or delete it."
        compare = f"diff {shlex.quote(shown)} {shlex.quote(printable(self.path))}"
        return f"`{compare}` says how it differs from what is there now; keep what you need, then delete it."


def quarantined(wiring: Wiring) -> tuple[Quarantined, ...]:
    """Return everything in quarantine, by name."""
    directory = wiring.settings.local_dir / QUARANTINE
    operations: dict[str, dict[int, FileOperation]] = {}
    settings = wiring.settings
    with PinnedTree(wiring.filesystem, settings.workspace, settings.limits.chunk_bytes) as tree:
        found = (_one(wiring, tree, directory, name, operations) for name in _names(wiring))
        return tuple(item for item in found if item is not None)


def _names(wiring: Wiring) -> list[str]:
    directory = wiring.settings.local_dir / QUARANTINE
    try:
        if not stat.S_ISDIR(directory.lstat().st_mode):
            return []
        return sorted(item.name for item in directory.iterdir())
    except OSError:
        return []


def in_quarantine(wiring: Wiring) -> frozenset[str]:
    """Return the executions that something in quarantine comes from: what explains it has to stay."""
    matches = (_NAME.fullmatch(name) for name in _names(wiring))
    return frozenset(match[1] for match in matches if match is not None)


def _one(
    wiring: Wiring, tree: PinnedTree, directory: Path, name: str, known: dict[str, dict[int, FileOperation]]
) -> Quarantined | None:
    try:
        status = (directory / name).lstat()
    except OSError:
        return None  # somebody dealt with it just now
    place = f"{STATE_DIRECTORY}/{QUARANTINE}/{name}"
    kept_at = datetime.fromtimestamp(status.st_ctime, UTC)
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    match = _NAME.fullmatch(name)
    if match is None:
        return Quarantined(place, "unknown", None, None, size, kept_at)
    execution_id, number, kind, transaction = match.groups()
    if number is None:
        return Quarantined(place, "transaction" if transaction else "unknown", None, execution_id, size, kept_at)
    if execution_id not in known:
        known[execution_id] = _operations(wiring, execution_id)
    operation = known[execution_id].get(int(number))
    holds: Holds = "old_content" if kind == "old" else "outside_content"
    if operation is None:
        return Quarantined(place, holds, None, execution_id, size, kept_at)
    if max(size or 0, size_of(tree, operation.path)) > MAX_COMPARED_BYTES:
        return Quarantined(place, holds, operation.path, execution_id, size, kept_at)
    there, kept = look_at(tree, operation.path), look_at(tree, place)
    same = kept.identity == there.identity if kept.identity and there.state in ("file", "absent") else None
    free = there.state == "absent" and there.words == "nothing"
    return Quarantined(place, holds, operation.path, execution_id, size, kept_at, same, free)


def _operations(wiring: Wiring, execution_id: str) -> dict[int, FileOperation]:
    with suppress(LonelyCatError, ValueError):
        changes = described_changes(wiring, execution_id)
        return {operation.number: operation for operation in plan_operations(changes).operations}
    return {}
