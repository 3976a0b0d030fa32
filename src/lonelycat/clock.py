"""Time and identifiers as injected values, so that everything above can be replayed.

Nothing else in the package reads the system clock or draws random identifiers.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the wall-clock time, timezone-aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go backwards; for durations and deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current UTC time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``."""
        time.sleep(seconds)


class IdSource(Protocol):
    """Where identifiers come from."""

    def new(self, prefix: str) -> str:
        """Return a new identifier ``<prefix>_<unique>``, for example ``exec_01j…``."""
        ...


class RandomIds:
    """Identifiers that sort by creation time: 48 bits of milliseconds, 80 random bits, as in ULID."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def new(self, prefix: str) -> str:
        """Return ``<prefix>_`` and 26 characters of lower-case Crockford base32."""
        value = (int(self._clock.now().timestamp() * 1000) & (2**48 - 1)) << 80 | secrets.randbits(80)
        return f"{prefix}_" + "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def isoformat(moment: datetime) -> str:
    """Return ``moment`` in RFC 3339 with microseconds and ``Z``, the one spelling used in every record."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
