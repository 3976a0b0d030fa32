"""The exit codes, and the only place that knows what maps to which."""

from __future__ import annotations

from enum import IntEnum

from lonelycat.errors import Category
from lonelycat.lifecycle import Status


class Exit(IntEnum):
    """What the process says about its end; a contract with every script that calls it."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NEEDS_APPROVAL = 3
    REFUSED = 4
    CONFLICT = 5
    ROLLED_BACK = 6
    FROZEN = 7
    LOCK_TIMEOUT = 8
    INTERRUPTED = 130


BY_CATEGORY: dict[Category, Exit] = {
    Category.INTERNAL: Exit.UNEXPECTED,
    Category.INPUT: Exit.USAGE,
    Category.NEEDS_APPROVAL: Exit.NEEDS_APPROVAL,
    Category.REFUSED: Exit.REFUSED,
    Category.CONFLICT: Exit.CONFLICT,
    Category.ROLLED_BACK: Exit.ROLLED_BACK,
    Category.FROZEN: Exit.FROZEN,
    Category.LOCK_TIMEOUT: Exit.LOCK_TIMEOUT,
    Category.INTERRUPTED: Exit.INTERRUPTED,
}

BY_STATUS: dict[Status, Exit] = {
    Status.PROPOSED: Exit.NEEDS_APPROVAL,
    Status.DENIED: Exit.REFUSED,
    Status.AWAITING_APPROVAL: Exit.NEEDS_APPROVAL,
    Status.APPROVED: Exit.DONE,
    Status.COMPLETED: Exit.DONE,
    Status.REJECTED: Exit.REFUSED,
    Status.CONFLICT: Exit.CONFLICT,
    Status.ROLLED_BACK: Exit.ROLLED_BACK,
    Status.ROLLBACK_FAILED: Exit.FROZEN,
    Status.INDETERMINATE: Exit.UNEXPECTED,
}

BY_VERDICT: dict[str, Exit] = {
    "ALLOW": Exit.DONE,
    "NEED_APPROVAL": Exit.NEEDS_APPROVAL,
    "DENY": Exit.REFUSED,
}

BY_CODE: dict[str, Exit] = {
    "LOCK_TIMEOUT": Exit.LOCK_TIMEOUT,
    "INTERRUPTED": Exit.INTERRUPTED,
    "WORKSPACE_FROZEN": Exit.FROZEN,
    "APPROVAL_MISSING": Exit.NEEDS_APPROVAL,
    "DIGEST_QUARANTINED": Exit.NEEDS_APPROVAL,
}
"""Codes of an execution that say more than its status does."""


def exit_of_execution(success: bool, status: Status, error_code: str | None) -> Exit:
    """Return the exit code of an execution's end.

    A rollback that failed is 7 whatever led to it; otherwise a code in :data:`BY_CODE` decides before the status.
    """
    if success:
        return Exit.DONE
    if status is not Status.ROLLBACK_FAILED and error_code in BY_CODE:
        return BY_CODE[error_code]
    return BY_STATUS.get(status, Exit.UNEXPECTED)
