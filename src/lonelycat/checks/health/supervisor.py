"""Kind ``supervisor``: a program under supervisord is RUNNING, has been for a while, and did not restart.

Invariants:
- Only the state RUNNING passes; STARTING, BACKOFF and the like are not running yet, or not any more.
- ``no_restart`` compares with the process noted before the change. Where none could be noted, it fails.
- The answer of supervisord is read by ``supervisor_rpc.py``, which believes none of it before it is read whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from lonelycat.checks.health.exchange import ExchangeError, exchange
from lonelycat.checks.health.kind import HealthKind, Mark, ProbeContext, ProbeResult, failed, passed
from lonelycat.checks.supervisor_rpc import NoAnswerError, SupervisorFault, SupervisorServer, read_answer, request
from lonelycat.errors import StepFailedError


class SupervisorParameters(SupervisorServer):
    """Which program, and where its supervisord listens.

    Attributes:
        program: its name, with its group where they differ: ``group:name``.
        min_uptime_seconds: for how long it must have been running.
        no_restart: whether it must still be the process that ran before the change; for a program that the change
            does not restart.
    """

    program: Annotated[str, Field(pattern=r"^[^\s:]+(:[^\s:]+)?$", max_length=300)]
    min_uptime_seconds: Annotated[float, Field(gt=0)] | None = None
    no_restart: bool = False


def probe(context: ProbeContext, parameters: SupervisorParameters, timeout: float) -> ProbeResult:
    """Ask once."""
    info = _info(context, parameters, timeout)
    if isinstance(info, ProbeResult):
        return info
    shown, state = f"program {parameters.program!a}", str(info.get("statename"))
    facts: dict[str, Any] = {"state": state, "pid": info.get("pid")}
    if state != "RUNNING":
        why = str(info.get("spawnerr") or info.get("description") or "")[:300]
        return failed("HEALTH_SUPERVISOR_STATE", f"{shown} is {state}{f': {why}' if why else ''}", **facts)
    uptime = float(info["now"] - info["start"])
    if parameters.min_uptime_seconds is not None and uptime < parameters.min_uptime_seconds:
        return failed("HEALTH_SUPERVISOR_UPTIME", f"{shown} has been running for {uptime:g} s only", **facts)
    if parameters.no_restart:
        before = (context.mark or {}).get("pid"), (context.mark or {}).get("start")
        if None in before:
            return failed("HEALTH_NO_BASELINE", f"{shown}: it is not known which process ran before", **facts)
        if before != (info["pid"], info["start"]):
            return failed("HEALTH_SUPERVISOR_RESTARTED", f"{shown} is no longer the process that ran before", **facts)
    return passed(f"{shown} is RUNNING, for {uptime:g} s", **facts)


def take_mark(context: ProbeContext, parameters: SupervisorParameters, timeout: float) -> Mark | None:
    """Note which process runs, where the policy wants to know later whether it is still the same."""
    if not parameters.no_restart:
        return None
    info = _info(context, parameters, timeout)
    if isinstance(info, ProbeResult):
        raise StepFailedError(info.code or "HEALTH_SUPERVISOR_STATE", info.message)
    if info.get("statename") != "RUNNING":
        raise StepFailedError("HEALTH_SUPERVISOR_STATE", f"program {parameters.program!a} is {info.get('statename')}")
    return {"pid": info["pid"], "start": info["start"]}


def _info(context: ProbeContext, parameters: SupervisorParameters, timeout: float) -> ProbeResult | dict[str, Any]:
    """Return what supervisord says about the program, or the failure to say anything."""
    password = None if parameters.password_env is None else context.secrets[parameters.password_env]
    target, call = request(parameters, context.workspace, password, "getProcessInfo", parameters.program)
    where = parameters.where
    try:
        answer = exchange(target, call, context.clock.monotonic() + timeout, context.clock)
    except ExchangeError as error:
        why = f"no complete answer within {timeout:g} s" if error.way == "TIMEOUT" else error.why
        return failed(f"HEALTH_SUPERVISOR_{error.way}", f"supervisord at {where}: {why}")
    if answer.status != 200:
        return failed("HEALTH_SUPERVISOR_ERROR", f"supervisord at {where} answers {answer.status}")
    try:
        info = read_answer(answer.body) if answer.complete else None
    except SupervisorFault as fault:
        return failed("HEALTH_SUPERVISOR_ERROR", f"program {parameters.program!a}: {str(fault)[:300]}")
    except NoAnswerError:
        info = None
    if not isinstance(info, dict) or not all(isinstance(info.get(key), int) for key in ("now", "start", "pid")):
        return failed("HEALTH_SUPERVISOR_PROTOCOL", f"supervisord at {where}: not an answer of supervisord")
    return info


def _variables(parameters: SupervisorParameters) -> Iterable[str]:
    return () if parameters.password_env is None else (parameters.password_env,)


KIND = HealthKind(SupervisorParameters, probe, take_mark, _variables, isolated=False)
