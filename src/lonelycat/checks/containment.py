"""How a command is kept from leaving anything behind: a pid namespace, or adoption by a supervisor.

Invariants:
- A namespace is used only after it was shown to work here, once per process.
- A command that must see the host's processes (``nginx -s reload``, ``pgrep``) is adopted, never put in a namespace.
- After an adopted command, whatever still carries its marker in the environment is killed.
- Where neither exists (anywhere but on Linux) no command is started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path

MARKER = "LONELYCAT_RUN"
"""Environment variable that every process of one adopted command carries, with the same random value."""

_SUPERVISOR = str(Path(__file__).with_name("supervisor.py"))
_PROBE_SECONDS = 5.0
_SWEEP_SECONDS = 10.0


def new_marker() -> str:
    """Return a value for :data:`MARKER` that no other command has."""
    return secrets.token_hex(16)


def supervisor_argv(*, namespace: bool, control: int, status: int, executable: str, argv: list[str]) -> list[str]:
    """Return the argument list that runs ``argv`` under a supervisor, in a pid namespace where asked for.

    Raises:
        OSError: this system has no means to keep a command from leaving processes behind.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, f"nothing on {sys.platform} keeps it from leaving processes behind")
    prefix = list(namespace_prefix() or ()) if namespace else []
    mode = "namespace" if prefix else "adopt"
    interpreter = [sys.executable, "-I", "-S", _SUPERVISOR]
    return [*prefix, *interpreter, mode, str(control), str(status), executable, *argv]


@lru_cache(maxsize=1)
def namespace_prefix() -> tuple[str, ...] | None:
    """Return the command prefix that gives a pid namespace which dies with its parent, or None if none works."""
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    if setpriv is None or unshare is None:
        return None
    setpriv, unshare = str(Path(setpriv).absolute()), str(Path(unshare).absolute())
    base = (setpriv, "--pdeathsig", "KILL", "--", unshare, "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
    for extra in ((), ("--user", "--map-current-user")):
        prefix = (*base, *extra, "--")
        if _works(prefix):
            return prefix
    return None


def _works(prefix: tuple[str, ...]) -> bool:
    """Run a program behind ``prefix`` that succeeds only as process 1 of a /proc that shows nothing else."""
    program = "import os; raise SystemExit([n for n in os.listdir('/proc') if n.isdigit()] != [str(os.getpid())])"
    try:
        done = subprocess.run(  # noqa: S603 - fixed argv, absolute paths, no shell
            [*prefix, sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def sweep(marker: str) -> None:
    """SIGKILL every process whose environment holds the marker, repeatedly, until a pass finds none.

    Gives up after ten seconds (a process stuck in the kernel); it still holds the lock's descriptor then.
    """
    needle = f"{MARKER}={marker}".encode()
    deadline = time.monotonic() + _SWEEP_SECONDS
    while found := _carriers(needle):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _carriers(needle: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc/self/environ").exists() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
