"""A real systemd: the manager of a user, in namespaces of its own, where the host is not run by systemd."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from tests.debian import need_root, program
from tests.servers.running import running

ROOT = Path(__file__).resolve().parents[2]
MANAGER = "/lib/systemd/systemd"
_INSIDE = """
set -e
mount --make-rprivate /
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs run /run
mkdir -p /run/systemd/system /run/user/systemd
export XDG_RUNTIME_DIR=/run/user
exec 3>"$1"
$2 --user &
wait
"""
_ASKING = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.unit.checks.probing import Asking
from lonelycat.errors import LonelyCatError
ask = Asking(Path(sys.argv[2]))
for task, mark, parameters in json.loads(sys.argv[3]):
    try:
        if task == "mark":
            print(json.dumps(["mark", ask.mark("systemd", **parameters)]))
        else:
            seen = ask("systemd", mark=mark, **parameters)
            print(json.dumps([seen.code, seen.message]))
    except LonelyCatError as error:
        print(json.dumps([error.code, error.message]))
"""


class Systemd:
    """A running manager; ``scope: user`` reaches it from inside only."""

    def __init__(self, inside: int, workspace: Path) -> None:
        self._enter = ["nsenter", "-t", str(inside), "-m", "-p", "-C", "--", "env", "XDG_RUNTIME_DIR=/run/user"]
        self._workspace = workspace

    def systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``systemctl --user`` inside."""
        argv = [*self._enter, "systemctl", "--user", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).stdout.strip()

    def asks(self, *tasks: tuple[str, Mapping[str, Any] | None, Mapping[str, Any]]) -> list[list[Any]]:
        """Run probes and marks inside, each ``(task, mark, parameters)``; return each answer as code and message."""
        argv = [*self._enter, sys.executable, "-c", _ASKING, str(ROOT), str(self._workspace), json.dumps(tasks)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def systemd(directory: Path, units: Mapping[str, str]) -> Iterator[Systemd]:
    """Run a manager that has ``units``, texts by file name."""
    need_root("a systemd in namespaces of its own")
    program("systemctl", "systemd")
    home = directory / "home"
    (home / "systemd" / "user").mkdir(parents=True)
    for name, text in units.items():
        (home / "systemd" / "user" / name).write_text(text)
    argv = ["unshare", "-m", "-C", "-p", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _INSIDE, "sh",
            str(directory / "inside"), MANAGER]  # fmt: skip
    env = {**os.environ, "XDG_CONFIG_HOME": str(home), "SYSTEMD_LOG_TARGET": "console"}
    found: list[Systemd] = []

    def ready() -> bool:
        for pid in inside():
            one = Systemd(pid, directory)
            if one.systemctl("list-units").returncode == 0:
                found.append(one)
                return True
        time.sleep(0.1)
        return False

    def inside() -> list[int]:
        for one in psutil.Process().children():
            with contextlib.suppress(psutil.Error):  # other children of the tests end at any time
                if one.cmdline()[:2] == argv[:2]:  # not before its program is loaded
                    return [child.pid for child in one.children()]
        return []

    with running(argv, ready, directory / "log", env=env, stop=signal.SIGKILL):
        yield found[0]
