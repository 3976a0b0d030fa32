"""The states of a change and the moves between them, as data.

Invariant: no code decides by itself that a state may follow another; it asks :func:`advance`. States before
execution belong to a plan, the others to one execution (one attempt).
"""

from __future__ import annotations

from enum import StrEnum

from lonelycat.errors import LonelyCatError


class Status(StrEnum):
    """Where a plan or an execution stands."""

    PROPOSED = "proposed"
    DENIED = "denied"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    VALIDATING = "validating"
    STAGING = "staging"
    APPLYING = "applying"
    RESTARTING = "restarting"
    VERIFYING = "verifying"
    HEALTH_CHECKING = "health_checking"
    WATCHING = "watching"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    INDETERMINATE = "indeterminate"


S = Status

_UNDONE = frozenset({S.CONFLICT, S.ROLLED_BACK, S.ROLLBACK_FAILED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    S.PROPOSED: frozenset({S.DENIED, S.AWAITING_APPROVAL, S.APPROVED}),
    S.AWAITING_APPROVAL: frozenset({S.APPROVED, S.DENIED}),
    S.APPROVED: frozenset({S.VALIDATING, S.AWAITING_APPROVAL, S.DENIED}),
    S.VALIDATING: frozenset({S.STAGING, S.REJECTED, S.CONFLICT}),
    S.STAGING: frozenset({S.APPLYING, S.REJECTED, S.CONFLICT}),
    S.APPLYING: frozenset({S.RESTARTING, S.VERIFYING, S.HEALTH_CHECKING, S.INDETERMINATE}) | _UNDONE,
    S.RESTARTING: frozenset({S.VERIFYING, S.HEALTH_CHECKING, S.INDETERMINATE}) | _UNDONE,
    S.VERIFYING: frozenset({S.HEALTH_CHECKING, S.INDETERMINATE, S.COMPLETED}) | _UNDONE,
    S.HEALTH_CHECKING: frozenset({S.WATCHING, S.AWAITING_CONFIRMATION, S.COMPLETED, S.INDETERMINATE}) | _UNDONE,
    S.WATCHING: frozenset({S.AWAITING_CONFIRMATION, S.COMPLETED, S.INDETERMINATE}) | _UNDONE,
    S.AWAITING_CONFIRMATION: frozenset({S.COMPLETED, S.INDETERMINATE}) | _UNDONE,
    S.INDETERMINATE: frozenset({S.COMPLETED}) | _UNDONE,
    S.DENIED: frozenset(),
    S.COMPLETED: frozenset(),
    S.REJECTED: frozenset(),
    S.CONFLICT: frozenset(),
    S.ROLLED_BACK: frozenset(),
    S.ROLLBACK_FAILED: frozenset(),
}

OUTCOMES = frozenset({S.COMPLETED, S.REJECTED, S.INDETERMINATE}) | _UNDONE
"""The ways an execution can end."""

RUNNING = frozenset(
    {
        *(S.VALIDATING, S.STAGING, S.APPLYING, S.RESTARTING, S.VERIFYING),
        *(S.HEALTH_CHECKING, S.WATCHING, S.AWAITING_CONFIRMATION),
    }
)
"""The states in which an execution holds the workspace."""


def advance(current: Status, following: Status) -> Status:
    """Return ``following`` if the table allows the move.

    Raises:
        LonelyCatError: ``ILLEGAL_TRANSITION``, a programming error, when it does not.
    """
    if following not in TRANSITIONS[current]:
        raise LonelyCatError(
            "ILLEGAL_TRANSITION",
            f"an execution cannot go from {current} to {following}",
            "This is a defect in LonelyCat; please report it with `lonelycat doctor --json`.",
        )
    return following
