"""The demonstration's stage: a temporary directory with a repository, an agent's clone, and a web service.

Invariant: everything lies below one fresh directory, every process is ended by its own pid, and git never reads the
user's or the system's configuration.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from lonelycat.checks.pidfile import read_pid_file
from lonelycat.checks.services.stopping import stop_service
from lonelycat.clock import SystemClock
from lonelycat.interfaces.demo.policy import SERVICE
from lonelycat.settings import STATE_DIRECTORY

_UNGOVERNED = (".git", STATE_DIRECTORY)
_GIT_IDENTITY = ("-c", "user.name=LonelyCat demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")


class Throwaway:
    """The stage of one demonstration.

    Attributes:
        base: the fresh directory that holds everything.
        workspace: the governed repository.
        clone: the agent's own clone, where it prepares its patches.
        keys: where the approver's key lies: outside the workspace.
        port: the loopback port of the service.
        places: where each file of the site lies in the repository.
    """

    places: Mapping[str, str] = {
        "service.py": "app/service.py",
        "pages.py": "app/pages.py",
        "check_pages.py": "tests/test_pages.py",
    }

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="lonelycat-demo-")).resolve()
        self.workspace = self.base / "shop"
        self.clone = self.base / "agent-clone"
        self.keys = self.base / "marias-laptop"
        self.port = _free_port()
        self.workspace.mkdir()
        self.keys.mkdir(mode=0o700)

    @property
    def site(self) -> str:
        """The package that holds the repository's files."""
        return "lonelycat.interfaces.demo.site"

    @property
    def pid_file(self) -> Path:
        """Where LonelyCat notes the service's process."""
        return self.workspace / STATE_DIRECTORY / "run" / f"{SERVICE}.pid"

    def make_repository(self, files: Mapping[str, str]) -> None:
        """Write ``files`` (path to text) and the service into the workspace, commit, and clone it for the agent."""
        site = resources.files(self.site)
        copied = {target: site.joinpath(source).read_text(encoding="utf-8") for source, target in self.places.items()}
        for path, text in {**copied, **files}.items():
            target = self.workspace / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        self.git(self.workspace, "init", "--quiet", "--initial-branch=main")
        self.git(self.workspace, "add", "--all")
        self.git(self.workspace, "commit", "--quiet", "--message=The shop as it was found")
        self.refresh_clone()

    def refresh_clone(self) -> None:
        """Make the agent's clone equal to the workspace as it stands, committed or not."""
        if self.clone.exists():
            shutil.rmtree(self.clone)
        shutil.copytree(self.workspace, self.clone, ignore=shutil.ignore_patterns(*_UNGOVERNED))
        self.git(self.clone, "init", "--quiet", "--initial-branch=main")
        self.git(self.clone, "add", "--all")
        self.git(self.clone, "commit", "--quiet", "--message=What the agent sees")

    def patch(self, edits: Mapping[str, tuple[str, str]], new_files: Mapping[str, str] | None = None) -> bytes:
        """Return the patch that git makes of the agent's edits in a clone of the present workspace.

        Args:
            edits: path to (text to find, text to put in its place).
            new_files: path to text.
        """
        self.refresh_clone()
        for path, (old, new) in edits.items():
            target = self.clone / path
            text = target.read_text(encoding="utf-8")
            if text.count(old) != 1:
                raise ValueError(f"{path} must hold {old!r} once")
            target.write_text(text.replace(old, new), encoding="utf-8")
        for path, text in (new_files or {}).items():
            target = self.clone / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        self.git(self.clone, "add", "--all", "--force")
        return self.git(self.clone, "diff", "--cached", "--binary")

    def git(self, directory: Path, *arguments: str) -> bytes:
        """Run git in ``directory`` and return what it printed."""
        environment = {
            "PATH": os.defpath + os.pathsep + str(Path(shutil.which("git") or "git").parent),
            "HOME": str(self.base),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "LC_ALL": "C",
        }
        done = subprocess.run(  # noqa: S603 (git, with arguments written in this package)
            ["git", *_GIT_IDENTITY, *arguments],  # noqa: S607 (the PATH is set right above)
            cwd=directory,
            env=environment,
            check=True,
            capture_output=True,
        )
        return done.stdout

    def request(self, path: str = "/") -> tuple[int, str]:
        """Ask the service over HTTP; return status and text, or 0 and what went wrong."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def tree_digest(self) -> str:
        """Return one digest over every path, mode and byte of the workspace outside ``.git`` and ``.lonelycat``."""
        digest = hashlib.sha256()
        for path in sorted(self.workspace.rglob("*")):
            relative = path.relative_to(self.workspace)
            if relative.parts[0] in _UNGOVERNED:
                continue
            mode = path.lstat().st_mode
            body = path.read_bytes() if stat.S_ISREG(mode) else b""
            digest.update(f"{relative}\0{mode:o}\0{len(body)}\0".encode() + body)
        return digest.hexdigest()

    def close(self, *, keep: bool) -> None:
        """End what runs and remove the directory, unless it shall be kept."""
        self.end_services()
        if not keep:
            shutil.rmtree(self.base, ignore_errors=True)

    def end_services(self) -> None:
        """End the service."""
        noted = read_pid_file(self.pid_file)
        running = noted.running() if noted is not None else None
        if running is not None:
            stop_service(running, signal.SIGTERM, 3.0, SystemClock())


def _free_port() -> int:
    """Return a port that nobody has now, below those that the kernel gives to whoever connects somewhere.

    While the service is down for a moment, a connection of any program could have got one of those.
    """
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
