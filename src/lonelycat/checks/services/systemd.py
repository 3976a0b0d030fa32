"""Kind ``systemd``: a unit, by ``systemctl``.

Invariants:
- ``systemctl`` itself is held to the time limit: it is killed at its end, whatever the unit does.
- Restarted means active in a new invocation, and still so after ``settle_seconds``; a unit of type ``oneshot`` has
  done its work when it ended well.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import CommandArgv, ProbeContext, ProbeResult, failed, passed
from lonelycat.checks.process import run_process
from lonelycat.checks.services.kind import ServiceKind, Signal
from lonelycat.errors import StepFailedError
from lonelycat.settings import child_environment

_POLL_SECONDS = 0.1
_SHOWN = "LoadState,ActiveState,SubState,Result,Type,MainPID,InvocationID"
_USER_BUS = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


class SystemdServiceParameters(Strict):
    """Which unit.

    Attributes:
        unit: its full name, such as ``shop.service``.
        scope: the manager of the system, or that of the user who runs LonelyCat.
        systemctl: the program, such as ``[sudo, -n, systemctl]`` where LonelyCat does not run as root.
        signal: for the action ``signal``; it goes to the unit's main process.
        settle_seconds: how long the unit must have stayed active.
    """

    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.\\@-]+\.[a-z]+$", max_length=255)]
    scope: Literal["system", "user"] = "system"
    systemctl: CommandArgv = ("systemctl",)
    signal: Signal | None = None
    settle_seconds: Annotated[float, Field(ge=0, le=600)] = 0.5


class _Unit:
    """One unit, until a deadline."""

    def __init__(self, context: ProbeContext, parameters: SystemdServiceParameters, timeout: float) -> None:
        self.context = context
        self.parameters = parameters
        self.clock = context.clock
        self.deadline = context.clock.monotonic() + timeout

    def systemctl(self, *arguments: str) -> bytes:
        """Run systemctl and return what it printed.

        Raises:
            StepFailedError: it is not there, took too long, or exited with anything but 0.
        """
        argv = [*self.parameters.systemctl, f"--{self.parameters.scope}", *arguments]
        done = run_process(
            argv,
            cwd=self.context.workspace,
            env=child_environment({"SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}, _USER_BUS),
            timeout=max(0.001, self.deadline - self.clock.monotonic()),
            max_output_bytes=self.context.limits.max_output_bytes,
            pass_fds=self.context.pass_fds,
            stop=self.context.stop,
            sees_host=True,
        )
        if done.error_code:
            raise _failure("SERVICE_COMMAND_NOT_FOUND", done.message)
        if done.timed_out:
            raise _failure("SERVICE_RESTART_TIMEOUT", f"systemctl {arguments[0]} {self.parameters.unit} did not end")
        if done.exit_code != 0:
            said = done.output.decode("utf-8", "replace").strip()[-500:]
            how = f"exited with {done.exit_code}" if done.signal is None else f"was killed by signal {done.signal}"
            raise _failure("SERVICE_RESTART_FAILED", f"systemctl {arguments[0]} {how}: {said}")
        return done.output

    def state(self) -> dict[str, str]:
        """Return the properties that say how the unit is."""
        text = self.systemctl("show", "--property", _SHOWN, "--", self.parameters.unit).decode("utf-8", "replace")
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if "ActiveState" not in found or "LoadState" not in found:
            raise _failure("SERVICE_MANAGER_ANSWER", f"systemctl show said nothing of use: {text[:200]!a}")
        if found["LoadState"] != "loaded":
            raise _failure("SERVICE_NOT_KNOWN", f"{self.parameters.unit} is {found['LoadState']}")
        return found

    def settled(self, before: dict[str, str], *, anew: bool) -> ProbeResult:
        """Wait until the unit has come up, or will not."""
        unit, settle = self.parameters.unit, self.parameters.settle_seconds
        since = None
        while True:
            now = self.state()
            word = f"{unit} is {now['ActiveState']} ({now.get('SubState', '')}, result {now.get('Result', '')})"
            active = now["ActiveState"] in ("active", "reloading")
            if now["ActiveState"] == "failed":
                return failed("SERVICE_RESTART_FAILED", word, self._log())
            if anew and _has_done_its_work(now):
                return passed(word)
            if now["ActiveState"] in ("inactive", "deactivating") and since is not None:
                return failed("SERVICE_RESTART_FAILED", f"{word}, soon after its start", self._log())
            if active and anew and now.get("InvocationID") == before.get("InvocationID"):
                return failed("SERVICE_RESTART_FAILED", f"{word}, in the same invocation as before", self._log())
            if active:
                since = self.clock.monotonic() if since is None else since
                if self.clock.monotonic() - since >= settle:
                    return passed(word, pid=int(now["MainPID"]) if now.get("MainPID", "").isdigit() else None)
            if self.clock.monotonic() + _POLL_SECONDS >= self.deadline:
                return failed("SERVICE_RESTART_TIMEOUT", f"{word} still", self._log())
            self.clock.sleep(_POLL_SECONDS)

    def _log(self) -> bytes:
        self.deadline = max(self.deadline, self.clock.monotonic() + 1.0)
        try:
            return self.systemctl("status", "--no-pager", "--full", "--lines", "20", "--", self.parameters.unit)
        except StepFailedError as error:  # it exits with 3 for a unit that is not active, and says why all the same
            return error.message.encode()


def restart(context: ProbeContext, name: str, parameters: SystemdServiceParameters, timeout: float) -> ProbeResult:
    """Restart the unit, or start it if it is not active."""
    unit = _Unit(context, parameters, timeout)
    before = unit.state()
    try:
        unit.systemctl("restart", "--", parameters.unit)
    except StepFailedError as error:
        return failed(error.code, error.message, unit._log())
    return unit.settled(before, anew=True)


def reload(context: ProbeContext, name: str, parameters: SystemdServiceParameters, timeout: float) -> ProbeResult:
    """Have the unit reload its configuration; it must be active, and stay so."""
    return _told(context, parameters, timeout, "reload", "--", parameters.unit)


def send_signal(context: ProbeContext, name: str, parameters: SystemdServiceParameters, timeout: float) -> ProbeResult:
    """Send ``signal`` to the unit's main process; it must be active, and stay so."""
    signal = f"--signal=SIG{parameters.signal}"
    return _told(context, parameters, timeout, "kill", "--kill-whom=main", signal, "--", parameters.unit)


def _told(context: ProbeContext, parameters: SystemdServiceParameters, timeout: float, *words: str) -> ProbeResult:
    unit = _Unit(context, parameters, timeout)
    before = unit.state()
    if before["ActiveState"] != "active":
        return failed("SERVICE_NOT_RUNNING", f"{parameters.unit} is {before['ActiveState']}")
    unit.systemctl(*words)
    return unit.settled(before, anew=False)


def _has_done_its_work(state: dict[str, str]) -> bool:
    return state.get("Type") == "oneshot" and state["ActiveState"] == "inactive" and state.get("Result") == "success"


def _failure(code: str, message: str) -> StepFailedError:
    return StepFailedError(code, message, "See `systemctl status` and the unit's journal.")


KIND = ServiceKind(SystemdServiceParameters, {"restart": restart, "reload": reload, "signal": send_signal})
