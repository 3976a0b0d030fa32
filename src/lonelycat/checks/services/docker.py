"""Kind ``docker``: a container, by the Engine API on its unix socket.

Invariants:
- Restarted means running since another moment than before, healthy where the image says how to tell, and still so
  after ``settle_seconds``.
- Every call ends within the time limit, though the engine accepts and never answers.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from pydantic import Field

from lonelycat.changes.model import Strict
from lonelycat.checks.health.exchange import Answer, Call, ExchangeError, Target, exchange
from lonelycat.checks.health.kind import ProbeContext, ProbeResult, Word, failed, passed
from lonelycat.checks.services.kind import ServiceKind, Signal
from lonelycat.errors import StepFailedError

_POLL_SECONDS = 0.1
_LOG_LINES = 20
_NO_ANSWER = {
    "TIMEOUT": "SERVICE_MANAGER_TIMEOUT",
    "CONNECT": "SERVICE_MANAGER_UNREACHABLE",
    "PROTOCOL": "SERVICE_MANAGER_ANSWER",
    "TLS": "SERVICE_MANAGER_UNREACHABLE",
}


class DockerServiceParameters(Strict):
    """Which container.

    Attributes:
        container: its name or identifier.
        socket: the engine's unix socket; absolute, or below the workspace root.
        stop_seconds: how long the engine gives it to end before it is killed.
        signal: for the action ``signal``.
        settle_seconds: how long it must have stayed running.
    """

    container: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", max_length=255)]
    socket: Annotated[Word, Field(min_length=1)] = "/var/run/docker.sock"
    stop_seconds: Annotated[int, Field(ge=0, le=3_600)] = 10
    signal: Signal | None = None
    settle_seconds: Annotated[float, Field(ge=0, le=600)] = 0.5


class _State(NamedTuple):
    """How the container is."""

    status: str
    running: bool
    health: str | None
    started_at: str
    exit_code: object
    error: str


class _Container:
    """One container, until a deadline."""

    def __init__(self, context: ProbeContext, parameters: DockerServiceParameters, timeout: float) -> None:
        self.clock = context.clock
        self.parameters = parameters
        self.deadline = context.clock.monotonic() + timeout
        self._engine = Target("localhost", 80, socket_path=context.workspace / parameters.socket)

    def ask(self, method: str, what: str) -> Answer:
        """Send one request about the container.

        Raises:
            StepFailedError: the engine could not be asked, does not know the container, or refused.
        """
        target = f"/containers/{quote(self.parameters.container)}/{what}"
        try:
            answer = exchange(self._engine, Call(method, target), self.deadline, self.clock)
        except ExchangeError as error:
            raise _failure(_NO_ANSWER[error.way], f"the engine at {self.parameters.socket!a}: {error.why}") from error
        if not answer.complete:
            raise _failure("SERVICE_MANAGER_ANSWER", f"the engine's answer to {method} {target} is too long")
        if answer.status == 404:
            raise _failure("SERVICE_NOT_KNOWN", f"the engine knows no container {self.parameters.container}")
        if answer.status not in (200, 204):
            said = answer.body.decode("utf-8", "replace").strip()[:500]
            raise _failure(
                "SERVICE_RESTART_FAILED", f"the engine answers {method} {target} with {answer.status}: {said}"
            )
        return answer

    def state(self) -> _State:
        """Return how the container is now."""
        answer = self.ask("GET", "json")
        try:
            state: dict[str, Any] = json.loads(answer.body)["State"]
            health = state.get("Health")
            return _State(
                str(state["Status"]),
                state["Running"] is True and state.get("Restarting") is not True and state.get("Paused") is not True,
                None if health is None or health["Status"] == "none" else str(health["Status"]),
                str(state["StartedAt"]),
                state.get("ExitCode"),
                str(state.get("Error") or ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _failure("SERVICE_MANAGER_ANSWER", f"the engine's answer lacks the state ({error!r:.100})") from error

    def settled(self, before: _State, *, anew: bool) -> ProbeResult:
        """Wait until the container has come up, or will not."""
        since, started_at = None, None
        while True:
            now = self.state()
            word = _in_words(self.parameters.container, now)
            if anew and now.running and now.started_at == before.started_at:
                return failed("SERVICE_RESTART_FAILED", f"{word}, and was not restarted", self.logs())
            if not now.running and now.status != "restarting":
                return failed("SERVICE_RESTART_FAILED", word, self.logs())
            if now.health == "unhealthy" or (since is not None and now.started_at != started_at):
                return failed("SERVICE_RESTART_FAILED", word, self.logs())
            if now.running and now.health in (None, "healthy"):
                if since is None:
                    since, started_at = self.clock.monotonic(), now.started_at
                if self.clock.monotonic() - since >= self.parameters.settle_seconds:
                    return passed(word, started_at=now.started_at)
            if self.clock.monotonic() + _POLL_SECONDS >= self.deadline:
                return failed("SERVICE_RESTART_TIMEOUT", f"{word} still", self.logs())
            self.clock.sleep(_POLL_SECONDS)

    def logs(self) -> bytes:
        """Return the last lines that the container wrote; empty where the engine keeps none."""
        self.deadline = max(self.deadline, self.clock.monotonic() + 1.0)
        try:
            return _without_frames(self.ask("GET", f"logs?stdout=1&stderr=1&tail={_LOG_LINES}").body)
        except StepFailedError:
            return b""


def restart(context: ProbeContext, name: str, parameters: DockerServiceParameters, timeout: float) -> ProbeResult:
    """Have the engine restart the container, and wait until it runs."""
    container = _Container(context, parameters, timeout)
    before = container.state()
    grace = max(0, min(parameters.stop_seconds, math.floor(timeout - parameters.settle_seconds - 1)))
    container.ask("POST", f"restart?t={grace}")
    return container.settled(before, anew=True)


def reload(context: ProbeContext, name: str, parameters: DockerServiceParameters, timeout: float) -> ProbeResult:
    """Send SIGHUP to the container's first process; it must run, and keep running."""
    return _signalled(context, parameters, timeout, "HUP")


def send_signal(context: ProbeContext, name: str, parameters: DockerServiceParameters, timeout: float) -> ProbeResult:
    """Send ``signal`` to the container's first process; it must run, and run afterwards."""
    return _signalled(context, parameters, timeout, str(parameters.signal))


def _signalled(context: ProbeContext, parameters: DockerServiceParameters, timeout: float, signal: str) -> ProbeResult:
    container = _Container(context, parameters, timeout)
    before = container.state()
    if not before.running:
        return failed("SERVICE_NOT_RUNNING", _in_words(parameters.container, before))
    container.ask("POST", f"kill?signal=SIG{signal}")
    return container.settled(before, anew=False)


def _in_words(container: str, state: _State) -> str:
    health = "" if state.health is None else f", {state.health}"
    ended = "" if state.running else f", exit code {state.exit_code}" + (f": {state.error}" if state.error else "")
    return f"{container} is {state.status}{health}{ended}"


def _without_frames(log: bytes) -> bytes:
    """Return a log without the 8-byte headers that the engine puts before each piece where there is no terminal."""
    pieces, rest = [], log
    while len(rest) >= 8 and rest[0] in (0, 1, 2) and rest[1:4] == b"\0\0\0":
        size = int.from_bytes(rest[4:8], "big")
        pieces.append(rest[8 : 8 + size])
        rest = rest[8 + size :]
    return b"".join([*pieces, rest])


def _failure(code: str, message: str) -> StepFailedError:
    return StepFailedError(code, message, "Does the engine run, and may this user ask it?")


KIND = ServiceKind(DockerServiceParameters, {"restart": restart, "reload": reload, "signal": send_signal})
