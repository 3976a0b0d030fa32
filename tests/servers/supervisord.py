"""A real supervisord, from the package."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.servers.running import accepts, free_port, running

USER, PASSWORD = "ada", "l0velace"
WAITING = "import time; time.sleep(600)"


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


def python_program(name: str, text: str, *settings: str) -> str:
    """Return the section of a program that is a line of Python; ``settings`` are further lines.

    Without site: what measures coverage takes SIGTERM over, and one that comes while it starts is lost.
    """
    assert '"' not in text and "%" not in text, "supervisord would read them as its own"
    return "\n".join([f"[program:{name}]", f'command={sys.executable} -S -c "{text}"', *settings, ""])


@contextlib.contextmanager
def supervisord(directory: Path, programs: str, *, guarded: bool = False) -> Iterator[Supervisord]:
    """Run a supervisord with the sections ``programs``, and with their output in ``directory``.

    Args:
        guarded: the Unix socket wants ``USER`` with ``PASSWORD`` too, as the HTTP server always does.
    """
    directory.mkdir(exist_ok=True)
    port, socket, configuration = free_port(), directory / "s.sock", directory / "supervisord.conf"
    login = f"username={USER}\npassword={PASSWORD}"
    configuration.write_text(
        f"""
[supervisord]
nodaemon=true
logfile={directory}/log
pidfile={directory}/pid
childlogdir={directory}
[unix_http_server]
file={socket}
{login if guarded else ""}
[inet_http_server]
port=127.0.0.1:{port}
{login}
[supervisorctl]
serverurl=unix://{socket}
{login}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
{programs}
"""
    )
    argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration), "-n"]
    with running(argv, lambda: socket.exists() and accepts(port), directory / "output") as process:
        _take_turns(port)
        yield Supervisord(socket, port, configuration, process)


def _take_turns(port: int) -> None:
    """Return when the supervisord at ``port`` runs its programs: with ``startsecs=0`` they are RUNNING.

    A turn of its loop answers who asks, then looks after the programs; the first such look starts them, the next one
    takes them for running.
    """
    with xmlrpc.client.ServerProxy(f"http://{USER}:{PASSWORD}@127.0.0.1:{port}/RPC2") as proxy:
        for _ in range(2):
            proxy.supervisor.getState()
