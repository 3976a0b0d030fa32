"""What breaking the services showed: each fault, and which health check noticed it.

Invariant: a check that did not notice a fault of its own service is told as such, never left out.
"""

from __future__ import annotations

from typing import Literal

from lonelycat.changes.model import Strict

Seen = Literal["noticed", "not_noticed", "not_applicable"]


class FaultSeen(Strict):
    """One fault, and what each health check made of it.

    Attributes:
        fault: such as ``hang``.
        service: the service that was broken.
        seen: by the name of the check. A check of another service that did not notice is ``not_applicable``.
        codes: of those that noticed.
    """

    fault: str
    service: str
    seen: dict[str, Seen]
    codes: dict[str, str]

    @property
    def noticed(self) -> bool:
        """Whether any check noticed."""
        return "noticed" in self.seen.values()


class HealthTestReport(Strict):
    """Everything that was tried.

    Attributes:
        checks: the names of the health checks, in the policy's order.
        skipped: services that cannot be broken, by name, and why.
    """

    checks: tuple[str, ...]
    faults: tuple[FaultSeen, ...]
    skipped: dict[str, str]

    @property
    def unnoticed(self) -> tuple[FaultSeen, ...]:
        """The faults that no check noticed."""
        return tuple(fault for fault in self.faults if not fault.noticed)

    @property
    def proven(self) -> tuple[str, ...]:
        """The checks that noticed something."""
        return tuple(name for name in self.checks if any(fault.seen[name] == "noticed" for fault in self.faults))
