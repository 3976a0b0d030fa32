"""In which order services are restarted.

Invariant: a service comes after everything that it is ``after``, be it directly or by way of services that are not
restarted; otherwise the order given stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lonelycat.governance.policy_profiles import Service


def restart_order(names: Sequence[str], services: Mapping[str, Service]) -> tuple[str, ...]:
    """Return ``names``, each once, so that each comes after those of them that it depends on.

    Args:
        names: services of the policy; what ``services`` does not define has no dependencies.
        services: the policy's; it was refused at load if ``after`` goes in a circle.
    """
    wanted = dict.fromkeys(names)
    ordered: dict[str, None] = {}
    for name in wanted:
        for one in _dependencies_first(name, services, {}):
            if one in wanted:
                ordered.setdefault(one)
    return tuple(ordered)


def _dependencies_first(name: str, services: Mapping[str, Service], seen: dict[str, None]) -> Iterator[str]:
    if name in seen:
        return
    seen[name] = None
    if name in services:
        for other in services[name].after:
            yield from _dependencies_first(other, services, seen)
    yield name
