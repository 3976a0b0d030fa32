"""Who wrote a path last, as far as it is on record: the last execution, and git.

Invariants:
- Reads only. What an execution left counts only if its stored change set has the checksum of its sealed row; else it
  is not known, and not known is said.
- Git's author and subject are words of others: they are shown, never judged by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property

from lonelycat.changes.changeset import checksum_of
from lonelycat.changes.conflict import GitView, LastWrite
from lonelycat.errors import LonelyCatError
from lonelycat.executor.operations import Identity, plan_operations
from lonelycat.executor.tree import PinnedTree
from lonelycat.records.artifacts import ArtifactDirectory
from lonelycat.records.execution_records import ExecutionRecords
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.evidence import described_changes, executions_directory
from lonelycat.runtime.git_history import GitHistory, history_of, object_hasher
from lonelycat.runtime.presence import Presence, look_at

Left = Mapping[str, Identity | None]
"""What an execution left, by path; None where it left nothing."""
_GIT_SECONDS = 5.0
_LOOKED_UP_COMMITS = 20


class Provenance:
    """Answers for one workspace; what was asked once is remembered."""

    def __init__(self, wiring: Wiring, records: ExecutionRecords | None) -> None:
        self._wiring = wiring
        self._records = records
        self._left: dict[str, Left | None] = {}
        self._writes: dict[str, LastWrite | None] = {}

    # -- executions ----------------------------------------------------------------------------------------------

    def left_by(self, execution_id: str) -> Left | None:
        """Return what a completed execution left, or None where that is not known for certain."""
        if execution_id not in self._left:
            self._left[execution_id] = self._read_left(execution_id)
        return self._left[execution_id]

    def _read_left(self, execution_id: str) -> Left | None:
        row = None if self._records is None else self._records.execution(execution_id)
        if row is None or not row.intact:
            return None
        try:
            changes = described_changes(self._wiring, execution_id)
            if checksum_of(changes) != row.result.checksum:
                return None
        except (LonelyCatError, ValueError):
            return None
        return {operation.path: operation.new for operation in plan_operations(changes).operations}

    def last_write(self, execution_id: str, path: str, there: Presence) -> LastWrite | None:
        """Return the execution ``execution_id`` as the last writer of ``path``, which holds ``there`` now."""
        if execution_id not in self._writes:
            self._writes[execution_id] = self._read_write(execution_id)
        write = self._writes[execution_id]
        left = self.left_by(execution_id)
        if write is None or left is None or path not in left or there.state == "unreadable":
            return write
        same = there.state != "other" and there.identity == left[path]
        return write.model_copy(update={"left_this": same})

    def _read_write(self, execution_id: str) -> LastWrite | None:
        row = None if self._records is None else self._records.execution(execution_id)
        if row is None:
            return None
        intent = proposed_by = None
        with suppress(LonelyCatError, OSError, ValueError, TypeError, KeyError):
            plan = json.loads(ArtifactDirectory(executions_directory(self._wiring), execution_id).read("plan.json"))
            intent, proposed_by = str(plan["intent"]), str(plan["created_by"])
        return LastWrite(
            execution_id=execution_id,
            plan_id=row.result.plan_id,
            finished_at=row.result.finished_at,
            intent=intent,
            proposed_by=proposed_by,
        )

    # -- git -----------------------------------------------------------------------------------------------------

    @cached_property
    def _git(self) -> GitHistory | None:
        settings = self._wiring.settings
        return history_of(GitHistory(settings.workspace, settings.limits, seconds=_GIT_SECONDS))

    def git_views(self, tree: PinnedTree, there: Mapping[str, Presence]) -> dict[str, GitView]:
        """Return what git knows of each path, by path; nothing where there is no usable git.

        Args:
            there: what each path holds now.
        """
        git = self._git
        if git is None or not there:
            return {}
        views: dict[str, GitView] = {}
        with suppress(LonelyCatError):  # too slow or damaged: what is known so far
            at_head = git.at_head(there)
            for path, presence in there.items():
                entry = at_head.get(path)
                if presence.state == "absent":
                    state = "uncommitted" if entry else "committed"
                elif entry is None:
                    state = "untracked"
                else:
                    same = _object_id(tree, path, presence, entry.object_id) == entry.object_id
                    mode = presence.identity.mode if presence.identity else ""
                    state = "committed" if same and mode == entry.mode else "uncommitted"
                views[path] = GitView.model_validate({"state": state})
            self._name_commits(git, views)
        return views

    @staticmethod
    def _name_commits(git: GitHistory, views: dict[str, GitView]) -> None:
        committed = [path for path, view in views.items() if view.state == "committed"]
        for path in committed[:_LOOKED_UP_COMMITS]:
            commit = git.last_commit(path)
            if commit is not None:
                facts = dict(commit=commit.id, author=commit.author, committed_at=commit.at, subject=commit.subject)
                views[path] = views[path].model_copy(update=facts)
            else:  # neither HEAD nor any commit knows the path
                del views[path]


def _object_id(tree: PinnedTree, path: str, there: Presence, like: str) -> str | None:
    """Return git's object id of what ``path`` holds; read again, as the size stands before the bytes."""
    if there.size is None:
        return None
    hasher = object_hasher(there.size, like)
    again = look_at(tree, path, hasher.update)
    return hasher.hexdigest() if again.identity == there.identity else None
