"""Executions that have not ended: the one that runs, and those of dead processes, which wait for recovery.

Invariant: looks only. The lock says who lives; what else lies in ``tx`` is of the dead.
"""

from __future__ import annotations

from typing import NamedTuple

from lonelycat.executor.execution_lock import LockHolder, LockManager
from lonelycat.executor.recovery import pending_transactions
from lonelycat.runtime.bootstrap import Wiring


class Unended(NamedTuple):
    """What has not ended in a workspace.

    Attributes:
        holder: the execution that runs now, or None.
        unfinished: the ids of those that nobody goes on with.
    """

    holder: LockHolder | None
    unfinished: tuple[str, ...]

    def has(self, execution_id: str) -> bool:
        """Whether this execution is one of them."""
        return execution_id in self.unfinished or self.runs(execution_id)

    def runs(self, execution_id: str) -> bool:
        """Whether this execution runs now."""
        return self.holder is not None and self.holder.execution_id == execution_id


def unended(wiring: Wiring) -> Unended:
    """Return what has not ended."""
    workspace = wiring.settings.workspace
    holder = LockManager(workspace, filesystem=wiring.filesystem).holder()
    running = {holder.execution_id} if holder else set()
    pending = pending_transactions(wiring.filesystem, workspace)
    return Unended(holder, tuple(name for name in pending if name not in running))
