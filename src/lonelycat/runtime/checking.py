"""Runs what the policy defines under the names that the plan gives, each as a step: restarts, verification, health.

Invariants:
- Names are resolved before anything is touched (admission); here they exist.
- No answer is a failure: time-out, crash, no data, no tests.
- The baseline says which health checks held before the change; a rollback is held against it, a kept change against
  all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lonelycat.changes.plan import ChangePlan
from lonelycat.checks.result import CheckResult
from lonelycat.errors import LonelyCatError, RefusedError, StepFailedError
from lonelycat.governance.policy import HealthCheck, Policy
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.steps import ExecutionContext, StepNotes, as_lonelycat_error, changed_paths

if TYPE_CHECKING:
    from lonelycat.checks.health.checker import HealthChecker
    from lonelycat.checks.health.kind import Mark


def validate_named(plan: ChangePlan, policy: Policy) -> None:
    """Check the parameters of everything that ``plan`` names, before anything is touched.

    The policy's own model does not know the kinds' parameters; a mistake in them that shows only when the service is to
    be restarted would make the rollback, which restarts it again, fail as well.

    Raises:
        PolicyError: ``VERIFICATION_PARAMETERS``, ``HEALTH_PARAMETERS`` or ``SERVICE_PARAMETERS``, naming the field.
    """
    from lonelycat.checks.health.registry import validate_health_check
    from lonelycat.checks.services.registry import validate_service
    from lonelycat.checks.verifier import validate_verification_profile

    for name in plan.verification_plan:
        validate_verification_profile(name, policy.verification[name])
    for name in plan.health_checks:
        validate_health_check(name, policy.health_checks[name])
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
        self.marks: dict[str, Mark] = {}

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
        checker = self._checker()
        self.marks = {}
        for name in names:
            try:
                mark = checker.mark(name, self._policy.health_checks[name], self._context.seconds_left())
            except LonelyCatError as error:
                self._context.warn(f"health check {name} has nothing to compare with: {error.message}")
            else:
                if mark is not None:
                    self.marks[name] = mark

    def restart(self, names: Iterable[str], prefix: str = "restart") -> None:
        """Restart services in the order that they depend on each other, each when those before it are ready.

        On a rollback readiness is told by the checks that held before the change, without those that compare with it.

        Raises:
            StepFailedError: with the code of the first that failed.
        """
        from lonelycat.checks.services.order import restart_order
        from lonelycat.checks.services.restarter import ServiceRestarter

        policy, known = self._policy, self._policy.health_checks
        if prefix.startswith("rollback"):
            known = {name: known[name] for name in known if name in self.healthy_before and name not in self.marks}
        restarter = ServiceRestarter(
            self._wiring.settings.workspace,
            self._context.clock,
            self._wiring.settings.limits,
            self._pass_fds,
            health_checks=known,
            marks=self.marks,
        )
        for name in restart_order(tuple(names), policy.services):
            with self._context.step(f"{prefix}:{name}") as step:
                _must_hold(step, restarter.restart(name, policy.services[name], self._context.seconds_left()))

    def verify(self, names: Iterable[str]) -> None:
        """Run verification profiles in the order given.

        Raises:
            StepFailedError: with the code of the first that failed.
        """
        from lonelycat.checks.verifier import Verifier

        verifier = Verifier(
            self._wiring.settings.workspace,
            self._context.clock,
            self._wiring.settings.limits,
            self._pass_fds,
        )
        paths = changed_paths(self._context.changeset)
        for name in names:
            with self._context.step(f"verify:{name}") as step:
                limit = self._context.seconds_left()
                found = verifier.run(name, self._policy.verification[name], paths, limit)
                if found.details.get("flaky"):
                    self._context.warn(f"verification {found.message}")
                _must_hold(step, found)

    def health(self, names: Iterable[str], prefix: str = "health") -> None:
        """Run health checks in the order given.

        Raises:
            StepFailedError: with the code of the first that failed.
        """
        for name in names:
            with self._context.step(f"{prefix}:{name}") as step:
                found = self._ask(name, self._policy.health_checks[name])
                if not found.ok and name not in self.healthy_before:
                    found = replace(found, message=f"{found.message} (it failed already before the change)")
                _must_hold(step, found)

    def after_rollback(self, services: Sequence[str], names: Sequence[str]) -> list[str]:
        """Restart services and ask for the health that was there before; returns what is wrong."""
        from lonelycat.checks.services.order import restart_order

        problems: list[str] = []
        for service in restart_order(services, self._policy.services):
            try:
                self.restart([service], prefix="rollback.restart")
            except (LonelyCatError, OSError) as error:
                problems.append(f"service {service}: {as_lonelycat_error(error).message}")
        # What the undone change logged and restarted is not held against what is back now.
        self.take_marks(names)
        for name in names:
            if name not in self.healthy_before:
                continue
            try:
                self.health([name], prefix="rollback.health")
            except (LonelyCatError, OSError) as error:
                problems.append(f"health check {name}: {as_lonelycat_error(error).message}")
        return problems

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


def _must_hold(step: StepNotes, found: CheckResult) -> None:
    step.output = found.output
    step.message = found.message
    if not found.ok:
        raise StepFailedError(
            found.code or "CHECK_FAILED",
            found.message,
            "See the step's log with `lonelycat show`; mend the change and propose it again.",
            details=found.details,
        )
