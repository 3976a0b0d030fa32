"""Health checks outside of an execution: what the policy has, and asking them now.

Invariants: nothing is changed and nothing is recorded; what is shown is masked like what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.health.registry import health_kind, known_kinds, origin, validate_health_check
from lonelycat.checks.result import CheckResult
from lonelycat.errors import InputError
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_profiles import HealthCheck
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.findings import redacted
from lonelycat.runtime.unproven import unproven


@dataclass(frozen=True, slots=True)
class HealthList:
    """What health checks there are, and what kinds of them there can be.

    Attributes:
        checks: by name, as the policy has them.
        services: the services that each check belongs to.
        kinds: every kind that is installed, and the distribution that it comes from.
        unproven: the checks that never failed, neither in a test nor for real.
    """

    checks: dict[str, HealthCheck]
    services: dict[str, tuple[str, ...]]
    kinds: dict[str, str]
    unproven: tuple[str, ...]


def health_list(wiring: Wiring) -> HealthList:
    """Return the policy's health checks and the installed kinds.

    Raises:
        PolicyError: a check's parameters are wrong, or a plug-in clashes or cannot be loaded.
    """
    policy = wiring.policy().loaded.policy
    kinds = {name: origin(name) for name in known_kinds()}
    for name in kinds:
        health_kind(name)
    for name, check in policy.health_checks.items():
        validate_health_check(name, check)
    services = {
        name: tuple(service for service, spec in policy.services.items() if name in spec.health_checks)
        for name in policy.health_checks
    }
    return HealthList(dict(policy.health_checks), services, kinds, unproven(wiring))


def health_run(wiring: Wiring, names: Sequence[str] = ()) -> tuple[CheckResult, ...]:
    """Ask the named health checks now, all of the policy's by default, in the policy's order.

    What a check compares with is noted just before it is asked, as it is before a change.

    Raises:
        InputError: ``UNKNOWN_HEALTH_CHECK``, or ``HEALTH_NO_CHECKS`` when the policy has none.
    """
    policy = wiring.policy().loaded.policy
    chosen = chosen_checks(policy, names)
    settings = wiring.settings
    checker = HealthChecker(settings.workspace, wiring.clock, settings.limits)
    limit = policy.executor.constraints.max_step_time
    return tuple(redacted(checker.run_now(name, check, limit)) for name, check in chosen.items())


def chosen_checks(policy: Policy, names: Sequence[str]) -> dict[str, HealthCheck]:
    """Return the named health checks, all of the policy's by default, in the policy's order.

    Raises:
        InputError: ``UNKNOWN_HEALTH_CHECK``, or ``HEALTH_NO_CHECKS`` when the policy has none.
    """
    known = policy.health_checks
    if not known:
        raise InputError("HEALTH_NO_CHECKS", "the policy has no health checks", "Define some in the policy.")
    for name in names:
        if name not in known:
            there = f"There are {', '.join(known)}."
            raise InputError("UNKNOWN_HEALTH_CHECK", f"the policy has no health check {name}", there)
    return {name: check for name, check in known.items() if not names or name in names}
