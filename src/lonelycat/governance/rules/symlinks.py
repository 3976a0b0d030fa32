"""Symbolic links: where they point, judged by their text alone.

Invariant: a target that cannot be judged counts as one that escapes. A ``..`` after a name is such a target, because
the name may itself be a link.
"""

from __future__ import annotations

from collections.abc import Iterator

from lonelycat.changes.paths import is_protected
from lonelycat.governance.facts import ChangeFacts
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Reaction, Verdict
from lonelycat.governance.rules.base import REACTIONS, Finding, RuleContext


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report every link that a change makes, and those that point where nothing may write."""
    links = context.facts.links
    if not links:
        return
    rules = context.policy.content
    forbidden = compile_globs(context.policy.executor.forbidden_paths, folds=True)
    escaping: list[str] = []
    protected: list[str] = []
    shut: list[str] = []
    for member in links:
        target = resolve(member)
        if target is None:
            escaping.append(member.change.path)
        elif is_protected(target):
            protected.append(member.change.path)
        elif forbidden.matches(target) or forbidden.matches(f"{target}/x"):
            shut.append(member.change.path)
    hint = "Copy the file, or link to a file of the workspace by a plain relative path."
    if rules.symlinks is not Reaction.ALLOW:
        paths = tuple(member.change.path for member in links)
        yield Finding("SYMLINK", REACTIONS[rules.symlinks], "content.symlinks", "is a symbolic link", hint, paths)
    if escaping and rules.escaping_symlinks is not Reaction.ALLOW:
        yield Finding(
            "SYMLINK_ESCAPES", REACTIONS[rules.escaping_symlinks], "content.escaping_symlinks",
            "is a symbolic link that leaves the workspace, or whose target cannot be judged", hint, tuple(escaping),
        )  # fmt: skip
    if protected:
        yield Finding(
            "SYMLINK_TO_PROTECTED", Verdict.DENY, "builtin.protected_paths",
            "is a symbolic link to what no change set may write", hint, tuple(protected),
        )  # fmt: skip
    if shut:
        yield Finding(
            "SYMLINK_TO_FORBIDDEN", Verdict.DENY, "executor.forbidden_paths",
            "is a symbolic link to what the policy forbids", hint, tuple(shut),
        )  # fmt: skip


def resolve(member: ChangeFacts) -> str | None:
    """Return the workspace path that a link points to, or None when it leaves or cannot be judged."""
    data = member.new
    if data is None or not data or len(data) > 4_000 or b"\0" in data or data.startswith(b"/"):
        return None
    target = data.decode("utf-8", "surrogateescape")
    if (
        "\\" in target
        or ":" in target
        or not all(char.isprintable() or "\udc80" <= char <= "\udcff" for char in target)
    ):
        return None
    parts = member.change.path.split("/")[:-1]
    named = False
    for component in target.split("/"):
        if component in ("", "."):
            continue
        if component == "..":
            if named or not parts:
                return None
            parts.pop()
        else:
            named = True
            parts.append(component)
    return "/".join(parts) or None
