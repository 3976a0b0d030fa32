"""What a kind of service is: its parameters and what can be asked of it.

Invariant: an action says ok only when what it asked for was seen: the service runs, or the command that restarts it
succeeded (kind ``command``). Whether it then *works* is for the health checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import ProbeContext, ProbeResult

Act = Callable[[ProbeContext, str, Any, float], ProbeResult]
"""``act(context, name, parameters, timeout)``, ``timeout`` in seconds; it ends within that time."""

Signal = Literal["HUP", "USR1", "USR2", "INT", "QUIT", "TERM", "WINCH", "CONT"]


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """One kind of service.

    Attributes:
        parameters: the model of what the policy writes under ``with``.
        actions: what it can do, by the name that the policy gives it; ``restart`` always. Where there is ``signal``,
            ``parameters`` has a field ``signal``.
        stop: ends the service and keeps it ended; None where nobody knows how.
        processes: ``processes(context, name, parameters, timeout)``: the pids of the running service itself, without
            those of its children; None where nobody knows.
    """

    parameters: type[Strict]
    actions: Mapping[str, Act]
    stop: Act | None = None
    processes: Callable[[ProbeContext, str, Any, float], list[int]] | None = None
