"""The wait for a person's word: the change is in place and is kept only if somebody confirms it in time.

Invariants:
- The waiting process holds the lock and the transaction is not committed: if it dies, recovery takes the change back.
- The question and the answer are durable records; the answer is bound to this execution and to its decision, is judged
  here again, and counts once. What was accepted before the wait ended is honoured; nothing after it is accepted.
- Health is sampled all the while; a failure takes the change back whatever a person may still say.
- Time-out, a no, an answer that does not count, records that cannot be read at the end: the change goes back.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from lonelycat.errors import LonelyCatError, StateError, StepFailedError
from lonelycat.governance.confirmations import ConfirmationTerms, GovernanceConfirmation, confirmation_problem
from lonelycat.governance.policy import Policy
from lonelycat.records.entries import AwaitedConfirmation
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.execution_request import Request
from lonelycat.runtime.steps import ExecutionContext
from lonelycat.runtime.watching import Sampler

STEP = "confirm"
_POLL_SECONDS = 0.5


def await_confirmation(
    wiring: Wiring, context: ExecutionContext, request: Request, policy: Policy, sampler: Sampler, seconds: float
) -> None:
    """Wait, as a step, for at most ``seconds`` until a person keeps the change.

    Raises:
        StepFailedError: ``CONFIRM_TIMEOUT``, ``CONFIRM_REJECTED``, ``HEALTH_WATCH_FAILED``, or the code for which an
            answer does not count.
    """
    with context.step(STEP, whole=True) as step, context.waiting():
        try:
            said = _Wait(wiring, context, request, seconds).run(sampler)
        finally:
            sampler.tell(step)
            with suppress(StateError, OSError):
                wiring.records.close_confirmation(context.execution_id)
        _must_keep(wiring, context, request, policy, said)
        step.message = f"kept by {said.given_by}; {step.message}"


class _Wait:
    def __init__(self, wiring: Wiring, context: ExecutionContext, request: Request, seconds: float) -> None:
        self._wiring = wiring
        self._context = context
        self._seconds = seconds
        self._end = context.clock.monotonic() + seconds
        now = context.clock.now()
        self._asked = AwaitedConfirmation(
            execution_id=context.execution_id,
            plan_id=request.plan.id,
            decision_digest=request.decision.digest(),
            proposed_by=request.plan.created_by,
            intent=request.plan.intent,
            asked_at=now,
            deadline=now + timedelta(seconds=seconds),
        )

    def run(self, sampler: Sampler) -> GovernanceConfirmation:
        """Poll for the answer and sample health until there is one or the time is up."""
        clock = self._context.clock
        self._wiring.records.await_confirmation(self._asked)
        self._context.emit(
            "confirmation.awaited", execution_id=self._asked.execution_id, seconds_left=round(self._seconds, 1)
        )
        while (left := self._end - clock.monotonic()) > 0:
            said = self._look()
            if said is not None:
                return said
            if clock.monotonic() >= sampler.next_at:
                sampler.round()
            clock.sleep(max(0.0, min(_POLL_SECONDS, left, sampler.next_at - clock.monotonic())))
            left = round(max(0.0, self._end - clock.monotonic()), 1)
            self._context.tell("confirmation.waiting", execution_id=self._asked.execution_id, seconds_left=left)
        said = self._wiring.records.close_confirmation(self._context.execution_id)
        if said is not None:
            return said
        raise StepFailedError(
            "CONFIRM_TIMEOUT",
            f"nobody confirmed the change within {self._seconds:g} s",
            "Look at it, propose it again, and confirm it in time: `lonelycat status` names the command.",
        )

    def _look(self) -> GovernanceConfirmation | None:
        """Return what was said; records that cannot be read now are read again, and at the end are no answer."""
        try:
            asked = self._wiring.records.awaited_confirmation(self._context.execution_id)
        except StateError as error:
            if error.code == "STANDING_TAMPERED":
                raise _refused(error.code, error.message) from error
            return None
        if asked is None:
            raise _refused("CONFIRMATION_ENDED", "the question whether to keep the change was taken out of the records")
        return asked.answer


def _must_keep(
    wiring: Wiring, context: ExecutionContext, request: Request, policy: Policy, said: GovernanceConfirmation
) -> None:
    terms = ConfirmationTerms(
        execution_id=context.execution_id,
        decision_digest=request.decision.digest(),
        proposer=request.plan.created_by,
        policy=policy,
        gate_public_key=wiring.signer.public_key,
    )
    problem = confirmation_problem(terms, said)
    if problem is not None:
        raise _refused(*problem)
    if not said.keep:
        note = f": {said.note}" if said.note else ""
        raise _refused("CONFIRM_REJECTED", f"{said.given_by} took the change back{note}")


def _refused(code: str, message: str) -> LonelyCatError:
    return StepFailedError(code, message, "Look at why; mend the change and propose it again.")
