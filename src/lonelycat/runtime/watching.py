"""The watch: health is sampled for a while after the change is in place, and more failures than allowed take it back.

Invariants:
- One sample is one probe of one health check. No answer, a time-out or a crash is a failed sample, never a skipped one.
- More failed samples than the budget end it at once, with the check, the time and the counts.
- Every sample is evidence: the step's log names each, failed ones with what was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from lonelycat.checks.capture import HeadAndTail
from lonelycat.checks.result import CheckResult
from lonelycat.clock import isoformat
from lonelycat.errors import StepFailedError
from lonelycat.governance.policy import Watch
from lonelycat.runtime.checking import ServiceChecks
from lonelycat.runtime.steps import ExecutionContext, StepNotes

STEP = "watch"


class Sampler:
    """Samples the health checks of one execution.

    Args:
        names: the checks, asked in this order each round.
        watch: interval in seconds and failure budget.
        log_bytes: how much of the samples' log is kept: the first and the last half.

    Attributes:
        next_at: the monotonic time of the next round.
    """

    def __init__(
        self, context: ExecutionContext, checks: ServiceChecks, names: Sequence[str], watch: Watch, log_bytes: int
    ) -> None:
        self._context = context
        self._checks = checks
        self._names = tuple(names)
        self._watch = watch
        self._log = HeadAndTail(log_bytes)
        self._begun = context.clock.monotonic()
        self.next_at = self._begun + watch.interval
        self.samples = 0
        self.failures = 0

    def round(self) -> None:
        """Sample every check once, each within the time of a step.

        Raises:
            StepFailedError: ``HEALTH_WATCH_FAILED`` when the budget is used up; ``EXECUTION_TIMEOUT``.
        """
        clock = self._context.clock
        for name in self._names:
            at = isoformat(clock.now())
            seen = self._checks.sample(name, min(self._context.step_seconds, self._context.seconds_left()))
            self._note(at, seen)
            if self.failures > self._watch.failure_budget:
                raise self._failed(at, seen)
        self.next_at = max(self.next_at + self._watch.interval, clock.monotonic())

    def _note(self, at: str, seen: CheckResult) -> None:
        self.samples += 1
        self.failures += not seen.ok
        word = "ok" if seen.ok else f"FAILED {seen.code}"
        self._log.add(f"{at} {word} {seen.message}\n".encode("utf-8", "backslashreplace"))
        if not seen.ok and seen.output:
            self._log.add(seen.output.rstrip(b"\n") + b"\n")

    def _failed(self, at: str, seen: CheckResult) -> StepFailedError:
        after = self._context.clock.monotonic() - self._begun
        budget = self._watch.failure_budget
        return StepFailedError(
            "HEALTH_WATCH_FAILED",
            f"{seen.message}; {after:.1f} s into the watch {self.failures} of {self.samples} samples had failed"
            + (f", and the policy forgives {budget}" if budget else ""),
            f"See the samples in the step's log with `lonelycat show {self._context.execution_id}`. "
            "Mend the change and propose it again.",
            details={
                "check": seen.name, "code": seen.code, "at": at, "seconds": round(after, 3),
                "samples": self.samples, "failures": self.failures, "failure_budget": budget,
            },
        )  # fmt: skip

    def tell(self, step: StepNotes) -> None:
        """Put what was sampled into the step's evidence."""
        step.output = self._log.value()
        step.message = f"{self.samples} samples of {', '.join(self._names) or 'nothing'}, {self.failures} failed"


def watch_health(context: ExecutionContext, sampler: Sampler, seconds: float) -> None:
    """Sample for ``seconds``, as a step; the last sample is taken when they are over.

    Raises:
        StepFailedError: ``HEALTH_WATCH_FAILED``, ``EXECUTION_TIMEOUT``.
    """
    clock = context.clock
    end = clock.monotonic() + seconds
    with context.step(STEP, timed=True, whole=True) as step:
        try:
            while (now := clock.monotonic()) < end:
                clock.sleep(min(max(0.0, min(sampler.next_at, end) - now), context.seconds_left()))
                if clock.monotonic() >= min(sampler.next_at, end):
                    sampler.round()
                left = round(max(0.0, end - clock.monotonic()), 1)
                context.tell("watch.sampled", samples=sampler.samples, failures=sampler.failures, seconds_left=left)
        finally:
            sampler.tell(step)
