"""Makes the situations that the runbook is about, each the way it really comes about.

A page asks for one with ``<!-- situation: NAME -->`` right before a console block. Each function is called in a fresh
workspace and leaves it in the situation; what it returns is called when the page is done.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.patience import until

Environment = Mapping[str, str]

_POLICY = """\
version: 1
name: shop
executor:
  allowed_paths: ["**"]
  require_health_checks_for_risk: []
  verification: {{unsandboxed: allow}}
verification:
  tests:
    argv: [sh, -c, "{verification}"]
    timeout: 60
    sandbox: {{enabled: false}}  # what goes wrong in these situations, the command does to the live tree
{services}"""

_SERVICE = """\
services:
  web:
    kind: command
    with: {argv: [sh, -c, "test ! -e stuck"]}
    touches: ["app/**"]
"""


def fresh(shop: Path, environment: Environment) -> None:
    """A repository that LonelyCat has never seen."""


def workspace(shop: Path, environment: Environment) -> None:
    """A workspace that `lonelycat init` has just prepared."""
    _lonelycat(shop, environment, "init")


def interrupted(shop: Path, environment: Environment) -> None:
    """An executor that was killed after it had applied its change, while the tests ran."""
    _prepare(shop, environment, "sleep 600")
    command = [
        sys.executable,
        "-m",
        "lonelycat",
        "run",
        "--patch",
        "-",
        "--intent",
        "Greet warmly",
        "--by",
        "agent:a",
    ]
    with subprocess.Popen(
        command, cwd=shop, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as run:
        assert run.stdin is not None
        run.stdin.write(_patch())
        run.stdin.close()
        until(lambda: "Welcome" in (shop / "app/__init__.py").read_text(encoding="utf-8"), "the change")
        run.send_signal(signal.SIGKILL)


def frozen(shop: Path, environment: Environment) -> None:
    """A rollback whose restart failed: the tests failed, and left the service unable to start."""
    _prepare(shop, environment, "touch stuck; exit 1", _SERVICE)
    assert _run(shop, environment) == 7


def failed(shop: Path, environment: Environment) -> None:
    """A change whose tests failed, and which was taken back."""
    _prepare(shop, environment, "exit 1")
    assert _run(shop, environment) == 6


def moved_on(shop: Path, environment: Environment) -> None:
    """A proposal waits, and somebody edited and committed its file."""
    _prepare(shop, environment, "exit 0")
    arguments = ("propose", "--patch", "-", "--intent", "Greet warmly", "--by", "agent:a")
    assert _lonelycat(shop, environment, *arguments, stdin=_patch()) == 0
    place = shop / "app/__init__.py"
    place.write_text('"""Greets."""\n' + place.read_text(encoding="utf-8"), encoding="utf-8")
    for command in (["add", "app"], ["commit", "-q", "-m", "Say what it is"]):
        subprocess.run(["git", *command], cwd=shop, env=dict(environment), check=True)


def drifted(shop: Path, environment: Environment) -> None:
    """Two files that executions wrote: one was edited and committed since, the other only edited."""
    _prepare(shop, environment, "exit 0")
    arguments = ("run", "--changeset", "-", "--intent", "Say the hours", "--by", "agent:a")
    draft = b'{"changes": [{"operation": "create", "path": "docs/hours.md", "content": {"text": "Nine to five.\\n"}}]}'
    assert _run(shop, environment) == 0
    assert _lonelycat(shop, environment, *arguments, stdin=draft) == 0
    (shop / "docs/hours.md").write_text("Nine to six.\n", encoding="utf-8")
    for command in (["add", "-A"], ["commit", "-q", "-m", "Open longer"]):
        subprocess.run(["git", *command], cwd=shop, env=dict(environment), check=True)
    with (shop / "app/__init__.py").open("a", encoding="utf-8") as file:
        file.write("# by hand\n")


def quarantined(shop: Path, environment: Environment) -> None:
    """Somebody edited a file while the tests ran that were about to fail."""
    _prepare(shop, environment, "echo '# by hand' >> app/__init__.py; exit 1")
    assert _run(shop, environment) == 5


def tampered(shop: Path, environment: Environment) -> None:
    """Somebody edited the database."""
    _prepare(shop, environment, "exit 0")
    assert _run(shop, environment) == 0
    database = sqlite3.connect(shop / ".lonelycat/lonelycat.db")
    database.execute("UPDATE executions SET status = 'rolled_back'")
    database.commit()
    database.close()


def held(shop: Path, environment: Environment) -> Callable[[], None]:
    """Another execution holds the workspace."""
    _prepare(shop, environment, "exit 0")
    program = (
        "import sys; from lonelycat import LockManager\n"
        "with LockManager('.').lock_execution('exec_01k0000000000000000000000a', 'plan_01k0000000000000000000000a'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=shop,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"

    def release() -> None:
        holder.communicate(b"")

    return release


def keyless(shop: Path, environment: Environment) -> None:
    """The gate's key was lost, with a copy at /home/ada/backup."""
    _prepare(shop, environment, "exit 0")
    assert _run(shop, environment) == 0
    (shop.parent / "backup").mkdir()
    (shop / ".lonelycat/keys").rename(shop.parent / "backup/keys")


def policy_edited(shop: Path, environment: Environment) -> None:
    """Somebody edited the policy with an editor."""
    _prepare(shop, environment, "exit 0")
    assert _run(shop, environment) == 0
    with (shop / "agent/policies/default.yaml").open("a", encoding="utf-8") as policy:
        policy.write("default_risk: MEDIUM\n")


def databaseless(shop: Path, environment: Environment) -> None:
    """The database was lost, with a copy at /home/ada/backup."""
    _prepare(shop, environment, "exit 0")
    assert _run(shop, environment) == 0
    (shop.parent / "backup").mkdir()
    (shop / ".lonelycat/lonelycat.db").rename(shop.parent / "backup/lonelycat.db")


def _prepare(shop: Path, environment: Environment, verification: str, services: str = "") -> None:
    policy = shop / "agent/policies/default.yaml"
    policy.parent.mkdir(parents=True)
    policy.write_text(_POLICY.format(verification=verification, services=services), encoding="utf-8")
    _lonelycat(shop, environment, "init")


def _patch() -> bytes:
    return (
        b"--- a/app/__init__.py\n+++ b/app/__init__.py\n@@ -1,2 +1,2 @@\n def greeting(name):\n"
        b'-    return f"Hello, {name}!"\n+    return f"Welcome, {name}!"\n'
    )


def _run(shop: Path, environment: Environment) -> int:
    arguments = ("run", "--patch", "-", "--intent", "Greet warmly", "--by", "agent:a")
    return _lonelycat(shop, environment, *arguments, stdin=_patch())


def _lonelycat(shop: Path, environment: Environment, *arguments: str, stdin: bytes = b"") -> int:
    return subprocess.run(
        [sys.executable, "-m", "lonelycat", *arguments],
        cwd=shop,
        env=dict(environment),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    ).returncode


SITUATIONS: dict[str, Callable[[Path, Environment], Callable[[], None] | None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        fresh,
        workspace,
        interrupted,
        frozen,
        failed,
        moved_on,
        drifted,
        quarantined,
        tampered,
        held,
        keyless,
        policy_edited,
        databaseless,
    )
}
