"""Installs what pip cannot bring for the demonstration with services: ``python -m`` this, from ``make demo-services``.

Invariants: it says what it installs before it does, installs nothing that is there, and starts nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from lonelycat.errors import LonelyCatError, StateError
from lonelycat.interfaces.demo.pair.site.redis_program import redis_program

_PACKAGE = "redis-tools"
_APT_SECONDS = 600.0


def install_redis() -> str:
    """Install Redis from Debian where it is missing; return what was done.

    Raises:
        StateError: ``DEMO_REDIS_MISSING``: it cannot be installed here.
    """
    if redis_program() is not None:
        return "Redis is installed already"
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        why = "this system has no apt-get" if apt is None else "only root may install packages"
        raise StateError(
            "DEMO_REDIS_MISSING",
            f"Redis is not installed, and {why}",
            "Install a redis-server of version 6 or newer by yourself, then run `lonelycat demo --services`.",
        )
    say(
        f"Installing Debian's {_PACKAGE}: it holds the program of the Redis server and, unlike redis-server,"
        " starts no service on this machine"
    )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", _PACKAGE]):
        done = subprocess.run(  # noqa: S603 - apt-get, with arguments written above
            [apt, "-qq", *arguments], env=environment, check=False, capture_output=True, timeout=_APT_SECONDS
        )
    if done.returncode != 0 or redis_program() is None:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise StateError(
            "DEMO_REDIS_MISSING",
            f"apt-get install {_PACKAGE} failed: {said}",
            "Install Redis by yourself, then try again.",
        )
    return f"{_PACKAGE} is installed; `apt-get remove {_PACKAGE}` takes it away again"


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Install; return the exit code."""
    try:
        say(install_redis())
    except LonelyCatError as error:
        sys.stderr.write(f"{error}\nhint: {error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
