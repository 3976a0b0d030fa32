"""One execution as it runs: its steps with times, codes and logs, its state, its events and its warnings.

Invariants:
- Every step ends, whatever ends it, and is recorded with its code.
- State moves only along the lifecycle's table.
- What goes to ``events.jsonl`` and what the caller is told are the same events.
- A step has its own time limit and the whole execution has one; a step that is *timed* fails when it ended well, but
  too late. A rollback has a limit of its own in place of both.
- Telling never fails: an event that cannot be written, or a caller's sink that raises, stops neither a rollback nor
  what comes after the commit point. Before it, :meth:`ExecutionContext.check_evidence` asks whether all was kept.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan
from lonelycat.clock import Clock, isoformat
from lonelycat.errors import LonelyCatError, StepFailedError
from lonelycat.lifecycle import Status, advance
from lonelycat.records.artifacts import ArtifactDirectory
from lonelycat.records.execution import ExecutionResult, StepRecord

EventSink = Callable[[dict[str, object]], None]

REHEARSAL = "rehearsal"
"""Stands for the id of an execution where nothing is executed, and so nothing is kept to be shown."""


class StepNotes:
    """What a caller may say about the running step."""

    def __init__(self) -> None:
        self.output = b""
        self.message = ""
        self.skipped = False


class ExecutionContext:
    """Identity and evidence of one execution, carried through the steps."""

    def __init__(
        self,
        execution_id: str,
        plan: ChangePlan,
        changeset: ChangeSet,
        clock: Clock,
        on_event: EventSink | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.plan = plan
        self.changeset = changeset
        self.clock = clock
        self.status = Status.VALIDATING
        self.started_at: datetime = clock.now()
        self.started = clock.monotonic()
        self.deadline = float("inf")
        self.step_seconds = float("inf")
        self._step_ends: float | None = None
        self._rolling_back = False
        self.fence = 0
        self.verification_passed = False
        self.pre_image: str | None = None
        self.rollback_image: str | None = None
        self.steps: list[StepRecord] = []
        self.warnings: list[str] = []
        self.artifacts: ArtifactDirectory | None = None
        self.evidence_lost: LonelyCatError | None = None
        self._early_events: list[dict[str, object]] = []
        self._on_event = on_event

    # -- events --------------------------------------------------------------------------------------------------

    def emit(self, type_: str, **facts: object) -> None:
        """Tell the caller, and the artifacts, that something happened."""
        event: dict[str, object] = {"at": isoformat(self.clock.now()), "type": type_, **facts}
        if self.artifacts is None:
            self._early_events.append(event)
        else:
            try:
                self.artifacts.append_event(event)
            except (LonelyCatError, OSError) as error:
                self.evidence_lost = self.evidence_lost or as_lonelycat_error(error)
        self._tell(event)

    def tell(self, type_: str, **facts: object) -> None:
        """Tell the caller alone how far something has come; it is no evidence."""
        self._tell({"at": isoformat(self.clock.now()), "type": type_, **facts})

    def _tell(self, event: dict[str, object]) -> None:
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception as error:  # noqa: BLE001 — whoever looks on must not be able to stop a rollback
                self._on_event = None
                self.warnings.append(f"progress is no longer reported: {type(error).__name__}: {error}")

    def check_evidence(self) -> None:
        """Ask, before the commit point, whether every event so far was kept.

        Raises:
            StepFailedError: one was not; a change whose evidence is incomplete is not kept.
        """
        if self.evidence_lost is not None:
            lost = self.evidence_lost
            raise StepFailedError(lost.code, f"the evidence of the execution cannot be kept: {lost.message}", lost.hint)

    def keep_artifacts(self, artifacts: ArtifactDirectory) -> None:
        """Begin to keep events; those so far come first."""
        self.artifacts = artifacts
        for event in self._early_events:
            artifacts.append_event(event)
        self._early_events.clear()

    def move(self, status: Status) -> None:
        """Go to ``status`` along the lifecycle's table."""
        self.status = advance(self.status, status)
        self.emit("status", status=str(status))

    def warn(self, message: str) -> None:
        """Note what does not stop the execution but wants a look."""
        self.warnings.append(message)
        self.emit("warning", message=message)

    # -- steps ---------------------------------------------------------------------------------------------------

    def seconds_left(self) -> float:
        """Return how long the running step, or else the next one, may take from now on.

        Raises:
            StepFailedError: ``EXECUTION_TIMEOUT`` when the whole execution has used up its time, ``STEP_TIMEOUT`` when
                the running step has; in a rollback ``ROLLBACK_TIMEOUT``.
        """
        now = self.clock.monotonic()
        left = self.deadline - now
        if left <= 0:
            raise _out_of_time("ROLLBACK" if self._rolling_back else "EXECUTION")
        in_step = self.step_seconds if self._step_ends is None else self._step_ends - now
        if in_step <= 0:
            raise _out_of_time("STEP")
        return min(left, in_step)

    def check_time(self) -> None:
        """Raise what :meth:`seconds_left` raises; several times for every file, so the usual answer comes quickly."""
        now, ends = self.clock.monotonic(), self._step_ends
        if ends is None or now >= ends or now >= self.deadline:
            self.seconds_left()

    def begin_rollback(self, seconds: float) -> None:
        """Let a rollback's own time begin; the execution's and its steps' limits hold no longer."""
        self._rolling_back = True
        self.deadline, self.step_seconds = self.clock.monotonic() + seconds, float("inf")

    @contextmanager
    def rollback_time(self, seconds: float) -> Iterator[None]:
        """Let the block have a rollback's time, and give back the limits that held before."""
        before = self.deadline, self.step_seconds, self._rolling_back
        self.begin_rollback(seconds)
        try:
            yield
        finally:
            self.deadline, self.step_seconds, self._rolling_back = before

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Leave the time of the block out of the execution's: it waits for a person, within a limit of its own."""
        deadline, begun = self.deadline, self.clock.monotonic()
        self.deadline = float("inf")
        try:
            yield
        finally:
            self.deadline = deadline + self.clock.monotonic() - begun

    @contextmanager
    def step(self, name: str, *, timed: bool = False, whole: bool = False) -> Iterator[StepNotes]:
        """Run the block as a step; an exception ends it as failed and goes on.

        Args:
            timed: it fails when it ends after its time.
            whole: it may take all the time that the execution has left.
        """
        at, begun = self.clock.now(), self.clock.monotonic()
        said = StepNotes()
        self.emit("step.started", step=name)
        self._step_ends = float("inf") if whole else begun + self.step_seconds
        try:
            yield said
            if timed:
                self.check_time()
        except BaseException as error:
            code, message = code_of(error)
            self._finish(name, "failed", at, begun, said.output, code, said.message or message)
            raise
        self._finish(name, "skipped" if said.skipped else "ok", at, begun, said.output, None, said.message)

    def _finish(
        self, name: str, status: str, at: datetime, begun: float, output: bytes, code: str | None, message: str
    ) -> None:
        duration = self.clock.monotonic() - begun
        self._step_ends = None
        index = len(self.steps) + 1
        log = None
        if output and self.artifacts is not None:
            with suppress(OSError):
                log = self.artifacts.step_log(index, name, output)
        self.steps.append(
            StepRecord.model_validate(
                {
                    "index": index,
                    "name": name,
                    "status": status,
                    "started_at": at,
                    "duration_seconds": duration,
                    "code": code,
                    "message": message,
                    "log": log,
                }
            )
        )
        self.emit(
            "step.finished", step=name, status=status, duration_seconds=round(duration, 6), code=code, message=message
        )

    # -- the end -------------------------------------------------------------------------------------------------

    @cached_property
    def changed_paths(self) -> tuple[str, ...]:
        """The paths that the change set touches, sorted."""
        return tuple(sorted({path for change in self.changeset.changes for path in change.paths}))

    def result(
        self, *, error: LonelyCatError | None = None, message: str = "", dry_run: bool = False
    ) -> ExecutionResult:
        """Return the result as of now."""
        success = self.status is Status.COMPLETED
        return ExecutionResult(
            success=success or (dry_run and error is None),
            status=self.status,
            execution_id=self.execution_id,
            plan_id=self.plan.id,
            changeset_id=self.changeset.id,
            checksum=self.changeset.checksum,
            dry_run=dry_run,
            error_code=error.code if error else None,
            message=error.message if error else message,
            hint=error.hint if error else "",
            files_changed=self.changed_paths,
            verification_passed=self.verification_passed,
            steps=tuple(self.steps),
            warnings=tuple(self.warnings),
            pre_image=self.pre_image,
            rollback_image=self.rollback_image,
            started_at=self.started_at,
            finished_at=self.clock.now(),
            fence=self.fence,
        )


_OUT_OF_TIME = {
    "EXECUTION_TIMEOUT": (
        "the execution used up the time that the policy gives it",
        "Raise executor.constraints.max_execution_time, or make the checks faster.",
    ),
    "STEP_TIMEOUT": (
        "the step used up the time that the policy gives one",
        "Raise executor.constraints.max_step_time, or make the step faster.",
    ),
    "ROLLBACK_TIMEOUT": (
        "the rollback used up the time that the policy gives it",
        "Raise executor.constraints.max_rollback_time, or make restarts and health checks faster.",
    ),
}


def _out_of_time(what: str) -> StepFailedError:
    code = f"{what}_TIMEOUT"
    return StepFailedError(code, *_OUT_OF_TIME[code])


_OS_ERRORS = {
    errno.ENOSPC: ("NO_SPACE", "the disk is full", "Free space, then execute again."),
    errno.EDQUOT: ("NO_SPACE", "the disk quota is used up", "Free space, then execute again."),
    errno.EACCES: ("NO_RIGHTS", "a file or directory may not be changed by this user", "Check owners and modes."),
    errno.EPERM: ("NO_RIGHTS", "a file is immutable or its change is not permitted", "Check its attributes."),
    errno.EROFS: ("READ_ONLY", "the file system is read-only", "Remount it, then execute again."),
    errno.EIO: ("IO_ERROR", "the disk failed to read or write", "Check the disk; nothing was kept."),
    errno.EXDEV: ("OBJECT_ON_ANOTHER_MOUNT", "a path lies on another file system", "A change stays on one."),
}


MACHINE_CODES = frozenset({"IO_ERROR", *(code for code, _, _ in _OS_ERRORS.values())})
"""Codes of what the machine refused."""


def code_of(error: BaseException) -> tuple[str, str]:
    """Return the stable code and the message for whatever ended a step."""
    if isinstance(error, LonelyCatError):
        return error.code, error.message
    if isinstance(error, KeyboardInterrupt):
        return "INTERRUPTED", "interrupted by the user"
    if isinstance(error, OSError):
        code, why, _ = _OS_ERRORS.get(error.errno or 0, ("IO_ERROR", error.strerror or "an I/O error", ""))
        return code, f"{why} ({error.filename or error.strerror})"
    return "INTERNAL_ERROR", f"{type(error).__name__}: {error}"


def as_machine_error(error: Exception) -> LonelyCatError | None:
    """Return what stands for a call that the machine refused outside a step, or None when it is something else.

    No space, no rights, a disk that fails: nothing of which is a defect.
    """
    if not isinstance(error, OSError) or error.errno not in _OS_ERRORS:
        return None
    code, message = code_of(error)
    return LonelyCatError(code, message, "Mend that, then run the command again.")


def as_lonelycat_error(error: BaseException) -> LonelyCatError:
    """Return ``error`` itself, or what stands for it in a result."""
    if isinstance(error, LonelyCatError):
        return error
    code, message = code_of(error)
    if isinstance(error, OSError):
        hint = _OS_ERRORS.get(error.errno or 0, ("", "", "See the step's log."))[2]
        return StepFailedError(code, message, hint)
    if isinstance(error, KeyboardInterrupt):
        return StepFailedError(code, message, "Execute the plan again when you are ready.")
    return StepFailedError(
        code, message, "This is a defect in LonelyCat; the steps are in `lonelycat log` and the execution's artifacts."
    )
