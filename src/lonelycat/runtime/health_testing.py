"""Testing the health checks themselves: which of them notice a broken service.

Invariants: the live services and the workspace are not touched; what was seen is recorded in the audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lonelycat.checks.breaking.report import HealthTestReport
from lonelycat.checks.breaking.sandbox import break_copy
from lonelycat.checks.health.registry import health_kind, validate_health_check
from lonelycat.checks.services.registry import validate_service
from lonelycat.records.entries import AuditEvent, AuditType
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.health import chosen_checks

_SECONDS = 900.0


def health_test(
    wiring: Wiring, names: Sequence[str] = (), on_event: Callable[[dict[str, Any]], None] | None = None
) -> HealthTestReport:
    """Break a copy of the services in a sandbox, fault by fault; record and return which health checks noticed.

    Args:
        names: the health checks to ask, all of the policy's by default.
        on_event: told of each fault as it begins and as it was seen.

    Raises:
        InputError: ``UNKNOWN_HEALTH_CHECK``, or ``HEALTH_NO_CHECKS`` when the policy has none.
        StateError: ``HEALTH_TEST_…``: it could not be tried.
    """
    policy = wiring.policy().loaded.policy
    chosen = chosen_checks(policy, names)
    for name, service in policy.services.items():
        validate_service(name, service)
    variables: set[str] = set()
    for name, check in chosen.items():
        variables |= set(health_kind(check.kind).variables(validate_health_check(name, check)))
    workspace = wiring.settings.workspace.resolve()
    tell = on_event or (lambda event: None)
    report = break_copy(workspace, policy, tuple(chosen), tuple(sorted(variables)), tell, _SECONDS)
    wiring.records.audit(
        AuditEvent(
            AuditType.HEALTH_TESTED,
            wiring.settings.user,
            {
                "proven": list(report.proven),
                "checks": list(report.checks),
                "faults": [{"fault": one.fault, "service": one.service, "seen": one.seen} for one in report.faults],
            },
        )
    )
    return report
