"""Once: the same plan and checksum executes once; a repeat gets the recorded result.

Invariants:
- The key is ``plan_id`` and the change set's checksum. Only a completed execution answers for a repeat, for
  ``ttl_seconds`` after it; a failed one may be retried.
- What makes it safe against simultaneous duplicates is the lock: the executor looks the record up while holding the
  workspace. :class:`IdempotencyCheck`, for other callers, holds a lock of its own for the block.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from lonelycat.clock import Clock, RandomIds, SystemClock
from lonelycat.errors import LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.state_directory import open_lock_file, open_state_directory
from lonelycat.records.execution import ExecutionRecord, ExecutionResult
from lonelycat.records.store import Records
from lonelycat.settings import Settings

_LOCK = "idempotency"


class IdempotencyManager:
    """Looks up and keeps idempotency records.

    Args:
        workspace_root: the governed directory.
        ttl_seconds: how long a completed execution answers for a repeat; 0 means never.
        records: the store, or None to open the workspace's own when first needed.
    """

    def __init__(
        self,
        workspace_root: Path | str,
        ttl_seconds: int = 3600,
        *,
        clock: Clock | None = None,
        records: Callable[[], Records] | None = None,
    ) -> None:
        self.root = Path(workspace_root).resolve()
        self.ttl_seconds = ttl_seconds
        self._clock = clock or SystemClock()
        self._open = records or (
            lambda: Records.open(Settings.for_workspace(self.root), self._clock, RandomIds(self._clock))
        )
        self._records: Records | None = None

    @property
    def records(self) -> Records:
        """The store, opened when first needed."""
        if self._records is None:
            self._records = self._open()
        return self._records

    def lookup(self, plan_id: str, checksum: str) -> ExecutionRecord | None:
        """Return the completed, unexpired record of this plan and checksum, or None."""
        record = self.records.idempotency_record(plan_id, checksum)
        if record is None or record.status != "completed":
            return None
        ttl = min(record.ttl_seconds, self.ttl_seconds)
        if ttl <= 0:
            return None
        # A record from the future (the clock was set back) still answers: executing twice is the worse error.
        return record if self._clock.now() - record.executed_at < timedelta(seconds=ttl) else None


class IdempotencyCheck:
    """``with IdempotencyCheck(manager, plan_id, checksum) as check``: at most one block of a key runs at a time."""

    def __init__(self, manager: IdempotencyManager, plan_id: str, checksum: str) -> None:
        self._manager = manager
        self._plan_id = plan_id
        self._checksum = checksum
        self._fd = -1
        self.previous_record: ExecutionRecord | None = None

    @property
    def already_executed(self) -> bool:
        """Whether a completed, unexpired record exists."""
        return self.previous_record is not None

    def __enter__(self) -> IdempotencyCheck:
        filesystem = FileSystem()
        with filesystem.closing(open_state_directory(filesystem, self._manager.root, "locks")) as directory:
            self._fd = open_lock_file(directory, _LOCK)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            self.previous_record = self._manager.lookup(self._plan_id, self._checksum)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)
        self._fd = -1

    def record_result(self, result: ExecutionResult) -> None:
        """Keep the result of the block.

        Raises:
            LonelyCatError: ``IDEMPOTENCY_OTHER_KEY`` when the result is of another plan or checksum.
        """
        if (result.plan_id, result.checksum) != (self._plan_id, self._checksum):
            raise LonelyCatError(
                "IDEMPOTENCY_OTHER_KEY",
                "the result belongs to another plan or change set than the one that was checked",
                "Record the result of the execution that this block was opened for.",
            )
        self._manager.records.finish_execution(
            result, plan=None, decision_id="", consumed_approvals=(), ttl_seconds=self._manager.ttl_seconds
        )
