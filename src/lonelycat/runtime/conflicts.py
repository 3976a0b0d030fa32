"""Conflicts as people need them: beside what was expected and found, how the text differs and who else wrote it.

Invariants:
- Explaining only reads, is bounded (the first ``EXPLAINED`` paths, no huge files, git under a time limit) and never
  fails: what cannot be found out is left out. The conflict itself does not depend on it.
- What is told is redacted first; no line of a file is added to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from lonelycat.changes.changeset import FileChange
from lonelycat.changes.conflict import Conflict, LineCount, Phase, conflicts_of
from lonelycat.changes.diff import is_binary
from lonelycat.changes.lines import changed_regions, split_lines
from lonelycat.changes.paths import check_path, printable
from lonelycat.errors import ConflictError, LonelyCatError, PathError
from lonelycat.executor.conflicts import code_of_difference, describe, difference
from lonelycat.executor.operations import plan_operations
from lonelycat.executor.tree import PinnedTree
from lonelycat.records.redaction import redact_json, redact_text
from lonelycat.runtime.bases import Bases
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.presence import MAX_COMPARED_BYTES, Presence, TextSink, git_mode_of, look_at, size_of
from lonelycat.runtime.provenance import Provenance

EXPLAINED = 20
"""So many conflicts are explained; the others are only named."""
_VAGUE = frozenset({"a file", "other bytes", "another file"})


class Explainer:
    """Explains the conflicts of one change set.

    Args:
        changes: the change set's; contents may be missing. None at all where there is no change set yet.
    """

    def __init__(self, wiring: Wiring, changes: Sequence[FileChange] = ()) -> None:
        self._wiring = wiring
        self._bases = Bases(wiring)
        self._changes = {printable(path): (path, change) for change in changes for path in change.paths}

    def _path(self, conflict: Conflict) -> str | None:
        """Return the path of the workspace that a conflict is about, or None where it is about something else."""
        known = self._changes.get(conflict.path)
        if known is not None or self._changes:
            return known[0] if known else None
        with suppress(PathError):
            return check_path(conflict.path) if printable(conflict.path) == conflict.path else None
        return None

    def explain(self, conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
        """Return the conflicts with everything that could be found out, redacted."""
        told = list(conflicts)
        try:
            told = [*self._explained(told[:EXPLAINED]), *told[EXPLAINED:]]
        except Exception:  # noqa: BLE001 — whatever it is must not stop a rollback from being recorded
            told = list(conflicts)
        return tuple(Conflict.model_validate(redact_json(conflict.model_dump(mode="json"))) for conflict in told)

    def _explained(self, conflicts: list[Conflict]) -> list[Conflict]:
        settings = self._wiring.settings
        paths = {path: one for one in conflicts if (path := self._path(one)) is not None}
        with PinnedTree(self._wiring.filesystem, settings.workspace, settings.limits.chunk_bytes) as tree:
            there: dict[str, Presence] = {}
            facts: dict[str, dict[str, Any]] = {one.path: {} for one in conflicts}
            for path, conflict in paths.items():
                if size_of(tree, path) > MAX_COMPARED_BYTES:
                    continue
                text = TextSink()
                there[path] = look_at(tree, path, text.take)
                facts[conflict.path] |= _filled_in(conflict, there[path])
                facts[conflict.path]["lines"] = self._lines(conflict, text.data)
            self._say_who(tree, paths, there, facts)
        return [conflict.model_copy(update=facts[conflict.path]) for conflict in conflicts]

    def _say_who(
        self,
        tree: PinnedTree,
        paths: dict[str, Conflict],
        there: dict[str, Presence],
        facts: dict[str, dict[str, Any]],
    ) -> None:
        records = None
        with suppress(LonelyCatError, OSError):
            records = self._wiring.records_to_read()
        provenance = Provenance(self._wiring, records)
        with suppress(LonelyCatError, OSError):
            for path, writer in ({} if records is None else records.last_writers(there)).items():
                facts[paths[path].path]["last_execution"] = provenance.last_write(writer, path, there[path])
        with suppress(LonelyCatError, OSError):
            for path, view in provenance.git_views(tree, there).items():
                facts[paths[path].path]["git"] = view

    def _lines(self, conflict: Conflict, today: bytes | None) -> LineCount | None:
        if today is None or conflict.expected_hash is None or conflict.path not in self._changes:
            return None
        change = self._changes[conflict.path][1]
        known = self._bases.old if conflict.expected_hash == change.old_hash else self._bases.new
        text = known(change)
        if text is None or is_binary(text) or is_binary(today) or text == today:
            return None
        regions = changed_regions(split_lines(text), split_lines(today))
        return LineCount(
            added=sum(region[3] - region[2] for region in regions),
            removed=sum(region[1] - region[0] for region in regions),
            first=regions[0][2] + 1,
        )


def explained(wiring: Wiring, error: ConflictError) -> ConflictError:
    """Return ``error``, of a change that could not even be read, with its conflicts explained and secrets masked."""
    masked = redact_json(error.details)
    details = dict(masked) if isinstance(masked, dict) else {}
    conflicts = Explainer(wiring).explain(conflicts_of(error))
    if conflicts:
        details["conflicts"] = [conflict.model_dump(mode="json") for conflict in conflicts]
    return ConflictError(error.code, redact_text(error.message), error.hint, details=details)


def _filled_in(conflict: Conflict, there: Presence) -> dict[str, Any]:
    """Return what is there now, where the executor could not say what it had found."""
    if conflict.found not in _VAGUE or there.identity is None:
        return {}
    mode = git_mode_of(there.identity)
    return {"found": describe(there.identity), "found_hash": there.identity.sha256, "found_mode": mode}


def left_alone(
    wiring: Wiring,
    changes: Sequence[FileChange],
    paths: Iterable[str],
    quarantined: Iterable[tuple[str, str]],
    phase: Phase,
) -> list[Conflict]:
    """Return the conflicts of an undo: paths that it found to hold neither the old nor the new content.

    Args:
        paths: as the undo's report has them, or in their printable form.
        quarantined: where the contents are that belong there.
    """
    operations = {printable(operation.path): operation for operation in plan_operations(changes).operations}
    places = {printable(path): place for path, place in quarantined}
    settings = wiring.settings
    found: list[Conflict] = []
    with PinnedTree(wiring.filesystem, settings.workspace, settings.limits.chunk_bytes) as tree:
        for shown in dict.fromkeys(printable(path) if path not in operations else path for path in paths):
            operation = operations.get(shown)
            if operation is None:
                one = Conflict(path=shown, code="DIRECTORY_CHANGED", expected="the directory", found="another object")
                found.append(one.model_copy(update={"phase": phase}))
                continue
            there = look_at(tree, operation.path)
            seen = there.identity if there.state in ("file", "absent") else there.words
            told = isinstance(seen, str) or seen == operation.new  # the new content, but as somebody else's file
            code = "FILE_CHANGED" if told else code_of_difference(operation.new, seen)  # type: ignore[arg-type]
            one = difference(operation.path, code, operation.new, seen, phase)
            found.append(one.model_copy(update={"quarantined": places.get(shown)}))
    return found


def merged(conflicts: Iterable[Conflict], more: Iterable[Conflict]) -> list[Conflict]:
    """Return both, one for each path: the first, and from the second where its content is kept."""
    by_path = {conflict.path: conflict for conflict in conflicts}
    for conflict in more:
        first = by_path.setdefault(conflict.path, conflict)
        if conflict.quarantined and not first.quarantined:
            by_path[conflict.path] = first.model_copy(update={"quarantined": conflict.quarantined})
    return list(by_path.values())
