"""Kind ``supervisor``: a program, or a group of them, that supervisord runs.

Invariants:
- Started means RUNNING: past the program's own ``startsecs``, and still after ``settle_seconds`` in the same process.
  BACKOFF and FATAL are failures, told with the end of what the program wrote to its standard error.
- A program that was told to end by a signal has restarted only in another process, never in the one of before.
- No call waits inside supervisord: it is asked again and again, so that the time limit is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import Field

from lonelycat.checks.health.kind import ProbeContext, ProbeResult, failed, passed
from lonelycat.checks.services.kind import ServiceKind, Signal
from lonelycat.checks.supervisor_rpc import (
    ALREADY_STARTED,
    BAD_NAME,
    NOT_RUNNING,
    SPAWN_ERRORS,
    Supervisord,
    SupervisorFault,
    SupervisorServer,
)
from lonelycat.errors import StepFailedError

_POLL_SECONDS = 0.1
_TAIL_BYTES = 8192
_DOWN = frozenset({"STOPPED", "EXITED", "FATAL"})
_BROKEN = frozenset({"BACKOFF", "FATAL", "EXITED", "UNKNOWN"})
_ENDING = frozenset({"TERM", "INT", "QUIT"})
_ROUNDS = 10
"""How often in a row a program must be seen as EXITED: each question wakes supervisord, which in its next round starts
again what it will."""


class SupervisorServiceParameters(SupervisorServer):
    """Which program, and where its supervisord listens.

    Attributes:
        program: ``NAME``, ``GROUP:NAME``, or ``GROUP:*`` for all of a group.
        signal: for the action ``signal``.
        settle_seconds: how long it must have stayed RUNNING in the same process.
    """

    program: Annotated[str, Field(pattern=r"^[^\s:*]+(:([^\s:*]+|\*))?$", max_length=200)]
    signal: Signal | None = None
    settle_seconds: Annotated[float, Field(ge=0, le=600)] = 0.5

    @property
    def group(self) -> str | None:
        """The group, where all of it is meant."""
        return self.program.removesuffix(":*") if self.program.endswith(":*") else None


class _Programs:
    """What ``parameters`` mean, at one supervisord."""

    def __init__(self, context: ProbeContext, parameters: SupervisorServiceParameters, timeout: float) -> None:
        self.clock = context.clock
        self.parameters = parameters
        self.supervisord = Supervisord(context, parameters, context.clock.monotonic() + timeout)

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what supervisord says of each program, by its full name; never empty."""
        group = self.parameters.group
        if group is None:
            found = [self.supervisord.call("getProcessInfo", self.parameters.program)]
        else:
            found = [one for one in self.supervisord.call("getAllProcessInfo") if one["group"] == group]
            if not found:
                raise SupervisorFault(BAD_NAME, group)
        return {f"{one['group']}:{one['name']}": one for one in found}

    def tell(self, verb: str, *arguments: object, fine: Iterable[int] = ()) -> None:
        """Tell supervisord ``verb`` (start, stop, signal), once for each program; faults in ``fine`` are no faults."""
        for name in self.states():
            try:
                self.supervisord.call(f"{verb}Process", name, *arguments)
            except SupervisorFault as fault:
                if fault.number not in fine:
                    raise

    def wait(self, settled: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
        """Ask until ``settled``, or until the deadline: then the last answer is returned as it is."""
        while True:
            states = self.states()
            if settled(states) or self.clock.monotonic() + _POLL_SECONDS >= self.supervisord.deadline:
                return states
            self.clock.sleep(_POLL_SECONDS)

    def standard_error(self, name: str) -> bytes:
        """Return the end of what a program wrote to its standard error, as far as supervisord kept it."""
        try:
            text, _, _ = self.supervisord.call("tailProcessStderrLog", name, 0, _TAIL_BYTES)
        except (SupervisorFault, StepFailedError, TypeError, ValueError):
            return b""
        return str(text).encode()


def restart(context: ProbeContext, name: str, parameters: SupervisorServiceParameters, timeout: float) -> ProbeResult:
    """Stop what runs, start it anew, and wait until it counts as running."""

    def act(programs: _Programs) -> ProbeResult:
        ended = _ended(programs)
        if not ended.ok:
            return ended
        programs.tell("start", False, fine=[ALREADY_STARTED, *SPAWN_ERRORS])
        return _runs(programs, {})

    return _guarded(context, parameters, timeout, act)


def stop(context: ProbeContext, name: str, parameters: SupervisorServiceParameters, timeout: float) -> ProbeResult:
    """Stop what runs; supervisord does not start it again by itself."""
    return _guarded(context, parameters, timeout, _ended)


def processes(context: ProbeContext, name: str, parameters: SupervisorServiceParameters, timeout: float) -> list[int]:
    """Return the pids of what runs; raises what :class:`Supervisord` raises."""
    states = _Programs(context, parameters, timeout).states()
    return [one["pid"] for one in states.values() if one["pid"]]


def _ended(programs: _Programs) -> ProbeResult:
    programs.tell("stop", False, fine=[NOT_RUNNING])
    states = programs.wait(lambda states: all(one["statename"] in _DOWN for one in states.values()))
    slow = [f"{full} is {one['statename']}" for full, one in states.items() if one["statename"] not in _DOWN]
    if slow:
        return failed("SERVICE_RESTART_TIMEOUT", f"{slow[0]} and does not end")
    return passed(f"{', '.join(states)} ended")


def reload(context: ProbeContext, name: str, parameters: SupervisorServiceParameters, timeout: float) -> ProbeResult:
    """Send SIGHUP, and see that the same process still runs."""
    return _guarded(context, parameters, timeout, lambda programs: _signalled(programs, "HUP"))


def send_signal(
    context: ProbeContext, name: str, parameters: SupervisorServiceParameters, timeout: float
) -> ProbeResult:
    """Send ``signal``, and see that it still runs; after one that asks it to end, that it was started again."""
    return _guarded(context, parameters, timeout, lambda programs: _signalled(programs, str(parameters.signal)))


def _signalled(programs: _Programs, signal: str) -> ProbeResult:
    before = programs.states()
    for full, one in before.items():
        if one["statename"] != "RUNNING":
            return failed("SERVICE_NOT_RUNNING", f"{full} is {one['statename']}")
    programs.tell("signal", signal)
    pids = {full: one["pid"] for full, one in before.items()}
    if signal not in _ENDING:
        return _runs(programs, pids)
    return _not_replaced(programs, pids, signal) or _runs(programs, {})


def _not_replaced(programs: _Programs, pids: dict[str, int], signal: str) -> ProbeResult | None:
    """Wait until no process of ``pids`` is left and supervisord has started others; return the failure to do so."""
    exited = dict.fromkeys(pids, 0)

    def settled(states: dict[str, dict[str, Any]]) -> bool:
        for full, one in states.items():
            exited[full] = exited.get(full, 0) + 1 if one["statename"] == "EXITED" else 0
        is_broken = any(one["statename"] in _BROKEN - {"EXITED"} for one in states.values())
        are_others = all(one["pid"] not in (0, pids.get(full)) for full, one in states.items())
        return is_broken or are_others or max(exited.values()) >= _ROUNDS

    for full, one in programs.wait(settled).items():
        if exited[full] >= _ROUNDS:
            said = f"{full} is EXITED after SIG{signal}, and its autorestart does not start it again"
            return failed("SERVICE_RESTART_FAILED", said, programs.standard_error(full))
        if one["pid"] == pids.get(full) and one["statename"] == "RUNNING":
            said = f"{full} still runs as process {one['pid']}, which SIG{signal} has not ended"
            return failed("SERVICE_RESTART_TIMEOUT", said)
    return None


def _runs(programs: _Programs, pids: dict[str, int]) -> ProbeResult:
    """Wait for RUNNING, then look again after the settling time: the same processes must still run."""
    clock, settle = programs.clock, programs.parameters.settle_seconds
    states = programs.wait(
        lambda states: (
            any(one["statename"] in _BROKEN for one in states.values())
            or all(one["statename"] == "RUNNING" for one in states.values())
        )
    )
    pids = pids or {full: one["pid"] for full, one in states.items()}
    settled = clock.monotonic() + settle
    until = min(settled, programs.supervisord.deadline - _POLL_SECONDS)
    while all(one["statename"] == "RUNNING" for one in states.values()) and clock.monotonic() < until:
        clock.sleep(min(_POLL_SECONDS, max(0.0, until - clock.monotonic())))
        states = programs.states()
    for full, one in states.items():
        state = one["statename"]
        if state == "RUNNING" and one["pid"] != pids[full]:
            return failed(
                "SERVICE_RESTART_FAILED", f"{full} ended and was started again", programs.standard_error(full)
            )
        if state in ("STARTING", "STOPPING"):
            return failed("SERVICE_RESTART_TIMEOUT", f"{full} is still {state}", programs.standard_error(full))
        if state != "RUNNING":
            said = f"{full} is {state}" + (f": {one['spawnerr']}" if one.get("spawnerr") else "")
            return failed("SERVICE_RESTART_FAILED", said, programs.standard_error(full))
    shown = ", ".join(f"{full} runs as process {one['pid']}" for full, one in states.items())
    if clock.monotonic() < settled:
        return failed("SERVICE_RESTART_TIMEOUT", f"{shown}, but there was no time to see it do so for {settle:g} s")
    return passed(shown, pids={full: one["pid"] for full, one in states.items()})


def _guarded(
    context: ProbeContext,
    parameters: SupervisorServiceParameters,
    timeout: float,
    act: Callable[[_Programs], ProbeResult],
) -> ProbeResult:
    try:
        return act(_Programs(context, parameters, timeout))
    except SupervisorFault as fault:
        if fault.number == BAD_NAME:
            return failed("SERVICE_NOT_KNOWN", f"supervisord knows no program {parameters.program}")
        return failed("SERVICE_RESTART_FAILED", f"supervisord refuses: {fault}")
    except (KeyError, TypeError, AttributeError) as error:
        return failed("SERVICE_MANAGER_ANSWER", f"supervisord's answer lacks {error}")


KIND = ServiceKind(
    SupervisorServiceParameters, {"restart": restart, "reload": reload, "signal": send_signal}, stop, processes
)
