"""Starts real servers for tests: on a free port, awaited until they answer, ended with all they started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    ready: Callable[[], bool],
    log: Path,
    *,
    stop: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    seconds: float = 30.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` until the block ends; it begins once ``ready`` returns true.

    Args:
        log: where its output goes, shown when it does not become ready.
        stop: the signal that asks it to end; ten seconds later its process group is killed.
        seconds: how long it may take to become ready.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=env,
                                   start_new_session=True)  # fmt: skip
    try:
        until = time.monotonic() + seconds
        while not ready():
            said = log.read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"{argv[0]} ended with {process.returncode}: {said}"
            assert time.monotonic() < until, f"{argv[0]} is not ready after {seconds} s: {said}"
            time.sleep(0.02)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def accepts(port: int) -> bool:
    """Tell whether something accepts connections on ``port`` of the loopback interface."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
