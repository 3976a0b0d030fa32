"""Runs the real command line as a process of its own, and plain data to render."""

from __future__ import annotations

import codecs
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.samples import quiet_environment


@dataclass(frozen=True)
class Done:
    """What one call of the command line came to."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode("utf-8", "surrogateescape")

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; fails if there is anything else."""
        lines = self.out.decode("ascii").splitlines()
        assert len(lines) == 1, self.out + self.err.encode()
        value = json.loads(lines[0])
        assert isinstance(value, dict)
        assert set(value) >= {"ok", "code", "message", "hint"}, value
        assert value["ok"] is (self.code == 0)
        assert (value["code"] is None) is (self.code == 0), value
        assert value["exit_code"] == self.code
        return value


Cli = Callable[..., Done]


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """Return a function that runs ``lonelycat`` as a process of its own, in a session without a terminal."""

    def run(
        *arguments: str | Path,
        cwd: Path | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "lonelycat", *map(str, arguments)],
            cwd=cwd or tmp_path,
            input=stdin,
            env=quiet_environment(tmp_path, env),
            capture_output=True,
            timeout=100,
            start_new_session=True,
        )
        err = done.stderr.decode("utf-8", "backslashreplace")
        assert "Traceback" not in err and b"Traceback" not in done.stdout, err
        return Done(done.returncode, done.stdout, err)

    return run


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function like that of ``process`` which stays in this process and is ten times as fast."""
    from lonelycat.interfaces.cli import main

    for name, value in quiet_environment(tmp_path).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path, cwd: Path | None = None, stdin: bytes = b"") -> Done:
        streams = {name: io.TextIOWrapper(io.BytesIO(), "utf-8") for name in ("stdout", "stderr")}
        streams["stdin"] = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
        with monkeypatch.context() as patch:
            patch.chdir(cwd or tmp_path)
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            code = main([str(argument) for argument in arguments])
        written = {}
        for name, stream in streams.items():
            stream.flush()
            buffer = stream.detach()
            assert isinstance(buffer, io.BytesIO)
            written[name] = buffer.getvalue()
        out, text = written["stdout"], written["stderr"].decode("utf-8")
        assert "Traceback" not in text and b"Traceback" not in out, text
        return Done(code, out, text)

    return run


_LOGIN = """
import os, signal, sys
os.login_tty(int(sys.argv[1]))
signal.pthread_sigmask(signal.SIG_SETMASK, ())
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Terminal:
    """A real pseudo-terminal with ``lonelycat`` running on it, as a login starts it: no signal is ignored or held back.

    Args:
        columns: how wide it is.
    """

    def __init__(self, arguments: list[str], cwd: Path, env: Mapping[str, str], columns: int = 80) -> None:
        self._leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (24, columns))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LOGIN, str(follower), "-m", "lonelycat", *arguments],
            cwd=cwd,
            env=quiet_environment(cwd, {"PYTHONFAULTHANDLER": "1", **env}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(follower,),
        )
        os.close(follower)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end within a character
        self.seen = ""

    def until(self, text: str, seconds: float = 60.0) -> str:
        """Read until ``text`` was shown; fail with what was shown instead."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert self._more(deadline), f"{text!r} never came; the terminal shows:\n{self.seen}"
        return self.seen

    def type(self, text: str) -> None:
        """Type ``text``."""
        os.write(self._leader, text.encode())

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C; once more, as people do, if the terminal has not even shown the key after a long while."""
        shown = self.seen.count("^C")
        for _ in range(2):
            self.type("\x03")
            deadline = time.monotonic() + 20
            while self.seen.count("^C") == shown and self._more(deadline):
                pass
            if self.seen.count("^C") > shown or time.monotonic() < deadline:
                return

    def end(self, seconds: float = 60.0) -> int:
        """Read to the end and return the exit code; fail with where the process hangs, should it not end."""
        deadline = time.monotonic() + seconds
        while self._more(deadline):
            pass
        try:
            code = self.process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pytest.fail(self._where_it_hangs())
        assert "Traceback" not in self.seen
        return code

    def _where_it_hangs(self) -> str:
        facts = Path(f"/proc/{self.process.pid}/status").read_text()
        self.process.send_signal(signal.SIGABRT)  # what it does is written to the terminal
        deadline = time.monotonic() + 10
        while self._more(deadline):
            pass
        kept = [line for line in facts.splitlines() if line.startswith(("State", "Threads", "Sig", "Shd"))]
        return "\n".join(["it did not end; the terminal shows:", self.seen, *kept])

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._leader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._leader, 65536)
        except OSError:
            return False
        self.seen += self._decoder.decode(data)
        return bool(data)

    def close(self) -> None:
        """End the process, if it still runs, and the terminal."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._leader)


OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[OpenTerminal]:
    """Return a function that starts ``lonelycat`` with arguments on a pseudo-terminal of its own."""
    opened: list[Terminal] = []

    def start(
        *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, columns: int = 80
    ) -> Terminal:
        opened.append(Terminal(list(arguments), cwd or tmp_path, env or {}, columns))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


POLICY = """\
version: 1
name: cli-tests
executor:
  allowed_paths: ["**"]
  forbidden_paths: ["**/.env"]
  always_review_categories: [guarded]
  require_health_checks_for_risk: []
  verification: {unsandboxed: allow}
categories:
  guarded: {paths: ["guarded/**"], risk: LOW}
verification:
  quick:
    argv: ["{python}", -c, "print('Ran 1 test')"]
    touches: ["**", "!slow/**", "!broken/**"]
  failing:
    argv: ["{python}", -c, "import sys; print('token \\x1b[31mred'); sys.exit(3)"]
    touches: ["broken/**"]
    sandbox: {enabled: false}  # tests put a command in its place that writes to the live tree
  slow:
    argv: ["{python}", -c, "import time; print('Ran 1 test'); time.sleep(50)"]
    touches: ["slow/**"]
    timeout: 55
tests:
  - {name: a note is allowed, changes: [{path: docs/a.md, content: hi}], expect: ALLOW}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a git repository with one committed file and a policy of its own."""
    root = tmp_path / "workspace"
    for name, text in {"notes.md": "one\ntwo\nthree\n", "agent/policies/default.yaml": POLICY}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "base"]):
        subprocess.run(["git", *identity, *arguments], cwd=root, check=True, env=quiet_environment(tmp_path))
    return root
