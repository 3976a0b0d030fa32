"""Drift: where the workspace is not what the last executions left, and so was changed without a transaction.

Invariants:
- Looking changes nothing, in the workspace or in ``.lonelycat``: the database is opened for reading alone, no lock is
  taken, no link followed. It works where nothing can be written.
- Only the paths that executions wrote are looked at; each is hashed in chunks, every time: no time stamp is trusted.
- What an execution left is what its sealed history row stands for. Where that, or the file, cannot be read, the answer
  is ``unknown``, which counts as drift.
- What a transaction that has not ended holds is no drift; it is told apart. A difference counts when it is seen twice,
  with history read in between, so that an execution that ends meanwhile is not taken for somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from lonelycat.changes.conflict import GitView, LastWrite
from lonelycat.changes.paths import check_path, printable
from lonelycat.errors import InputError, LonelyCatError
from lonelycat.executor.journal import read_journal
from lonelycat.executor.journal_form import read_intent
from lonelycat.executor.operations import Identity
from lonelycat.executor.tree import PinnedTree
from lonelycat.records.store import Records
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.presence import Presence, look_at
from lonelycat.runtime.provenance import Provenance

DriftKind = Literal["modified", "mode_changed", "deleted", "created", "replaced", "unknown"]
_TRANSACTIONS = ".lonelycat/tx"
_REST = 4.0
"""Watching rests this many times as long as a look takes: at most a fifth of one processor."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One path that is not as the last execution left it.

    Attributes:
        expected: what the execution left; None for nothing, and where that is not known.
        there: what the path holds now.
        transaction: the execution that has not ended and holds the path; None where nobody does.
    """

    path: str
    kind: DriftKind
    expected: Identity | None
    there: Presence
    last_execution: LastWrite | None
    git: GitView | None = None
    transaction: str | None = None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """One look.

    Attributes:
        checked: how many paths were looked at.
        drift: what was changed without a transaction, by path.
        in_progress: what transactions hold that have not ended: of a running execution, or of a dead one.
        left_out: how many paths were changed and committed since, where only others were asked for.
    """

    checked: int
    drift: tuple[Drift, ...]
    in_progress: tuple[Drift, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """What watching saw: ``drift`` begins or becomes another, or is ``settled``: the path is as it was left."""

    at: datetime
    event: Literal["drift", "settled"]
    drift: Drift


@dataclass(frozen=True, slots=True)
class _Seen:
    execution_id: str
    expected: Identity | None
    known: bool
    there: Presence

    @property
    def kind(self) -> DriftKind | None:
        """How it differs; None if it does not."""
        there, expected = self.there, self.expected
        if not self.known or there.state == "unreadable":
            return "unknown"
        if there.state == "other" or (there.state == "absent" and expected and there.words != "nothing"):
            return "replaced"
        if there.identity is None:
            return "deleted" if expected else None
        if expected is None:
            return "created"
        if there.identity.is_link != expected.is_link:
            return "replaced"
        if there.identity.sha256 != expected.sha256:
            return "modified"
        return None if there.identity == expected else "mode_changed"


class DriftExaminer:
    """Looks at one workspace, once or again and again.

    Args:
        within: files or directories; only what lies there is looked at.
        uncommitted: leave out what git has committed since.

    Raises:
        PathError: one of ``within`` is not a workspace-relative path.
    """

    def __init__(self, wiring: Wiring, within: Sequence[str] = (), *, uncommitted: bool = False) -> None:
        self._wiring = wiring
        self._uncommitted = uncommitted
        self._within = tuple(check_path(path.rstrip("/") or path) for path in within)
        self._records: Records | None = None
        self._provenance: Provenance | None = None

    def report(self) -> DriftReport:
        """Return what :meth:`look` sees, with what git knows of it."""
        seen = self.look()
        told = self.with_git(seen.drift)
        return replace(seen, drift=told, left_out=len(seen.drift) - len(told))

    def look(self) -> DriftReport:
        """Look at every path that an execution wrote.

        Raises:
            InputError: ``PATH_NOT_WRITTEN`` for a named path that no execution wrote; ``WORKSPACE_MISSING``.
            StateError: the records cannot be read.
        """
        records = self._records or self._wiring.records_to_read()
        if records is None:
            self._require_written({})
            return DriftReport(0, (), ())
        self._records = records
        provenance = self._provenance = self._provenance or Provenance(self._wiring, records)
        writers = {path: key for path, key in records.last_writers().items() if self._wanted(path)}
        self._require_written(writers)
        try:
            with self._tree() as tree:
                first = self._look(tree, provenance, writers)
            again = records.last_writers(first)
            with self._tree() as tree:
                seen = self._look(tree, provenance, again)
                pending = self._pending(tree)
        except OSError as error:
            root = self._wiring.settings.workspace
            raise InputError(
                "WORKSPACE_MISSING", f"{root} cannot be read: {error.strerror}", "Name the workspace with -C."
            ) from error
        settled = records.last_writers(seen)
        found = [
            Drift(
                path=path,
                kind=one.kind,
                expected=one.expected,
                there=one.there,
                last_execution=provenance.last_write(one.execution_id, path, one.there),
                transaction=pending.get(path),
            )
            for path, one in sorted(seen.items())
            if one.kind is not None and settled.get(path) == one.execution_id
        ]
        return DriftReport(
            len(writers),
            tuple(drift for drift in found if drift.transaction is None),
            tuple(drift for drift in found if drift.transaction is not None),
        )

    def with_git(self, drifts: Sequence[Drift]) -> tuple[Drift, ...]:
        """Return ``drifts`` with what git knows of their paths; without the committed ones where only others count."""
        if self._provenance is None or not drifts:
            return tuple(drifts)
        known = {drift.path: drift.there for drift in drifts if drift.there.state != "unreadable"}
        with self._tree() as tree:
            views = self._provenance.git_views(tree, known)
        told = (replace(drift, git=views.get(drift.path)) for drift in drifts)
        return tuple(d for d in told if not (self._uncommitted and d.git and d.git.state == "committed"))

    def watch(self, interval: float) -> Iterator[DriftEvent | DriftReport]:
        """Yield the first look's report, then every change of the drift, until the caller stops.

        Args:
            interval: seconds between two looks; longer where looking takes long.
        """
        clock = self._wiring.clock
        report = self.report()
        yield report
        told = {drift.path: drift for drift in report.drift}
        before = dict(told)
        while True:
            begun = clock.monotonic()
            now = {drift.path: drift for drift in self.look().drift}
            changed = [drift for path, drift in now.items() if _facts(before.get(path)) != _facts(drift)]
            for drift in self.with_git(changed):
                told[drift.path] = drift
                yield DriftEvent(clock.now(), "drift", drift)
            for path in sorted(told.keys() - now.keys()):
                yield DriftEvent(clock.now(), "settled", told.pop(path))
            before = now
            clock.sleep(max(interval, _REST * (clock.monotonic() - begun)))

    # -- looking -------------------------------------------------------------------------------------------------

    def _tree(self) -> PinnedTree:
        settings = self._wiring.settings
        return PinnedTree(self._wiring.filesystem, settings.workspace, settings.limits.chunk_bytes)

    def _wanted(self, path: str) -> bool:
        return not self._within or any(path == name or path.startswith(name + "/") for name in self._within)

    def _require_written(self, writers: Mapping[str, str]) -> None:
        for name in self._within:
            if not any(path == name or path.startswith(name + "/") for path in writers):
                raise InputError(
                    "PATH_NOT_WRITTEN",
                    f"no execution that was kept wrote {printable(name)}, or anything below it",
                    "`lonelycat drift` without a path looks at all that executions wrote.",
                )

    def _look(self, tree: PinnedTree, provenance: Provenance, writers: Mapping[str, str]) -> dict[str, _Seen]:
        """Return what differs."""
        seen: dict[str, _Seen] = {}
        for path, execution_id in sorted(writers.items()):
            left = provenance.left_by(execution_id)
            known = left is not None and path in left
            one = _Seen(execution_id, left[path] if left and known else None, known, look_at(tree, path))
            if one.kind is not None:
                seen[path] = one
        return seen

    def _pending(self, tree: PinnedTree) -> dict[str, str]:
        """Return which execution that has not ended holds a path, by path."""
        held: dict[str, str] = {}
        try:
            names = tree.filesystem.list(tree.directory(_TRANSACTIONS))
        except (LonelyCatError, OSError):
            return held
        for name in sorted(names):
            try:
                contents = read_journal(tree.filesystem, tree.directory(f"{_TRANSACTIONS}/{name}"))
                if contents is not None:
                    held |= {operation.path: name for operation in read_intent(contents).operations}
            except (LonelyCatError, OSError):
                continue  # gone meanwhile, or damaged, which `lonelycat doctor` tells
        return held


def _facts(drift: Drift | None) -> object:
    return None if drift is None else (drift.kind, drift.there, drift.expected)
