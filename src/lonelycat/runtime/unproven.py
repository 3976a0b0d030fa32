"""Which health checks were never seen to fail, neither in a test nor for real: nobody knows whether they can.

Invariant: looking only; nothing is made where there are no records yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lonelycat.records.entries import AuditType
from lonelycat.runtime.bootstrap import Wiring

_STEPS = ("health:", "rollback.health:")
_RECENT_EXECUTIONS = 1_000


def unproven(wiring: Wiring) -> tuple[str, ...]:
    """Return the policy's health checks that never failed, by name, in the policy's order."""
    records = wiring.records_to_read()
    proven: set[object] = set()
    if records is not None:
        for payload in records.audit_payloads(AuditType.HEALTH_TESTED):
            noticed = payload.get("proven")
            proven |= set(noticed) if isinstance(noticed, list) else set()
        for row in records.executions(limit=_RECENT_EXECUTIONS):
            proven |= set(_failed(row.result.steps))
    return tuple(name for name in wiring.policy().loaded.policy.health_checks if name not in proven)


def unproven_but_testable(wiring: Wiring) -> tuple[str, ...]:
    """Return the same where the policy says how to test them; else nothing, for nobody could mend it."""
    return () if wiring.policy().loaded.policy.health_test is None else unproven(wiring)


def _failed(steps: Iterable[Any]) -> Iterable[str]:
    for step in steps:
        for prefix in _STEPS:
            if step.status == "failed" and step.name.startswith(prefix):
                yield step.name.removeprefix(prefix)
