"""What a kind of service is: its parameters and how it is restarted.

Invariant: a restart says ok only when the service was seen to run (kind ``process``) or the command that restarts it
succeeded (kind ``command``); whether it then *works* is for the health checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import ProbeContext, ProbeResult


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """One kind of service.

    Attributes:
        parameters: the model of what the policy writes under ``with``.
        restart: ``restart(context, name, parameters, timeout)``, ``timeout`` in seconds.
    """

    parameters: type[Strict]
    restart: Callable[[ProbeContext, str, Any, float], ProbeResult]
