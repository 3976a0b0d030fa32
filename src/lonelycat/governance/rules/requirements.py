"""Requirements: what the effective risk demands of the plan, and whether the names in it mean anything.

Invariant: a plan may name more checks than the policy has for its paths, never fewer: leaving out the one check that
would have failed is how a bad change passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Verdict
from lonelycat.governance.policy_profiles import HealthCheck, VerificationProfile
from lonelycat.governance.rules.base import Finding, RuleContext


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report unknown names, missing checks, a missing rollback plan, and a risk that needs a person's yes."""
    policy, plan, risk = context.policy, context.plan, context.risk
    yield from _unknown("UNKNOWN_PROFILE", "verification", plan.verification_plan, policy.verification)
    yield from _unknown("UNKNOWN_HEALTH_CHECK", "health_checks", plan.health_checks, policy.health_checks)
    yield from _unknown("UNKNOWN_SERVICE", "services", plan.services, policy.services)
    if risk in policy.executor.require_verification_for_risk:
        yield from _checks(context, "VERIFICATION", "verification", plan.verification_plan, policy.verification)
    if risk in policy.executor.require_health_checks_for_risk:
        yield from _checks(context, "HEALTH_CHECK", "health_checks", plan.health_checks, policy.health_checks)
    for name, check in sorted(policy.health_checks.items()):
        if risk in check.required_for_risk and name not in plan.health_checks:
            yield Finding(
                "HEALTH_CHECK_REQUIRED", Verdict.DENY, f"health_checks.{name}.required_for_risk",
                f"the risk is {risk.name}, at which every plan names the health check {name}, and this one does not",
                f"Let the planner choose, or name {name}.",
            )  # fmt: skip
    if risk in policy.executor.require_rollback_plan_for_risk and not plan.rollback_plan.strip():
        yield Finding(
            "ROLLBACK_PLAN_REQUIRED", Verdict.DENY, "executor.require_rollback_plan_for_risk",
            f"the risk is {risk.name} and the plan does not say how to undo it",
            "Say in rollback_plan how the change is undone, or let the planner fill it in.",
        )  # fmt: skip
    if risk in policy.approval_for_risk:
        yield Finding(
            "RISK_NEEDS_APPROVAL", Verdict.NEED_APPROVAL, "approval_for_risk",
            f"the effective risk is {risk.name}", "A person other than the proposer has to approve it.",
        )  # fmt: skip


def _unknown(code: str, section: str, named: Sequence[str], defined: Mapping[str, object]) -> Iterator[Finding]:
    unknown = sorted(set(named) - set(defined))
    if unknown:
        known = ", ".join(sorted(defined)) or "none"
        yield Finding(
            code, Verdict.DENY, section, f"the plan names {', '.join(unknown)}, which the policy does not define",
            f"Use names that the policy defines: {known}.",
        )  # fmt: skip


def _checks(
    context: RuleContext,
    prefix: str,
    section: str,
    named: Sequence[str],
    defined: Mapping[str, VerificationProfile] | Mapping[str, HealthCheck],
) -> Iterator[Finding]:
    touching = {name for name, check in defined.items() if context.facts.select(compile_globs(check.touches))}
    if not touching.intersection(named):
        offered = f"name {', '.join(sorted(touching))}" if touching else "the policy defines none for these paths"
        yield Finding(
            f"{prefix}_REQUIRED", Verdict.DENY, f"executor.require_{section}_for_risk",
            f"the risk is {context.risk.name} and the plan names no {prefix.lower().replace('_', ' ')} for these paths",
            f"Let the planner choose, or {offered}.",
        )  # fmt: skip
        return
    for name in sorted(touching.difference(named)):
        paths = context.facts.select(compile_globs(defined[name].touches))
        yield Finding(
            f"{prefix}_INCOMPLETE", Verdict.NEED_APPROVAL, f"{section}.{name}",
            f"the plan leaves out {name}, which the policy has for these paths",
            f"Name {name} in the plan, or let a person approve the change without it.", paths,
        )  # fmt: skip
