"""The kinds of health check there are, and the validation of what a policy writes for them.

Invariants:
- A kind is built in, or comes from another distribution by an entry point of the group :data:`GROUP`. One name means
  one kind: a plug-in that takes a built-in name, or a name that two distributions claim, is refused wherever kinds are
  looked up, and nothing is chosen silently.
- A plug-in that cannot be loaded is refused with the name of its distribution.
- Loading a policy costs no search: plug-ins are looked for when a check is validated or its kind is not built in.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import HealthKind
from lonelycat.errors import PolicyError
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_profiles import BUILT_IN_HEALTH_KINDS, HealthCheck

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "lonelycat.health_kinds"
"""The entry-point group of kinds from other distributions: name of the kind = ``module:object``."""

_PACKAGE = "lonelycat.checks.health"
BUILT_IN: Final = MappingProxyType({name: f"{_PACKAGE}.{name}" for name in BUILT_IN_HEALTH_KINDS})
"""The kinds that come with LonelyCat, and their modules."""


def known_kinds() -> tuple[str, ...]:
    """Return the names of all kinds, plug-ins included, sorted.

    Raises:
        PolicyError: ``HEALTH_KIND_CLASH``.
    """
    return tuple(sorted({*BUILT_IN, *_plug_ins()}))


def origin(name: str) -> str:
    """Return where the kind ``name`` comes from: ``lonelycat``, or the distribution of a plug-in."""
    return "lonelycat" if name in BUILT_IN else _distribution(_plug_ins()[name])


@lru_cache(maxsize=64)
def health_kind(name: str) -> HealthKind:
    """Return the kind ``name``.

    Raises:
        PolicyError: ``HEALTH_KIND_UNKNOWN`` with the known ones, ``HEALTH_KIND_CLASH``, or ``HEALTH_KIND_BROKEN``.
    """
    plug_ins = _plug_ins()
    if name in BUILT_IN:
        kind: object = importlib.import_module(BUILT_IN[name]).KIND
        assert isinstance(kind, HealthKind)  # noqa: S101 - of our own modules
        return kind
    if name not in plug_ins:
        raise unknown_kind(name)
    return _loaded(plug_ins[name])


def unknown_kind(name: str, where: str = "kind") -> PolicyError:
    """Return the error for a kind that there is not; the hint lists those there are."""
    return PolicyError(
        "HEALTH_KIND_UNKNOWN",
        f"{where}: there is no kind of health check {name!r:.60}",
        f"There are {', '.join(known_kinds())}; a plug-in has to be installed where LonelyCat runs.",
        details={"kind": name, "known": list(known_kinds())},
    )


def check_kinds(policy: Policy) -> None:
    """Refuse a policy with a health check of a kind that does not exist.

    Raises:
        PolicyError: ``HEALTH_KIND_UNKNOWN``, naming the check, or ``HEALTH_KIND_CLASH``.
    """
    for name, check in policy.health_checks.items():
        if check.kind not in BUILT_IN and check.kind not in _plug_ins():
            raise unknown_kind(check.kind, f"health_checks.{name}.kind")


def validate_health_check(name: str, check: HealthCheck) -> Strict:
    """Return the validated parameters of ``check``.

    Raises:
        PolicyError: ``HEALTH_PARAMETERS``, naming the field, or as :func:`health_kind` does.
    """
    from pydantic import ValidationError

    if check.success_threshold > check.attempts:
        raise _parameters(name, "success_threshold", "is over attempts, so that it could never pass")
    try:
        return health_kind(check.kind).parameters.model_validate(check.parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(["with", *map(str, first["loc"])])
        raise _parameters(name, field, str(first["msg"])) from error


def _parameters(name: str, field: str, why: str) -> PolicyError:
    return PolicyError(
        "HEALTH_PARAMETERS",
        f"health_checks.{name}.{field}: {why}",
        "Correct the health check; `lonelycat policy check` shows every problem.",
        details={"health_check": name, "field": field},
    )


# -- plug-ins ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _plug_ins() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for point in _ordered(entry_points(group=GROUP)):
        if point.name in BUILT_IN:
            raise _clash(point.name, _distribution(point), "LonelyCat itself")
        if point.name in found:
            raise _clash(point.name, _distribution(found[point.name]), _distribution(point))
        found[point.name] = point
    return found


def _ordered(points: Any) -> Iterator[EntryPoint]:
    yield from sorted(points, key=lambda point: (point.name, _distribution(point), point.value))


def _clash(name: str, one: str, other: str) -> PolicyError:
    return PolicyError(
        "HEALTH_KIND_CLASH",
        f"{one} and {other} both define the kind of health check {name!r}",
        "Uninstall one of them; LonelyCat does not choose.",
        details={"kind": name, "distributions": [one, other]},
    )


def _distribution(point: EntryPoint) -> str:
    return "an unnamed distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _loaded(point: EntryPoint) -> HealthKind:
    try:
        kind = point.load()
    except Exception as error:  # code of others: whatever it raises, it is refused
        raise _broken(point, f"cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(kind, HealthKind):
        raise _broken(point, f"is a {type(kind).__name__}, not a HealthKind")
    parameters: object = kind.parameters
    if not (isinstance(parameters, type) and issubclass(parameters, Strict)):
        raise _broken(point, "has parameters that are not a subclass of Strict")
    return kind


def _broken(point: EntryPoint, why: str) -> PolicyError:
    return PolicyError(
        "HEALTH_KIND_BROKEN",
        f"the kind of health check {point.name!r} of {_distribution(point)} ({point.value}) {why}"[:1_000],
        "Mend or uninstall that distribution.",
        details={"kind": point.name, "distribution": _distribution(point)},
    )
