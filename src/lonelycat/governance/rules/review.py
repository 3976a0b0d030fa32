"""Risk and review: what the change touches raises the risk, and some categories a person always looks at."""

from __future__ import annotations

from collections.abc import Iterator

from lonelycat.changes.changeset import Operation
from lonelycat.governance import risk  # as a module: it imports this package, whichever comes first
from lonelycat.governance.policy import Verdict
from lonelycat.governance.rules.base import Finding, RuleContext
from lonelycat.governance.version_bump import only_raises_versions


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report everything that raises the risk, and every category that is always reviewed."""
    proposed = context.plan.risk_level_proposed
    if proposed > context.policy.default_risk:
        yield Finding(
            "PLAN_RISK", Verdict.ALLOW, "builtin.plan", f"the plan itself proposes {proposed.name}", risk=proposed
        )
    yield from risk.risk_findings(context.policy, context.facts)
    for name in context.policy.executor.always_review_categories:
        paths = risk.category_paths(context.policy, name, context.facts)
        if paths and context.policy.categories[name].except_version_bumps:
            paths = _without_version_bumps(context, paths)
        if paths:
            yield Finding(
                "REVIEW_CATEGORY", Verdict.NEED_APPROVAL, f"categories.{name}",
                f"changes to {name} are always reviewed", "A person other than the proposer has to approve it.", paths,
            )  # fmt: skip


def _without_version_bumps(context: RuleContext, paths: tuple[str, ...]) -> tuple[str, ...]:
    bumped = {
        member.change.path
        for member in context.facts.members
        if member.change.path in paths
        and member.change.operation is Operation.UPDATE
        and member.change.old_mode == member.change.new_mode
        and only_raises_versions(member.change.path, member.old, member.new)
    }
    return tuple(path for path in paths if path not in bumped)
