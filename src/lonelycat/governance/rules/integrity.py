"""Integrity: is the change set what it says it is, and does it belong to the plan.

Invariant: nothing is taken for granted because a model was constructed; models can be built without validation, so
shapes, paths and hashes are checked again here.
"""

from __future__ import annotations

from collections.abc import Iterator

from lonelycat.changes.changeset import FileChange, Operation, check_changes
from lonelycat.changes.paths import check_path
from lonelycat.errors import InputError
from lonelycat.governance.policy import Verdict
from lonelycat.governance.rules.base import Finding, RuleContext


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report a change set that was altered, is malformed, or is not the plan's."""
    yield from _shape(context)
    error = context.changeset.integrity_error()
    if error:
        yield Finding(
            "CHECKSUM_MISMATCH", Verdict.DENY, "builtin.integrity", error,
            "The change set was altered after it was made; make it again and do not edit it.",
        )  # fmt: skip
    if context.changeset.plan_id != context.plan.id:
        yield Finding(
            "PLAN_MISMATCH", Verdict.DENY, "builtin.integrity",
            f"the change set was made for {context.changeset.plan_id!r:.80}, not for this plan",
            "Propose the change set with its own plan.",
        )  # fmt: skip
    declared = set(context.plan.affected_paths)
    undeclared = tuple(path for path in context.facts.touched_paths if path not in declared)
    if declared and undeclared:
        yield Finding(
            "PATHS_UNDECLARED", Verdict.DENY, "builtin.integrity",
            "is changed although the plan's affected_paths do not name it",
            "Name every path of the change set in affected_paths, or leave affected_paths empty.", undeclared,
        )  # fmt: skip


def _shape(context: RuleContext) -> Iterator[Finding]:
    try:
        for change in context.changeset.changes:
            for path in change.paths:
                check_path(path)
        check_changes(context.changeset.changes)
    except InputError as error:
        yield Finding(
            "CHANGESET_INVALID", Verdict.DENY, "builtin.integrity", f"{error.code}: {error.message}", error.hint
        )
    wrong = tuple(change.path for change in context.facts.changes if not _is_well_formed(change))
    if wrong:
        yield Finding(
            "CHANGESET_INVALID", Verdict.DENY, "builtin.integrity",
            "has an operation, hash, mode or content that do not belong together",
            "Build the change with FileChange.create, update, delete or rename.", wrong,
        )  # fmt: skip


_MODES = frozenset({"100644", "100755", "120000"})


def _is_well_formed(change: FileChange) -> bool:
    """Tell whether a change has the shape that :class:`FileChange` demands, whether or not it was validated."""
    operation: object = change.operation
    if not isinstance(operation, Operation):
        return False
    has_old, has_new = operation is not Operation.CREATE, operation is not Operation.DELETE
    same_bytes = change.new_hash == change.old_hash
    changes_nothing = same_bytes and change.new_mode == change.old_mode
    return (
        (change.old_hash is not None, change.old_mode in _MODES) == (has_old, has_old)
        and (change.new_hash is not None, change.new_mode in _MODES) == (has_new, has_new)
        and (change.old_path is not None) == (operation is Operation.RENAME)
        and (change.content is None or has_new)
        and (change.content is not None or same_bytes or not has_new)
        and not (operation is Operation.UPDATE and changes_nothing)
    )
