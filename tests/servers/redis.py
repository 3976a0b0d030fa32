"""A real Redis server, from Debian."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.debian import program
from tests.servers.running import accepts, free_port, running


class Redis(NamedTuple):
    """A running server; ``socket`` is the path of its Unix socket."""

    port: int
    process: subprocess.Popen[bytes]
    socket: Path


@contextlib.contextmanager
def redis(directory: Path, *options: str, tls: bool = False) -> Iterator[Redis]:
    """Run a server with its data in ``directory``; ``options`` are as on its command line."""
    directory.mkdir(exist_ok=True)
    port, socket = free_port(), directory / "s"
    ports = ["--port", "0", "--tls-port", str(port)] if tls else ["--port", str(port)]
    argv = [program("redis-server", "redis-server"), "--bind", "127.0.0.1", *ports, "--unixsocket", str(socket),
            "--dir", str(directory), "--save", "", "--appendonly", "no", *options]  # fmt: skip
    with running(argv, lambda: accepts(port) and socket.exists(), directory / "log") as process:
        yield Redis(port, process, socket)
