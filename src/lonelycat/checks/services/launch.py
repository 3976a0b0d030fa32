"""Starts a process that is meant to outlive LonelyCat.

Invariant: it inherits neither the guard's descriptor nor any pipe, is not our child, and is not in our session:
neither our end nor a terminal's takes it along, and it never holds the workspace's lock.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lonelycat.checks.executable import find_executable
from lonelycat.checks.identity import Identity, identify
from lonelycat.errors import StepFailedError

_DETACH = str(Path(__file__).with_name("detach.py"))
_LAUNCH_SECONDS = 10.0
_MAX_LOG_BYTES = 10 * 1024 * 1024


@contextlib.contextmanager
def opened_log(path: Path) -> Iterator[int]:
    """Open ``path`` for appending, never through a symbolic link; over 10 MiB it is set aside as ``.old`` first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_size > _MAX_LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.old"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        os.set_blocking(descriptor, True)
        yield descriptor
    finally:
        os.close(descriptor)


def launch(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: int, pid_file: Path) -> Identity | None:
    """Start ``argv`` detached, its output going to the descriptor ``log``; return who it is, None if already dead.

    Args:
        pid_file: absolute; it says who was started, even if this process does not live to hear of it.

    Raises:
        StepFailedError: ``SERVICE_RESTART_FAILED`` when it cannot be started at all.
    """
    executable = find_executable(argv, cwd, env)
    if executable is None:
        raise _failure(f"{argv[0]!a} is not found or not executable")
    status_read, status_write = os.pipe()
    try:
        done = subprocess.run(  # noqa: S603 - argv list from the policy, no shell by design
            [sys.executable, "-I", "-S", _DETACH, str(status_write), str(pid_file), executable, *argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(status_write,),
            start_new_session=True,
            timeout=_LAUNCH_SECONDS,
            check=False,
        )
        os.set_blocking(status_read, False)
        with contextlib.suppress(BlockingIOError):
            word, _, number = os.read(status_read, 64).partition(b" ")
            if word == b"pid":
                return identify(int(number))
            if word == b"errno":
                raise _failure(f"{argv[0]!a} cannot be executed: {os.strerror(int(number))}")
        raise _failure(f"the launcher of {argv[0]!a} ended with {done.returncode}")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise _failure(f"{argv[0]!a} cannot be started: {error}") from error
    finally:
        os.close(status_read)
        os.close(status_write)


def _failure(message: str) -> StepFailedError:
    return StepFailedError("SERVICE_RESTART_FAILED", message, "Check the service's argv, cwd and env in the policy.")
