"""What one check or restart found, as data.

Invariant: ``ok`` is true only when the check ran to its end and held; whatever else happened has a stable code.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one verification profile, health check or service restart.

    Attributes:
        name: the profile's, check's or service's name in the policy.
        kind: ``verify``, ``health:<kind>`` or ``service:<kind>``.
        ok: whether it held.
        code: stable upper-case code when not ok, else None.
        message: one sentence for a person.
        duration_seconds: how long it took, waiting included.
        output: what the command or probe said, bounded; not redacted yet.
        details: JSON-compatible facts for programs.
    """

    name: str
    kind: str
    ok: bool
    code: str | None
    message: str
    duration_seconds: float
    output: bytes = b""
    details: dict[str, object] = field(default_factory=dict)
