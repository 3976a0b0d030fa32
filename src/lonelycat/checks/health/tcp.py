"""Kind ``tcp``: something accepts connections, and says the banner that is expected, if one is."""

from __future__ import annotations

import re
import socket
from typing import Annotated

from pydantic import Field

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import (
    MATCH_BYTES,
    HealthKind,
    Pattern,
    Port,
    ProbeContext,
    ProbeResult,
    failed,
    passed,
)
from lonelycat.checks.health.network import connect


class TcpParameters(Strict):
    """``host`` and ``port`` to connect to; ``banner`` is a pattern that what it says first must match."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Port
    banner: Pattern | None = None


def probe(context: ProbeContext, parameters: TcpParameters, timeout: float) -> ProbeResult:
    """Connect once."""
    target = f"{parameters.host}:{parameters.port}"
    deadline = context.clock.monotonic() + timeout
    try:
        with connect(parameters.host, parameters.port, timeout, context.clock) as connection:
            if parameters.banner is None:
                return passed(f"{target} accepts connections")
            return _banner(context, connection, parameters.banner, target, deadline)
    except TimeoutError as error:
        return failed("HEALTH_TCP_TIMEOUT", f"{target}: {str(error) or 'timed out'}")
    except ConnectionRefusedError:
        return failed("HEALTH_TCP_REFUSED", f"{target} refuses connections")
    except OSError as error:
        return failed("HEALTH_TCP_UNREACHABLE", f"{target}: {error.strerror or error}")


def _banner(
    context: ProbeContext, connection: socket.socket, pattern: str, target: str, deadline: float
) -> ProbeResult:
    said = b""
    expected = re.compile(pattern)
    while len(said) < MATCH_BYTES:
        left = deadline - context.clock.monotonic()
        if left <= 0:
            return failed("HEALTH_TCP_TIMEOUT", f"{target} did not say {pattern!r} in time", said)
        connection.settimeout(left)
        data = connection.recv(4096)
        said += data
        if expected.search(said.decode("utf-8", "replace")):
            return passed(f"{target} says what is expected", said)
        if not data:
            break
    return failed("HEALTH_TCP_BANNER", f"{target} did not say {pattern!r}", said)


KIND = HealthKind(TcpParameters, probe, isolated=False)
