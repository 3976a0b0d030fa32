"""Kind ``supervisor``: a program under supervisord is RUNNING, has been for a while, and did not restart.

Invariants:
- Only the state RUNNING passes; STARTING, BACKOFF and the like are not running yet, or not any more.
- ``no_restart`` compares with the process noted before the change. Where none could be noted, it fails.
- The answer of supervisord is bounded, and is read by an XML parser that takes no document type.
"""

from __future__ import annotations

import base64
import xmlrpc.client
from collections.abc import Iterable
from typing import Annotated, Any, Self
from xml.parsers import expat

from pydantic import Field, model_validator

from lonelycat.changes.model import Strict
from lonelycat.checks.health.exchange import Call, ExchangeError, HttpUrl, Target, exchange, target_of
from lonelycat.checks.health.kind import (
    HealthKind,
    Mark,
    ProbeContext,
    ProbeResult,
    VariableName,
    Word,
    failed,
    passed,
)
from lonelycat.errors import StepFailedError


class SupervisorParameters(Strict):
    """Which program, and where its supervisord listens.

    Attributes:
        program: its name, with its group where they differ: ``group:name``.
        socket: the path of supervisord's Unix socket, absolute or relative to the workspace root; or
        url: of its HTTP server, without ``/RPC2``.
        username, password_env: whom to authenticate as, and the variable that holds the password.
        min_uptime_seconds: for how long it must have been running.
        no_restart: whether it must still be the process that ran before the change; for a program that the change
            does not restart.
    """

    program: Annotated[str, Field(pattern=r"^[^\s:]+(:[^\s:]+)?$", max_length=300)]
    socket: Annotated[Word, Field(min_length=1)] | None = None
    url: HttpUrl | None = None
    username: Annotated[Word, Field(min_length=1)] | None = None
    password_env: VariableName | None = None
    min_uptime_seconds: Annotated[float, Field(gt=0)] | None = None
    no_restart: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.socket is None) == (self.url is None):
            raise ValueError("give socket or url, one of them")
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env go together")
        return self


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
    if parameters.url is not None:
        target, path = target_of(parameters.url)
        where = parameters.url
    else:
        target, path = Target("localhost", 80, socket_path=context.workspace / (parameters.socket or "")), "/"
        where = ascii(parameters.socket)
    headers = {"Content-Type": "text/xml"}
    if parameters.username is not None and parameters.password_env is not None:
        pair = f"{parameters.username}:{context.secrets[parameters.password_env]}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
    body = xmlrpc.client.dumps((parameters.program,), "supervisor.getProcessInfo").encode()
    call = Call("POST", f"{path.rstrip('/')}/RPC2", headers, body)
    try:
        answer = exchange(target, call, context.clock.monotonic() + timeout, context.clock)
    except ExchangeError as error:
        why = f"no complete answer within {timeout:g} s" if error.way == "TIMEOUT" else error.why
        return failed(f"HEALTH_SUPERVISOR_{error.way}", f"supervisord at {where}: {why}")
    if answer.status != 200:
        return failed("HEALTH_SUPERVISOR_ERROR", f"supervisord at {where} answers {answer.status}")
    try:
        info = _parsed(answer.body) if answer.complete else None
    except xmlrpc.client.Fault as fault:
        return failed("HEALTH_SUPERVISOR_ERROR", f"program {parameters.program!a}: {str(fault.faultString)[:300]}")
    except (expat.ExpatError, xmlrpc.client.Error, ValueError, LookupError, TypeError, AttributeError):
        info = None
    if not isinstance(info, dict) or not all(isinstance(info.get(key), int) for key in ("now", "start", "pid")):
        return failed("HEALTH_SUPERVISOR_PROTOCOL", f"supervisord at {where}: not an answer of supervisord")
    return info


def _parsed(body: bytes) -> object:
    """Return the one value of an XML-RPC answer; raises for what is none, and for any document type."""
    target = xmlrpc.client.Unmarshaller()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("the answer has a document type")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.data
    target.xml(None, None)  # type: ignore[arg-type]  # None: expat has decoded it
    parser.Parse(body, True)
    values: Any = target.close()
    return values[0]


def _variables(parameters: SupervisorParameters) -> Iterable[str]:
    return () if parameters.password_env is None else (parameters.password_env,)


KIND = HealthKind(SupervisorParameters, probe, take_mark, _variables, isolated=False)
