"""A real supervisord, from the package."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.servers.running import accepts, free_port, running


class Supervisord(NamedTuple):
    """A running supervisord, with the socket and the port it listens on."""

    socket: Path
    port: int
    configuration: Path
    process: subprocess.Popen[bytes]

    def control(self, *words: str) -> str:
        """Run supervisorctl and return what it said."""
        argv = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self.configuration), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


@contextlib.contextmanager
def supervisord(directory: Path, programs: str) -> Iterator[Supervisord]:
    """Run a supervisord with the sections ``programs``; its HTTP server wants ``ada`` with ``l0velace``."""
    directory.mkdir(exist_ok=True)
    port, socket, configuration = free_port(), directory / "s.sock", directory / "supervisord.conf"
    configuration.write_text(
        f"""
[supervisord]
nodaemon=true
logfile={directory}/log
pidfile={directory}/pid
childlogdir={directory}
user={"root"}
[unix_http_server]
file={socket}
[inet_http_server]
port=127.0.0.1:{port}
username=ada
password=l0velace
[supervisorctl]
serverurl=unix://{socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
{programs}
"""
    )
    argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration), "-n"]
    with running(argv, lambda: socket.exists() and accepts(port), directory / "output") as process:
        yield Supervisord(socket, port, configuration, process)
