"""Checking, testing and explaining a policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lonelycat.checks.health.registry import health_kind, known_kinds, validate_health_check
from lonelycat.checks.services.registry import validate_service
from lonelycat.checks.verifier import validate_verification_profile
from lonelycat.errors import PolicyError
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.governance.explain import explain_decision
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_file import LoadedPolicy
from lonelycat.governance.policy_tests import PolicyTestResult, run_policy_tests
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.policy_source import load_known


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """A policy that loads.

    Attributes:
        trusted: whether it is the adopted one; None for a file named by hand.
    """

    source: str
    sha256: str
    policy: Policy
    shipped: bool
    trusted: bool | None


@dataclass(frozen=True, slots=True)
class PolicyTestReport:
    """The policy's own examples, run."""

    source: str
    results: tuple[PolicyTestResult, ...]

    @property
    def passed(self) -> bool:
        """Whether there are examples and every one came out as expected."""
        return bool(self.results) and all(result.passed for result in self.results)


def _load(wiring: Wiring, path: Path | None) -> tuple[LoadedPolicy, bool, bool | None]:
    if path is None:
        found = wiring.policy()
        return found.loaded, found.shipped, found.trusted
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PolicyError("POLICY_UNREADABLE", f"{path}: {error.strerror}", "Name a policy file.") from error
    return load_known(data, str(path)), False, None


def check(wiring: Wiring, path: Path | None) -> PolicyReport:
    """Load a policy and validate every profile's, health check's and service's own parameters.

    Every kind of health check that is installed is loaded too, so that a broken plug-in shows here and not only when a
    change needs it.
    """
    loaded, shipped, trusted = _load(wiring, path)
    for kind in known_kinds():
        health_kind(kind)
    for name, profile in loaded.policy.verification.items():
        validate_verification_profile(name, profile)
    for name, health in loaded.policy.health_checks.items():
        validate_health_check(name, health)
    for name, service in loaded.policy.services.items():
        validate_service(name, service)
    return PolicyReport(loaded.source, loaded.sha256, loaded.policy, shipped, trusted)


def run_tests(wiring: Wiring, path: Path | None) -> PolicyTestReport:
    """Run the examples in a policy's ``tests`` section."""
    loaded, _, _ = _load(wiring, path)
    return PolicyTestReport(loaded.source, tuple(run_policy_tests(loaded)))


def explain(wiring: Wiring, decision: GovernanceDecision) -> tuple[str, ...]:
    """Say in words which rule decided and why."""
    return tuple(explain_decision(decision, wiring.policy().loaded.policy))
