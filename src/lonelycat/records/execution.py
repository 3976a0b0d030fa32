"""What one execution left behind, as data: its result, its steps and its idempotency record."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lonelycat.changes.conflict import Conflict
from lonelycat.changes.model import Hash, Instant, Strict, as_tuple
from lonelycat.changes.plan import Identifier
from lonelycat.lifecycle import Status


def _status(value: object) -> object:
    return Status(value) if isinstance(value, str) else value


StatusField = Annotated[Status, BeforeValidator(_status)]


class StepRecord(Strict):
    """One step of an execution.

    Attributes:
        name: ``stage``, ``apply``, ``restart:web``, ``verify:tests``, ``health:web``, ``rollback`` …
        code: the error code of a failed step, else None.
        log: name of the step's log file below ``steps/``, or None.
    """

    index: int
    name: str
    status: Literal["ok", "failed", "skipped"]
    started_at: Instant
    duration_seconds: float
    code: str | None = None
    message: str = ""
    log: str | None = None


class ExecutionResult(Strict):
    """What ``Executor.execute`` returns and history keeps.

    Attributes:
        success: whether the change is in place, verified and kept.
        cached: the result is that of an earlier execution of the same plan and checksum; nothing was touched.
        error_code, message, hint: for anything but success, what happened and what to do.
        files_changed: the paths touched, sorted.
        warnings: what did not stop the execution but wants a look.
        conflicts: of a CONFLICT, each path that was not what it had to be, and who else wrote it.
        pre_image: digest of what the change's paths held before: bytes, modes, links, directories; None before staging.
        rollback_image: the same of what they hold after a rollback; None when nothing was rolled back.
    """

    success: bool
    status: StatusField
    execution_id: Identifier
    plan_id: str
    changeset_id: str
    checksum: str
    cached: bool = False
    dry_run: bool = False
    error_code: str | None = None
    message: str = ""
    hint: str = ""
    files_changed: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    verification_passed: bool = False
    steps: Annotated[tuple[StepRecord, ...], BeforeValidator(as_tuple)] = ()
    warnings: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    conflicts: Annotated[tuple[Conflict, ...], BeforeValidator(as_tuple)] = ()
    pre_image: str | None = None
    rollback_image: str | None = None
    started_at: Instant
    finished_at: Instant
    fence: int = 0


class ExecutionRecord(Strict):
    """The idempotency record of one plan and checksum."""

    execution_id: Identifier
    plan_id: Identifier
    changeset_id: str
    checksum: Hash
    status: Literal["completed", "failed"]
    executed_at: Instant
    files_changed: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    verification_passed: bool = False
    message: str = ""
    ttl_seconds: Annotated[int, Field(ge=0)] = 3600
