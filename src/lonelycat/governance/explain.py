"""A decision in words: what was ruled, which rule decided, and what else was looked at.

Invariant: nothing is judged here; every sentence is read off the decision and the policy.
"""

from __future__ import annotations

from collections.abc import Iterator

from lonelycat.governance.decision import GovernanceDecision, Reason
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Policy, RuleMode, Verdict
from lonelycat.governance.risk import governance_glob
from lonelycat.governance.rules.base import SEVERITY
from lonelycat.governance.rules.codes import CODES

_VERDICTS = {
    Verdict.ALLOW: "allowed",
    Verdict.NEED_APPROVAL: "held for a person's approval",
    Verdict.DENY: "denied",
}
_MAX_PATHS = 5


def explain_decision(decision: GovernanceDecision, policy: Policy) -> tuple[str, ...]:
    """Return why ``decision`` is what it is, one sentence an item: the deciding rules first."""
    return tuple(_sentences(decision, policy))


def explain_path(path: str, policy: Policy) -> tuple[str, ...]:
    """Return what the policy says about ``path`` alone, whatever is done to it: bounds, categories, checks."""
    return tuple(_about(path, policy))


def _sentences(decision: GovernanceDecision, policy: Policy) -> Iterator[str]:
    yield f"The change is {_VERDICTS[decision.verdict]}; its risk is {decision.risk_level_effective}."
    deciding = [each for each in decision.reasons if each.counts and each.verdict is decision.verdict]
    if decision.verdict is Verdict.ALLOW:
        yield "No rule of the policy objects."
    else:
        for reason in deciding:
            yield f"Decided by {reason.rule} ({reason.code}): {_what(reason)}"
    for reason in decision.reasons:
        if reason.counts and reason.risk is not None and SEVERITY[reason.verdict] < SEVERITY[decision.verdict]:
            yield f"{reason.rule} raises the risk to {reason.risk}: {_what(reason)}"
        elif reason.counts and reason.verdict is not decision.verdict:
            yield f"{reason.rule} ({reason.code}) alone would mean {reason.verdict}: {_what(reason)}"
        elif reason.counts and reason.risk is not None and decision.verdict is Verdict.ALLOW:
            yield f"{reason.rule} raises the risk to {reason.risk}: {_what(reason)}"
        elif reason.mode is RuleMode.SHADOW:
            yield f"In shadow only, {reason.rule} ({reason.code}) would mean {reason.verdict}: {_what(reason)}"
        elif reason.excepted_by is not None:
            yield f"The exception {reason.excepted_by} lifts {reason.rule} ({reason.code}): {_what(reason)}"
    if decision.approvals_required:
        approvers = ", ".join(sorted(policy.approvals.approvers)) or "any person but the proposer"
        yield f"It needs {decision.approvals_required} approval(s), from {approvers}."


def _what(reason: Reason) -> str:
    shown = ", ".join(reason.paths[:_MAX_PATHS])
    more = f" and {len(reason.paths) - _MAX_PATHS} more" if len(reason.paths) > _MAX_PATHS else ""
    meaning = CODES[reason.code].meaning if reason.code in CODES else reason.code
    about = f"{shown}{more}: " if shown else ""
    return f"{about}{reason.message or meaning}."


def _about(path: str, policy: Policy) -> Iterator[str]:
    executor = policy.executor
    for section, folds in (("forbidden_paths", True), ("allowed_paths", False)):
        glob = compile_globs(getattr(executor, section), folds=folds).first(path)
        yield f"executor.{section}: {f'matches {glob}' if glob else 'no pattern matches'}"
    glob = governance_glob(path)
    if glob:
        yield f"builtin.governance_paths: matches {glob}, so a person other than the proposer has to approve it"
    for name, category in policy.categories.items():
        glob = compile_globs(category.paths, folds=True).first(path)
        spared = compile_globs(category.except_paths).first(path)
        if glob and spared:
            yield f"categories.{name}: matches {glob}, and {spared} in except_paths takes it out"
        elif glob:
            always = ", always reviewed" if name in executor.always_review_categories else ""
            yield f"categories.{name}: matches {glob}; risk {category.risk}{always}"
    for section, table in (("verification", policy.verification), ("health_checks", policy.health_checks)):
        for name, check in table.items():
            glob = compile_globs(check.touches).first(path)
            if glob:
                yield f"{section}.{name}: is for {glob}"
