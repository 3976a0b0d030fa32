"""Whether a stored plan's decision still counts: it ends with its time, and with the policy that it was made under.

Invariant: advice alone. The executor checks the same by itself, and what is said here lets nothing pass.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Literal

from lonelycat.errors import PolicyError
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.records.entries import OpenPlan
from lonelycat.runtime.bootstrap import Wiring

Void = Literal["expired", "policy_changed"]
"""Why neither an approval nor an execution of a plan would be taken any more."""


def policy_hash(wiring: Wiring) -> str | None:
    """Return the hash of the policy in force, or None where it does not load, which `doctor` tells."""
    with suppress(PolicyError):
        return wiring.policy().loaded.sha256
    return None


def why_void(decision: GovernanceDecision | OpenPlan, now: datetime, policy: str | None) -> Void | None:
    """Return why ``decision`` is void, or None while it holds.

    Args:
        policy: the hash of the policy in force, or None where nobody knows it.
    """
    if now >= decision.expires_at:
        return "expired"
    if policy is not None and policy != decision.policy_snapshot_hash:
        return "policy_changed"
    return None
