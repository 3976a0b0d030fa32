"""Bounds: where a change may write at all, and how much of it there may be. Over a bound is DENY.

Invariant: forbidden and protected names are matched as written and folded; allowed ones as written only.
"""

from __future__ import annotations

from collections.abc import Iterator

from lonelycat.changes.paths import is_protected
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Verdict
from lonelycat.governance.rules.base import Finding, RuleContext


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report paths out of bounds and every exceeded limit."""
    yield from _paths(context)
    yield from _amounts(context)
    yield from _sizes(context)


def _paths(context: RuleContext) -> Iterator[Finding]:
    section = context.policy.executor
    touched = context.facts.touched_paths
    protected = tuple(path for path in touched if is_protected(path)) if _may_be_protected(touched) else ()
    if protected:
        yield Finding(
            "PATH_PROTECTED", Verdict.DENY, "builtin.protected_paths",
            "the repository's own data and LonelyCat's state are never written by a change set",
            "Leave .git and .lonelycat alone in every spelling.", protected,
        )  # fmt: skip
    forbidden = compile_globs(section.forbidden_paths, folds=True)
    hits = context.facts.select(forbidden)
    if hits:
        yield Finding(
            "PATH_FORBIDDEN", Verdict.DENY, "executor.forbidden_paths",
            f"matches the forbidden pattern {', '.join(sorted({str(forbidden.first(path)) for path in hits[:20]}))}",
            "Leave the file out, or let a person change the policy or add an exception with an expiry.", hits,
        )  # fmt: skip
    allowed = compile_globs(section.allowed_paths)
    inside = set(context.facts.select(allowed))
    outside = tuple(path for path in touched if path not in inside)
    if outside:
        yield Finding(
            "PATH_NOT_ALLOWED", Verdict.DENY, "executor.allowed_paths",
            "lies outside of what the policy allows to be changed",
            "Leave the file out, or let a person widen allowed_paths.", outside,
        )  # fmt: skip


def _may_be_protected(paths: tuple[str, ...]) -> bool:
    """Tell cheaply whether any of ``paths`` may be protected; every ASCII spelling holds one of these texts."""
    text = "\n".join(paths)
    lowered = text.lower()
    return not text.isascii() or ".git" in lowered or ".lonelycat" in lowered or "~" in lowered


def _amounts(context: RuleContext) -> Iterator[Finding]:
    limits = context.policy.executor.constraints
    touched, deleted = len(context.facts.changes), len(context.facts.deleted_paths)
    if touched > limits.max_files_touched:
        yield Finding(
            "TOO_MANY_FILES", Verdict.DENY, "executor.constraints.max_files_touched",
            f"{touched} files are touched; at most {limits.max_files_touched} are allowed", "Split the change set.",
        )  # fmt: skip
    if context.facts.patch_lines_reach(limits.max_patch_lines + 1):
        yield Finding(
            "TOO_MANY_LINES", Verdict.DENY, "executor.constraints.max_patch_lines",
            f"over {limits.max_patch_lines} lines are added or removed", "Split the change set.",
        )  # fmt: skip
    if deleted > limits.max_deletions:
        yield Finding(
            "TOO_MANY_DELETIONS", Verdict.DENY, "executor.constraints.max_deletions",
            f"{deleted} files are deleted or emptied; at most {limits.max_deletions} are allowed",
            "Split the change set, or let a person delete them.",
        )  # fmt: skip


def _sizes(context: RuleContext) -> Iterator[Finding]:
    limits = context.policy.executor.constraints
    total = 0
    large: list[str] = []
    for member in context.facts.members:
        size = member.new_size
        total += size
        if size > limits.max_file_bytes:
            large.append(member.change.path)
    if large:
        yield Finding(
            "FILE_TOO_LARGE", Verdict.DENY, "executor.constraints.max_file_bytes",
            f"is over {limits.max_file_bytes} bytes", "Keep large files out of the workspace.", tuple(large),
        )  # fmt: skip
    if total > limits.max_total_bytes:
        yield Finding(
            "TOO_MANY_BYTES", Verdict.DENY, "executor.constraints.max_total_bytes",
            f"{total} bytes are written; at most {limits.max_total_bytes} are allowed", "Split the change set.",
        )  # fmt: skip
