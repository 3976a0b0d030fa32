"""Kind ``systemd``: a unit is active, in the state that is wanted, and systemd did not have to restart it.

It reads what ``systemctl show`` prints: lines of ``Property=value``, the form that is documented for programs.

Invariants:
- A unit that does not exist is shown as inactive; it fails as such. A property that is not shown fails.
- Restarts count from the number noted before the change. systemd counts anew when a unit is started by hand, as a
  restart by LonelyCat does, and does not say so. In another invocation than the one noted, all that it counts are
  therefore held against the unit: that it restarted less often is not known.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import HealthKind, Mark, ProbeContext, ProbeResult, failed, passed
from lonelycat.checks.process import run_process
from lonelycat.errors import StepFailedError
from lonelycat.settings import child_environment

_PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "NRestarts", "Result", "InvocationID")
_USER_VARIABLES = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


class SystemdParameters(Strict):
    """Which unit and what must hold.

    Attributes:
        unit: its name; ``.service`` where none is given.
        scope: the manager of the system, or that of the user who runs LonelyCat.
        active_state: what ActiveState must be.
        sub_state: what SubState must be, for example ``running``.
        max_restarts: how often systemd may have restarted it by itself since before the change; None for any number.
    """

    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$", max_length=255)]
    scope: Literal["system", "user"] = "system"
    active_state: Literal["active", "inactive"] = "active"
    sub_state: Annotated[str, Field(pattern=r"^[a-z-]+$", max_length=40)] | None = None
    max_restarts: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


def probe(context: ProbeContext, parameters: SystemdParameters, timeout: float) -> ProbeResult:
    """Ask systemd once."""
    shown = f"unit {parameters.unit!a}"
    try:
        unit = _show(context, parameters, timeout)
    except StepFailedError as error:
        return failed(error.code, error.message)
    facts: dict[str, Any] = {"active_state": unit.get("ActiveState"), "sub_state": unit.get("SubState")}
    if unit.get("LoadState") != "loaded":
        return failed("HEALTH_SYSTEMD_MISSING", f"{shown} is {unit.get('LoadState') or 'not known'}", **facts)
    state = f"{unit.get('ActiveState')}/{unit.get('SubState')}"
    if unit.get("ActiveState") != parameters.active_state or parameters.sub_state not in (None, unit.get("SubState")):
        return failed("HEALTH_SYSTEMD_STATE", f"{shown} is {state} (result: {unit.get('Result')})", **facts)
    if parameters.max_restarts is not None:
        since = _restarts_since(context.mark or {}, unit)
        if since is None:
            return failed("HEALTH_NO_BASELINE", f"{shown}: how often it restarted is not known", **facts)
        if since > parameters.max_restarts:
            return failed("HEALTH_SYSTEMD_RESTARTED", f"{shown} was restarted {since} times since the change", **facts)
    return passed(f"{shown} is {state}", **facts)


def take_mark(context: ProbeContext, parameters: SystemdParameters, timeout: float) -> Mark | None:
    """Note how often systemd has restarted the unit, where the policy bounds it."""
    if parameters.max_restarts is None:
        return None
    unit = _show(context, parameters, timeout)
    restarts = _restarts(unit)
    if restarts is None:
        raise StepFailedError("HEALTH_SYSTEMD_MISSING", f"systemd counts no restarts of unit {parameters.unit!a}")
    return {"restarts": restarts, "invocation": unit.get("InvocationID", "")}


def _restarts_since(mark: Mark, unit: dict[str, str]) -> int | None:
    """Return how often systemd restarted ``unit`` since ``mark`` at most, or None when that is not known."""
    restarts, before = _restarts(unit), mark.get("restarts")
    if restarts is None or not isinstance(before, int):
        return None
    same = unit.get("InvocationID") == mark.get("invocation") != ""
    return restarts - before if same and restarts >= before else restarts


def _restarts(unit: dict[str, str]) -> int | None:
    number = unit.get("NRestarts", "")
    return int(number) if number.isascii() and number.isdigit() else None


def _show(context: ProbeContext, parameters: SystemdParameters, timeout: float) -> dict[str, str]:
    scope = ["--user"] if parameters.scope == "user" else []
    done = run_process(
        ["systemctl", *scope, "show", "--no-pager", f"--property={','.join(_PROPERTIES)}", "--", parameters.unit],
        cwd=context.workspace,
        env=child_environment({"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}, _USER_VARIABLES),
        timeout=timeout,
        max_output_bytes=min(64 * 1024, context.limits.max_output_bytes),
        pass_fds=context.pass_fds,
        stop=context.stop,
        sees_host=True,
    )
    if done.error_code:
        raise StepFailedError("HEALTH_SYSTEMD_MISSING", "systemctl is not found; this host is not run by systemd")
    if done.timed_out:
        raise StepFailedError("HEALTH_SYSTEMD_TIMEOUT", f"systemctl did not answer within {timeout:g} s")
    text = done.output.decode("utf-8", "replace")
    if not done.ok:
        raise StepFailedError("HEALTH_SYSTEMD_ERROR", f"systemctl exited with {done.exit_code}: {text.strip()[:300]}")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


KIND = HealthKind(SystemdParameters, probe, take_mark, isolated=False)
