"""Starts real servers for tests: on a free port, awaited until they answer, ended with all they started."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.patience import PATIENCE_SECONDS, until


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now, and that no test is given again.

    It is below those that the kernel gives to who asks for any: nobody else gets it before the caller's server has it,
    nor while that restarts. Other workers, and other runs on the same machine, see that it is claimed.
    """
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket(socket.AF_UNIX) as claim, contextlib.suppress(OSError):
            claim.bind(f"\0port-{port}-of-lonelycat-tests")
            with socket.create_server(("127.0.0.1", port)):
                claim.detach()  # held until this process ends
                return port


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    ready: Callable[[], bool],
    log: Path,
    *,
    stop: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` until the block ends; it begins once ``ready`` returns true.

    Args:
        log: where its output goes, shown when it does not become ready.
        stop: the signal that asks it to end; if it does not for long, its process group is killed.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=env,
                                   start_new_session=True)  # fmt: skip

    def said() -> str:
        return log.read_text(errors="replace")[-2000:]

    def is_ready() -> bool:
        assert process.poll() is None, f"{argv[0]} ended with {process.returncode}: {said()}"
        return ready()

    try:
        until(is_ready, lambda: f"{argv[0]}, which says: {said()}", pause=0.02)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def accepts(port: int) -> bool:
    """Tell whether something accepts connections on ``port`` of the loopback interface."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
