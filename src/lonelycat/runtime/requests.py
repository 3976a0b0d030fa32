"""What a caller hands in, turned into a plan and a change set.

Invariant: the words of a plan (what for, why, by whom) are masked before anything is made of them, so that what is
judged, approved, stored and shown holds no credential that somebody pasted into them.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.formats.base import OldFile
from lonelycat.changes.formats.document import plan_from_json, read_changeset
from lonelycat.changes.formats.unified_diff import apply_patch, parse_patch
from lonelycat.changes.paths import is_protected, printable
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import InputError, RefusedError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.tree import PinnedTree
from lonelycat.governance.secrets import masked
from lonelycat.planner.planner import Planner
from lonelycat.records.blobs import BlobStore
from lonelycat.settings import Settings

DEFAULT_PROPOSER = "agent:unnamed"
_WORDS = ("intent", "objective", "rationale", "rollback_plan", "created_by")
"""What of a plan is text of its author's own."""


class ChangeRequest(NamedTuple):
    """One proposal as it comes in; exactly one of ``patch``, ``git_range`` and ``changeset`` is given.

    Attributes:
        patch: a unified diff as git writes it.
        git_range: ``A..B`` of the workspace's own repository.
        changeset: JSON of a change set, or of a draft without ids and hashes.
        plan: JSON of a plan; it is completed, not trusted.
        intent: what the change is for; required unless ``plan`` says it.
        by: who proposes.
    """

    patch: bytes | None = None
    git_range: str | None = None
    changeset: bytes | None = None
    plan: bytes | None = None
    intent: str | None = None
    by: str | None = None


class RequestReader:
    """Reads requests against one workspace; puts large contents into ``blobs``, or its spool, and nothing else."""

    def __init__(self, settings: Settings, planner: Planner, blobs: BlobStore) -> None:
        self._settings = settings
        self._planner = planner
        self._blobs = blobs

    def read(self, request: ChangeRequest) -> tuple[ChangePlan, ChangeSet]:
        """Return the plan and the change set that ``request`` stands for.

        Raises:
            InputError: malformed input, naming the place; nothing given, or more than one thing.
            ConflictError: a patch that does not fit the workspace as it is.
            RefusedError: ``PATH_PROTECTED`` for what can be filled in only from a protected file.
        """
        changes = self._changes(request)
        if request.plan is not None:
            return self._with_plan(request, plan_from_json(request.plan, self._settings.limits), changes)
        if isinstance(changes, ChangeSet):
            raise InputError(
                "PLAN_MISSING",
                f"the change set belongs to plan {changes.plan_id}, which was not given",
                "Give that plan with --plan, or a draft change set without ids.",
            )
        if not request.intent:
            raise InputError("INTENT_MISSING", "it is not said what the change is for", "Say it with --intent TEXT.")
        intent, proposer = masked(request.intent), masked(request.by or DEFAULT_PROPOSER)
        try:
            return self._planner.plan(intent=intent, created_by=proposer, changes=changes)
        except ValidationError as error:
            raise _invalid(error) from error

    def _changes(self, request: ChangeRequest) -> ChangeSet | tuple[FileChange, ...]:
        given = [name for name in ("patch", "git_range", "changeset") if getattr(request, name) is not None]
        if len(given) != 1:
            raise InputError(
                "CHANGE_SOURCE",
                "give exactly one of a patch, a git range and a change set",
                "Use one of --patch FILE, --git RANGE, --changeset FILE.",
            )
        if request.patch is not None:
            return self._patched(request.patch)
        if request.git_range is not None:
            from lonelycat.runtime.git import GitRepository

            repository = GitRepository(self._settings.workspace, self._settings.limits)
            return repository.changes_in_range(request.git_range, self._blobs.put_stream, self._blobs.spool)
        return read_changeset(request.changeset or b"", self._read_old, self._settings.limits)

    def _patched(self, data: bytes) -> tuple[FileChange, ...]:
        parsed = parse_patch(data, self._settings.limits)
        # What a patch says to create in a protected place is not looked for, and goes to the gate, which denies it.
        unseen = {file.path for file in parsed.files if file.kind == "create" and is_protected(file.path)}
        return apply_patch(parsed, lambda path: None if path in unseen else self._read_old(path), self._settings.limits)

    def _with_plan(
        self, request: ChangeRequest, plan: ChangePlan, changes: ChangeSet | tuple[FileChange, ...]
    ) -> tuple[ChangePlan, ChangeSet]:
        stated = {"intent": request.intent, "created_by": request.by}
        said = {**plan.model_dump(), **{key: value for key, value in stated.items() if value}}
        said |= {key: masked(said[key]) for key in _WORDS if isinstance(said[key], str)}
        try:
            plan = ChangePlan.model_validate(said)
        except ValidationError as error:
            raise _invalid(error) from error
        if isinstance(changes, ChangeSet):
            changeset = changes
        else:
            changeset = ChangeSet.build(plan_id=plan.id, changes=changes, generated_by=plan.created_by)
        return self._planner.complete(plan, changeset), changeset

    def _read_old(self, path: str) -> OldFile | None:
        if is_protected(path):
            raise RefusedError(
                "PATH_PROTECTED",
                f"path {printable(path)} is protected under every policy",
                "LonelyCat never changes what is in .git or .lonelycat, and does not read it for a change.",
            )
        filesystem, limit = FileSystem(), self._settings.limits.max_input_bytes
        with PinnedTree(filesystem, self._settings.workspace, self._settings.limits.chunk_bytes) as tree:
            parts: list[bytes] = []
            found = tree.look(path, parts.append)
            if found is None:
                return None
            if found.identity.is_link:
                directory, _, name = path.rpartition("/")
                return OldFile(filesystem.read_link(tree.directory(directory), name), "120000")
            if found.status.st_size > limit:
                raise InputError("FILE_TOO_LARGE", f"{path} is too large to be patched", "Replace it as a whole.")
            return OldFile(b"".join(parts), "100755" if found.identity.mode == "100755" else "100644")


def _invalid(error: ValidationError) -> InputError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return InputError("INVALID_PLAN", f"{place}: {first['msg']}", "Mend the argument that this field comes from.")
