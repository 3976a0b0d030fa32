"""The shop's web service: ``/items`` from PostgreSQL, counted in Redis; ``/health`` and ``/version`` about itself.

It listens on 127.0.0.1, port ``SHOP_PORT``; the sockets of its database and its cache lie in ``SHOP_RUN``.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

sys.dont_write_bytecode = True

import items  # type: ignore[import-not-found]  # noqa: E402 - lies beside this file once it is copied
from pool import SIZE, Pool  # type: ignore[import-not-found]  # noqa: E402

CACHE = redis.Redis(
    unix_socket_path=os.path.join(os.environ["SHOP_RUN"], "redis.sock"),  # noqa: PTH118
    socket_timeout=0.8,
    retry=Retry(NoBackoff(), 0),
)
POOL = Pool()
TROUBLE = (psycopg.Error, redis.RedisError, TimeoutError, OSError)


def health() -> tuple[int, dict[str, Any]]:
    """Say whether the service can work: its database answers from its own pool, and its cache counts."""
    with POOL.connection() as connection:
        sold = connection.execute("select count(*) from items").fetchone()
    CACHE.ping()
    return 200, {"status": "healthy", "items": sold[0] if sold else 0, "pool": f"{POOL.free} of {SIZE} free"}


def answer(path: str) -> tuple[int, dict[str, Any]]:
    """Return status and document for a request's path."""
    try:
        if path == "/items":
            found = items.listing(POOL)
            return 200, {"items": found, "views": CACHE.incr("views")}
        if path == "/health":
            return health()
    except TROUBLE as error:
        return 503, {"status": "unhealthy", "why": f"{type(error).__name__}: {error}".strip()[:300]}
    return (200, {"version": items.VERSION}) if path == "/version" else (404, {"status": "no such page"})


class Answers(BaseHTTPRequestHandler):
    """Hands each request to ``answer``."""

    def do_GET(self) -> None:
        """Answer with a status and a JSON document."""
        status, document = answer(self.path)
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: the checks ask often."""


def main() -> None:
    """Serve until ended."""
    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("127.0.0.1", int(os.environ["SHOP_PORT"])), Answers) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
