"""Runs what the policy defines under the names that the plan gives, each as a step: restarts, verification, health.

Invariants:
- Names are resolved before anything is touched (admission); here they exist.
- No answer is a failure: time-out, crash, no data, no tests.
- The baseline says which health checks held before the change; a rollback is held against it, a kept change against
  all of them.
- A restart is noted before it begins and after it is done, so that a crash in between is known to have begun it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lonelycat.changes.plan import ChangePlan
from lonelycat.checks.result import CheckResult
from lonelycat.errors import LonelyCatError, RefusedError, StepFailedError
from lonelycat.executor.journal import RecordType
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_profiles import HealthCheck
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.steps import REHEARSAL, ExecutionContext, StepNotes, as_lonelycat_error

if TYPE_CHECKING:
    from lonelycat.checks.health.checker import HealthChecker
    from lonelycat.checks.health.kind import Mark
    from lonelycat.checks.verifier import Rehearsed, Verifier

OLD_TESTS = "old-tests"
"""The step in which a change is held to the tests that it rewrites (``old_tests.py``)."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """How services and health are after a rollback.

    Attributes:
        problems: what is worse than before the change, in words.
        due: services that could not be restarted, and why.
    """

    problems: tuple[str, ...]
    due: Mapping[str, str]


def validate_named(plan: ChangePlan, policy: Policy) -> None:
    """Check the parameters of everything that ``plan`` names, before anything is touched.

    The policy's own model does not know the kinds' parameters; a mistake in them that shows only when the service is to
    be restarted would make the rollback, which restarts it again, fail as well.

    Raises:
        PolicyError: ``VERIFICATION_PARAMETERS``, ``HEALTH_PARAMETERS`` or ``SERVICE_PARAMETERS``, naming the field.
    """
    if plan.verification_plan:  # to load the kinds of all three takes longer than to execute a small change
        from lonelycat.checks.verifier import validate_verification_profile

        for name in plan.verification_plan:
            validate_verification_profile(name, policy.verification[name])
    if plan.health_checks:
        from lonelycat.checks.health.registry import validate_health_check

        for name in plan.health_checks:
            validate_health_check(name, policy.health_checks[name])
    if plan.services:
        from lonelycat.checks.services.registry import validate_service

        for name in plan.services:
            validate_service(name, policy.services[name])


class ServiceChecks:
    """The checks and restarts of one execution.

    Args:
        for_children: the lock's descriptor for commands, so that no orphan outlives the lock; -1 for none.
    """

    def __init__(self, wiring: Wiring, context: ExecutionContext, policy: Policy, for_children: int) -> None:
        self._wiring = wiring
        self._context = context
        self._policy = policy
        self._pass_fds = (for_children,) if for_children >= 0 else ()
        self.healthy_before: set[str] = set()
        self.verified: list[CheckResult] = []
        """What every verification profile found so far."""
        self.old_tests: list[CheckResult] = []
        """What they found by the tests as they were before the change, where it rewrites them."""
        self.restarts_begun: list[str] = []
        self.marks: dict[str, Mark] = {}
        self._unmarked: set[str] = set()

    def take_baseline(self, names: Sequence[str]) -> None:
        """Note which health checks hold now, each asked once, and what they want to know of the state before.

        A failing one is a warning, unless the policy says that it blocks.

        Raises:
            RefusedError: ``HEALTH_ALREADY_FAILING``.
        """
        self.take_marks(names)
        for name in names:
            check = self._policy.health_checks[name]
            once = check.model_copy(update={"attempts": 1, "success_threshold": 1})
            with self._context.step(f"baseline:{name}") as step:
                found = self._ask(name, once)
                step.output, step.message = found.output, found.message
                if not found.ok and check.already_failing == "block":
                    raise _already_failing(name, found)
            if found.ok:
                self.healthy_before.add(name)
            else:
                self._context.warn(f"health check {name} failed already before the change: {found.message}")

    def take_marks(self, names: Iterable[str]) -> None:
        """Let each check note what it compares with later; one that cannot has its reason told, and fails later."""
        self.marks, self._unmarked = {}, set()
        for name in names:
            try:
                mark = self._checker().mark(name, self._policy.health_checks[name], self._context.seconds_left())
            except LonelyCatError as error:
                self._unmarked.add(name)
                self._context.warn(f"health check {name} has nothing to compare with: {error.message}")
            else:
                if mark is not None:
                    self.marks[name] = mark

    def restart(self, names: Iterable[str], note: Callable[[RecordType, str], None]) -> None:
        """Restart services in the order that they depend on each other, each when those before it are ready.

        Args:
            note: told durably of each service before its restart begins and after it is done.

        Raises:
            StepFailedError: with the code of the first that failed.
        """
        known = self._policy.health_checks
        for name in self.in_order(names):
            with self._context.step(f"restart:{name}", timed=True) as step:
                note(RecordType.RESTART_BEGUN, name)
                self.restarts_begun.append(name)
                self._restart_one(name, step, known)
                note(RecordType.RESTART_DONE, name)

    def _restart_one(
        self, name: str, step: StepNotes, known: Mapping[str, HealthCheck], *, start_what_ended: bool = False
    ) -> None:
        """Restart one service; its readiness is told by those of its checks that are ``known``.

        Args:
            start_what_ended: restart it also where the policy only reloads or signals it, if that cannot be done:
                nothing else brings back a service that the change has ended.
        """
        from lonelycat.checks.services.restarter import ServiceRestarter

        restarter = ServiceRestarter(
            self._wiring.settings.workspace,
            self._context.clock,
            self._wiring.settings.limits,
            self._pass_fds,
            health_checks=known,
            marks=self.marks,
        )
        service = self._policy.services[name]
        found = restarter.restart(name, service, self._context.seconds_left())
        if start_what_ended and not found.ok and service.action != "restart":
            anew = service.model_copy(update={"action": "restart"})
            why = f"{found.message} at {service.action}"
            found = restarter.restart(name, anew, self._context.seconds_left())
            found = replace(found, message=f"{why}; restarted: {found.message}")
        _must_hold(step, found, self._context.execution_id)

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the services in the order in which they are restarted, each once."""
        from lonelycat.checks.services.order import restart_order

        return restart_order(tuple(names), self._policy.services)

    def verify(self, names: Iterable[str], prefix: str = "verify", rehearsed: Rehearsed | None = None) -> None:
        """Run verification profiles in the order given.

        Args:
            rehearsed: run them on the workspace as this change would make it.

        Raises:
            StepFailedError: with the code of the first that failed.
        """
        paths = self._context.changed_paths
        for name in names:
            with self._context.step(f"{prefix}:{name}", timed=True) as step:
                limit = self._context.seconds_left()
                found = self.verifier().run(name, self._policy.verification[name], paths, limit, rehearsed)
                self.verified.append(found)
                if "effects" in found.details:
                    self._context.emit("effects", step=f"{prefix}:{name}", **found.details)
                if found.details.get("flaky"):
                    self._context.warn(f"verification {found.message}")
                _must_hold(step, found, self._context.execution_id)

    def verifier(self) -> Verifier:
        """Return what runs a verification profile."""
        from lonelycat.checks.verifier import Verifier

        settings = self._wiring.settings
        return Verifier(
            settings.workspace,
            self._context.clock,
            settings.limits,
            self._pass_fds,
            secrets=[place for place in (settings.state_dir, settings.approver_key) if place is not None],
            unsandboxed=self._policy.executor.verification.unsandboxed == "allow",
        )

    def health(self, names: Iterable[str], prefix: str = "health") -> None:
        """Run health checks in the order given.

        Raises:
            StepFailedError: with the code of the first that failed.
        """
        for name in names:
            with self._context.step(f"{prefix}:{name}", timed=True) as step:
                found = self._ask(name, self._policy.health_checks[name])
                if not found.ok and name not in self.healthy_before:
                    found = replace(found, message=f"{found.message} (it failed already before the change)")
                _must_hold(step, found, self._context.execution_id)

    def sample(self, name: str, seconds: float) -> CheckResult:
        """Ask one health check once, for at most ``seconds``; never raises for what it finds."""
        once = {"attempts": 1, "success_threshold": 1, "failure_threshold": 1}
        check = self._policy.health_checks[name].model_copy(update=once)
        return self._checker().run(name, check, seconds, self.marks.get(name))

    def after_rollback(self, services: Iterable[str], names: Sequence[str]) -> Aftermath:
        """Restart services on the old files and ask for the health that was there before."""
        due: dict[str, str] = {}
        for service in self.in_order(services):
            try:
                self.restart_again(service)
            except (LonelyCatError, OSError) as error:
                due[service] = as_lonelycat_error(error).message
        problems = [f"service {service}: {why}" for service, why in due.items()]
        # What the undone change logged and restarted is not held against what is back now.
        self.take_marks(names)
        for name in names:
            if name not in self.healthy_before:
                continue
            try:
                self.health([name], prefix="rollback.health")
            except (LonelyCatError, OSError) as error:
                problems.append(f"health check {name}: {as_lonelycat_error(error).message}")
        return Aftermath(tuple(problems), due)

    def restart_again(self, service: str, prefix: str = "rollback.restart") -> None:
        """Restart a service that may run with files that are gone.

        Raises:
            StepFailedError: ``SERVICE_UNKNOWN`` when the policy no longer defines it, or the code of the failure.
        """
        with self._context.step(f"{prefix}:{service}", timed=True) as step:
            if service not in self._policy.services:
                raise StepFailedError(
                    "SERVICE_UNKNOWN",
                    f"the policy no longer defines {service}",
                    "Restart it by hand, or let the policy define it again.",
                )
            # Checks that compare with what was before the change have nothing to say about what is back.
            held = self.healthy_before - self.marks.keys() - self._unmarked
            checks = self._policy.health_checks
            known = {name: checks[name] for name in held if name in checks}
            self._restart_one(service, step, known, start_what_ended=True)

    def _ask(self, name: str, check: HealthCheck) -> CheckResult:
        return self._checker().run(name, check, self._context.seconds_left(), self.marks.get(name))

    def _checker(self) -> HealthChecker:
        from lonelycat.checks.health.checker import HealthChecker

        settings = self._wiring.settings
        return HealthChecker(settings.workspace, self._context.clock, settings.limits, self._pass_fds)


def _already_failing(name: str, found: CheckResult) -> RefusedError:
    return RefusedError(
        "HEALTH_ALREADY_FAILING",
        f"health check {name} fails already, before the change: {found.message}",
        "Mend what it is about first, or let the policy say already_failing: report.",
        details={"health_check": name, "health_code": found.code},
    )


def _must_hold(step: StepNotes, found: CheckResult, execution_id: str) -> None:
    step.output = found.output
    step.message = found.message
    if not found.ok:
        hint = "Mend the change and propose it again."
        if execution_id != REHEARSAL:
            hint = f"See the step's log with `lonelycat show {execution_id}`. {hint}"
        raise StepFailedError(found.code or "CHECK_FAILED", found.message, hint, details=found.details)
