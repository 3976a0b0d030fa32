"""Where the program of the Redis server is."""

from __future__ import annotations

import shutil


def redis_program() -> str | None:
    """Return its path, or None where there is none.

    Debian's package redis-tools ships the server's program as redis-check-rdb; it is the server when it is called so.
    """
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")
