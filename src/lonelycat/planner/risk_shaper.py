"""Fills what a plan leaves open from the policy's own profiles, by what the change touches.

Invariants:
- Names only: every profile, health check and service that is chosen is one that the policy defines.
- Stable: choices stand in the policy's order, and the same change under the same policy gets the same ones.
- A risk is never lower than what the proposer said or than what the policy's rules see in the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lonelycat.changes.changeset import ChangeSet, Operation
from lonelycat.changes.paths import printable
from lonelycat.changes.plan import Names, RiskLevel
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.facts import ContentReader, Facts
from lonelycat.governance.matching import Matcher, compile_globs
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_fields import Globs
from lonelycat.governance.risk import RiskAssessment, assess_risk
from lonelycat.governance.secrets import masked

_SHOWN = 5
_LONGEST = 120


class Choice(NamedTuple):
    """A profile, health check or service that the shaper picks, and why, in words."""

    name: str
    why: str


class RiskShaper:
    """Shapes plans under one policy.

    Args:
        policy: where all names come from.
        contents: reads the bytes before and after, to tell risk by size; None when there are none.
        known_pins: which commits the tags of actions and hooks are known to point to.
    """

    def __init__(
        self, policy: Policy, contents: ContentReader | None = None, known_pins: KnownPins | None = None
    ) -> None:
        self._policy = policy
        self._contents = contents
        self._known_pins = known_pins
        self._verification = _compiled({name: each.touches for name, each in policy.verification.items()})
        self._health = _compiled({name: each.touches for name, each in policy.health_checks.items()})
        self._services = _compiled({name: each.touches for name, each in policy.services.items()})

    def assess(self, changeset: ChangeSet) -> RiskAssessment:
        """Return the risk that the policy's rules see in ``changeset``, as the gate will see it."""
        limit = self._policy.content.max_scan_bytes
        facts = Facts(changeset.changes, self._contents, max_scan_bytes=limit, known_pins=self._known_pins)
        return assess_risk(self._policy, changeset, facts)

    def verification(self, paths: Sequence[str]) -> tuple[Choice, ...]:
        """Return the verification profiles that are for any of ``paths``."""
        return tuple(_touching(self._verification, paths))

    def services(self, paths: Sequence[str]) -> tuple[Choice, ...]:
        """Return the services that have to restart when ``paths`` change."""
        return tuple(_touching(self._services, paths))

    def health_checks(self, paths: Sequence[str], risk: RiskLevel, services: Sequence[str]) -> tuple[Choice, ...]:
        """Return the checks of ``services``; where ``risk`` requires any, also those for ``paths``; and those that the
        policy requires at ``risk`` whatever is touched."""
        required = risk in self._policy.executor.require_health_checks_for_risk
        touching = {choice.name: choice.why for choice in _touching(self._health, paths)} if required else {}
        owners = {
            check: service
            for service in services
            if service in self._policy.services
            for check in self._policy.services[service].health_checks
        }
        choices = []
        for name, check in self._policy.health_checks.items():
            if risk in check.required_for_risk:
                choices.append(Choice(name, f"the policy requires it at {risk} risk"))
            elif name in owners:
                choices.append(Choice(name, f"belongs to the service {owners[name]}"))
            elif name in touching:
                why = f"the policy requires health checks at {risk} risk and {touching[name]}"
                choices.append(Choice(name, why))
        return tuple(choices)


def _compiled(touches: Mapping[str, Globs]) -> dict[str, Matcher]:
    return {name: compile_globs(globs) for name, globs in touches.items()}


def _touching(matchers: Mapping[str, Matcher], paths: Sequence[str]) -> Iterable[Choice]:
    for name, matcher in matchers.items():
        for path in paths:
            glob = matcher.first(path)
            if glob is not None:
                yield Choice(name, "it is for every change" if glob == "**" else f"{printable(path)} matches {glob}")
                break


def rollback_plan_for(changeset: ChangeSet, services: Sequence[str], health_checks: Sequence[str]) -> str:
    """Return in words how the executor undoes ``changeset``."""
    steps = []
    for operation, verb in (
        (Operation.CREATE, "remove"),
        (Operation.UPDATE, "restore the former bytes and mode of"),
        (Operation.RENAME, "move back"),
        (Operation.DELETE, "put back"),
    ):
        paths = [_short(change.path) for change in changeset.changes if change.operation is operation]
        if paths:
            more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
            steps.append(f"{verb} {', '.join(paths[:_SHOWN])}{more}")
    steps.append("compare the tree with the state before")
    if services:
        steps.append(f"restart {', '.join(services)}")
    if health_checks:
        steps.append(f"run the health checks {', '.join(health_checks)} again")
    text = "; ".join(steps)
    return f"{text[0].upper()}{text[1:]}."


def _short(path: str) -> str:
    shown = masked(printable(path))  # before it is cut: a part of a credential is not seen to be one
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def names(choices: Iterable[Choice]) -> Names:
    """Return the names of ``choices``."""
    return tuple(choice.name for choice in choices)
