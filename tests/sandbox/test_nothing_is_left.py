"""Whatever a command does, when it has ended nothing of it is left: no process, no mount, no file; nor after a kill.

The same processes, mounts and files are there before and after, as the host tells them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE_SECONDS, until
from tests.sandbox.conftest import Verify, everything

from lonelycat.checks.sandbox.level import Level

WILD = """
import os, signal, sys, time
for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)
mark = sys.argv[1]
def daemon(work):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir('/'); work()
        os._exit(0)
def sleeping():
    os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)', mark])
def flooding():
    while True:
        try: os.write(1, b'x' * 65536)
        except OSError: pass
def forking():
    while True:
        try:
            if os.fork() == 0: time.sleep(600)
        except OSError: pass
        time.sleep(0.002)
def writing():
    n = 0
    while True:
        for place in ('.', '/tmp', '/dev/shm', os.environ.get('HOME', '/tmp')):
            try: open(f'{place}/{mark}-{n}', 'w').write('x')
            except OSError: pass
        n += 1; time.sleep(0.002)
for work in (sleeping, flooding, writing, forking): daemon(work)
while not os.path.exists(f'/tmp/{mark}-0'): time.sleep(0.01)
time.sleep(0.3)
"""


class Host:
    """What the host shows that a command could leave."""

    def __init__(self, mark: str, root: Path) -> None:
        self.mark = mark
        self._root = root
        self._mounts = self.mounts()
        self._files = everything(root)

    def carriers(self) -> list[int]:
        """Return the processes whose arguments hold the mark, in any namespace; zombies have none."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                with contextlib.suppress(OSError):
                    if self.mark.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                        found.append(int(name))
        return found

    def mounts(self) -> list[str]:
        """Return the places of all mounts below which a sandbox could have left something."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        lines = [line for line in lines if "lonelycat" in line or "overlay" in line or " /tmp " in line]
        return sorted(line for line in lines if not self._is_another_tests(Path(line.split()[4])))

    def _is_another_tests(self, place: Path) -> bool:
        """Whether it is below the temporary directory of a test that runs at the same time, or ran."""
        return place.is_relative_to(self._root.parents[1]) and not place.is_relative_to(self._root)

    def assert_as_before(self) -> None:
        until(lambda: not self.carriers(), "the end of the processes that carry the mark")
        assert self.mounts() == self._mounts
        assert everything(self._root) == self._files
        for place in ("/tmp", "/var/tmp", "/dev/shm", os.environ.get("HOME", "/tmp")):
            assert [name for name in os.listdir(place) if self.mark in name] == []


@pytest.fixture
def host(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    one = Host(f"mark-{uuid.uuid4().hex}", tmp_path)
    yield one
    for pid in one.carriers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("level")
def test_a_command_that_forks_daemonises_floods_writes_and_sleeps(verify: Verify, host: Host) -> None:
    result = verify(WILD, host.mark)
    assert host.carriers() == [], "they are gone when the result is there, not some time after"
    assert result.ok and result.details["effects"], result.code
    host.assert_as_before()


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("ending", ["timeout", "limit", "failure"])
def test_however_it_ends(verify: Verify, host: Host, ending: str) -> None:
    more = {"timeout": "time.sleep(600)", "limit": "forking()", "failure": "os.abort()"}[ending]
    code = WILD.replace("time.sleep(0.3)", f"time.sleep(0.1)\n{more}")
    codes = {"timeout": "VERIFY_TIMEOUT", "limit": "VERIFY_PROCESS_LIMIT", "failure": "VERIFY_KILLED"}
    limits = {"max_processes": 40 if ending == "limit" else 5000}
    result = verify(code, host.mark, timeout=1.0 if ending == "timeout" else PATIENCE_SECONDS, sandbox=limits)
    assert (result.code, host.carriers()) == (codes[ending], [])
    host.assert_as_before()


RUN = """
import sys
from pathlib import Path
from lonelycat.checks.sandbox import launch
from lonelycat.checks.sandbox.level import Level
from lonelycat.checks.verifier import Verifier
from lonelycat.clock import SystemClock
from lonelycat.governance.policy_profiles import VerificationProfile
from lonelycat.settings import Limits
workspace, level, held, code, mark = sys.argv[1:]
launch.LEVELS = (Level(level),)
profile = VerificationProfile.model_validate({"argv": [sys.executable, "-I", "-S", "-c", code, mark]})
Verifier(Path(workspace), SystemClock(), Limits(), (int(held),)).run("t", profile, (), 60)
"""


@pytest.mark.parametrize("when", [0.02, 0.1, 0.2, 0.4])
def test_also_when_lonelycat_is_killed_at_any_moment(
    host: Host, workspace: Path, level: Level, when: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And while anything of the command lives, the lock's descriptor for children is held."""
    import fcntl

    place = tmp_path_factory.mktemp("lock") / "lock"
    lock = place.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    code = WILD.replace("time.sleep(0.3)", "time.sleep(600)")
    arguments = [str(workspace), str(level), str(lock.fileno()), code, host.mark]
    process = subprocess.Popen([sys.executable, "-c", RUN, *arguments], pass_fds=(lock.fileno(),))
    lock.close()
    if when > 0.1:
        until(lambda: len(host.carriers()) > 3, "the command")
    time.sleep(when)
    process.kill()
    process.wait()
    with place.open() as again:

        def is_free() -> bool:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            return False

        until(is_free, "the lock to be let go of", pause=0.001)
        assert host.carriers() == [], "whoever gets the lock finds nothing of the command"
    host.assert_as_before()


@pytest.mark.parametrize("victim", ["keeper", "maker", "watcher"])
def test_also_when_a_process_of_the_sandbox_itself_is_killed(
    verify: Verify, host: Host, level: Level, victim: str
) -> None:
    import threading

    found: list[object] = []
    code = WILD.replace("time.sleep(0.3)", "time.sleep(600)")
    runner = threading.Thread(target=lambda: found.append(verify(code, host.mark, timeout=600.0)))
    runner.start()
    until(lambda: len(host.carriers()) > 6, "the command")
    chain = _launcher_processes(os.getpid())
    os.kill(chain[["keeper", "maker", "watcher"].index(victim)], signal.SIGKILL)
    runner.join(PATIENCE_SECONDS)
    assert found and not found[0].ok, found  # type: ignore[attr-defined]  # a CheckResult
    assert found[0].code != "VERIFY_TIMEOUT", "it ends at once"  # type: ignore[attr-defined]  # a CheckResult
    host.assert_as_before()


def _launcher_processes(parent: int) -> list[int]:
    """Return the keeper, the maker and the watcher below ``parent``."""
    chain: list[int] = []
    while len(chain) < 3:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if not chain:
            children = []
            for task in Path(f"/proc/{parent}/task").iterdir():
                with contextlib.suppress(OSError):  # other threads of the tests, and their children, end at any time
                    children += (task / "children").read_text().split()
            children = [pid for pid in children if b"launcher" in _arguments(pid)]
        parent = int(children[0])
        chain.append(parent)
    return chain


def _arguments(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
