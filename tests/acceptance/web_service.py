"""A real web service of a ground: what it answers is the state that it was started with."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from tests.acceptance.ground import PROGRAMS, Ground
from tests.patience import PATIENCE_SECONDS
from tests.servers.running import free_port

from lonelycat.checks.pidfile import read_pid_file


class Web:
    """A ground with a real service on a port of its own, and how to ask it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.port = free_port()
        self.pid_file = ground.root / ".lonelycat/run/web.pid"
        ground.policy["services"] = {
            "web": {
                "kind": "process",
                "with": {
                    "argv": ["{python}", "-I", "-S", str(PROGRAMS / "web.py"), str(self.port), "web/state"],
                    "settle_seconds": 0.1,
                },
                "touches": ["web/**"],
                "health_checks": ["web-listens"],  # however slowly it starts; from then on every answer counts
                "ready_timeout": 60,
            }
        }
        ground.policy["health_checks"] = {
            "web-listens": {"kind": "tcp", "with": {"port": self.port}, "touches": ["web/**"], "attempts": 1},
            "web-answers": {
                "kind": "http",
                "with": {"url": f"http://127.0.0.1:{self.port}/", "status": [200]},
                "required_for_risk": ["LOW", "MEDIUM", "HIGH"],
                "timeout": 20,
                "interval": 0.1,
                "attempts": 3,
            },
        }

    def ask(self) -> tuple[int, str]:
        """Return the status and text that the service answers with; 0 when it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @contextmanager
    def running(self) -> Iterator[Self]:
        """End the service, if one was started, after the block."""
        try:
            yield self
        finally:
            noted = read_pid_file(self.pid_file)
            running = noted.running() if noted is not None else None
            if running is not None:
                os.kill(running.pid, signal.SIGKILL)
