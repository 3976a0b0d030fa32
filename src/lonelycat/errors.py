"""The one base of every error that LonelyCat raises on purpose.

Invariant: an error that reaches a user has a stable upper-case ``code`` for programs, a ``message`` that says
what happened and where, and a ``hint`` that says what to do next. Interfaces translate ``category`` into an exit
code or an HTTP status; nothing below them knows about either.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Category(StrEnum):
    """What kind of answer an error is; each interface maps it once (the command line to its exit code)."""

    INTERNAL = "internal"
    INPUT = "input"
    NEEDS_APPROVAL = "needs_approval"
    REFUSED = "refused"
    CONFLICT = "conflict"
    ROLLED_BACK = "rolled_back"
    FROZEN = "frozen"
    LOCK_TIMEOUT = "lock_timeout"
    INTERRUPTED = "interrupted"


class LonelyCatError(Exception):
    """Base of all deliberate errors.

    Args:
        code: stable upper-case identifier, for example ``CHECKSUM_MISMATCH``.
        message: one sentence saying what happened, naming file, line or field where there is one.
        hint: one sentence saying what the reader can do about it.
        details: JSON-compatible facts for programs; never secrets.
    """

    category: Category = Category.INTERNAL

    def __init__(self, code: str, message: str, hint: str = "", *, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details: dict[str, object] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InputError(LonelyCatError):
    """What the caller handed in cannot be used: malformed JSON, patch, plan, change set, policy or argument."""

    category = Category.INPUT


class PathError(InputError):
    """A path that LonelyCat will not touch under any policy because of how it is written."""


class PolicyError(InputError):
    """The policy cannot be loaded; closed by default, nothing is allowed until it can."""


class RefusedError(LonelyCatError):
    """Refused before anything was touched: tampered, unapproved, expired, out of bounds, over a limit."""

    category = Category.REFUSED


class NeedsApprovalError(LonelyCatError):
    """The change is waiting for a person's yes."""

    category = Category.NEEDS_APPROVAL


class ConflictError(LonelyCatError):
    """The workspace is not what the change set was made against; nothing of anyone's is lost."""

    category = Category.CONFLICT


class FrozenError(LonelyCatError):
    """The workspace is frozen after a failed rollback; a person has to look and unfreeze it."""

    category = Category.FROZEN


class LockTimeoutError(LonelyCatError):
    """Another execution held the workspace for longer than the caller was ready to wait."""

    category = Category.LOCK_TIMEOUT


class StepFailedError(LonelyCatError):
    """A step after apply failed (restart, verification, health, time limit); the pipeline rolls back."""

    category = Category.ROLLED_BACK


class StateError(LonelyCatError):
    """The state directory or database is missing, corrupt, newer than this version, or not safely lockable."""
