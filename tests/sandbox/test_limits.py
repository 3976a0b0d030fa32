"""Memory, processes and bytes written have limits over the whole tree; past one, everything ends at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.many_descriptors import many_descriptors
from tests.patience import PATIENCE_SECONDS
from tests.sandbox.conftest import Verify

from lonelycat.checks import process
from lonelycat.checks.sandbox import enter
from lonelycat.checks.sandbox.level import Level

pytestmark = pytest.mark.usefixtures("level", "untouched")
MIB = 1024 * 1024


def test_one_process_that_takes_too_much_memory(verify: Verify) -> None:
    code = "import time\nheld = b'x' * (300 << 20)\nprint('had it')\ntime.sleep(60)"
    result = verify(code, sandbox={"max_memory_bytes": 128 * MIB})
    assert (result.ok, result.code) == (False, "VERIFY_MEMORY_LIMIT"), result
    assert str(128 * MIB) in result.message


def test_many_processes_that_do_together(verify: Verify) -> None:
    code = (
        "import os, time\n"
        "for n in range(8):\n"
        "    if os.fork() == 0:\n"
        "        held = os.urandom(1 << 20) * 30; time.sleep(60)\n"
        "time.sleep(60)"
    )
    assert verify(code, sandbox={"max_memory_bytes": 128 * MIB}).code == "VERIFY_MEMORY_LIMIT"


def test_memory_that_is_shared_counts_once(verify: Verify) -> None:
    code = (
        "import os, time\n"
        "held = os.urandom(1 << 20) * 60\n"
        "children = [os.fork() for n in range(1)]\n"
        "for n in range(5):\n"
        "    if 0 in children: break\n"
        "    children.append(os.fork())\n"
        "time.sleep(0.5)\n"
        "if 0 not in children: print('fine')\n"
    )
    result = verify(code, sandbox={"max_memory_bytes": 200 * MIB})
    assert (result.ok, result.output) == (True, b"fine\n"), result


UNMAPPED = {
    "files without a name": (
        "import os, time\n"
        "file = os.memfd_create('held')\n"
        "for n in range({0}): os.write(file, bytes(1 << 20))\n"
    ),
    "segments that nobody has attached": (
        "import ctypes, time\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.shmat.restype = ctypes.c_void_p\n"
        "for n in range({0}):\n"
        "    place = libc.shmat(libc.shmget(0, ctypes.c_size_t(1 << 20), 0o1600), None, 0)\n"
        "    ctypes.memset(place, 1, 1 << 20)\n"
        "    libc.shmdt(ctypes.c_void_p(place))\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNMAPPED)
def test_shared_memory_that_is_in_no_process(verify: Verify, kind: str) -> None:
    code = UNMAPPED[kind] + "time.sleep({1})\nprint('fine')"
    assert verify(code.format(300, 60), sandbox={"max_memory_bytes": 128 * MIB}).code == "VERIFY_MEMORY_LIMIT"
    assert verify(code.format(40, 0.5), sandbox={"max_memory_bytes": 128 * MIB}).output == b"fine\n"


def test_shared_memory_that_is_mapped_counts_once(verify: Verify) -> None:
    code = (
        "import mmap, os, time\n"
        "file = os.memfd_create('held')\n"
        "os.write(file, bytes(80 << 20))\n"
        "held = mmap.mmap(file, 80 << 20)\n"
        "total = sum(held[n] for n in range(0, 80 << 20, 4096))\n"
        "time.sleep(0.5)\n"
        "print('fine')\n"
    )
    result = verify(code, sandbox={"max_memory_bytes": 128 * MIB})
    assert (result.ok, result.output) == (True, b"fine\n"), result


@pytest.mark.parametrize("kind", ["processes", "threads", "bomb"])
def test_too_many_processes(verify: Verify, kind: str) -> None:
    code = {
        "processes": "import os, time\nfor n in range(100):\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)",
        "threads": (
            "import _thread, time\n_thread.stack_size(65536)\n"
            "for n in range(100): _thread.start_new_thread(time.sleep, (60,))\ntime.sleep(60)"
        ),
        "bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    }[kind]
    result = verify(code, sandbox={"max_processes": 50})
    assert (result.ok, result.code) == (False, "VERIFY_PROCESS_LIMIT"), result
    assert "50" in result.message


_FORKS = """
import os, signal, sys
from types import SimpleNamespace
from lonelycat.checks.sandbox.enter import limit_resources
limit_resources(SimpleNamespace(max_processes=int(sys.argv[1]), level="namespaces"))
count = 0
try:
    while count < 600:
        if os.fork() == 0:
            signal.pause()
        count += 1
except OSError:
    pass
print(count)
"""


def test_the_kernel_too_limits_the_processes_of_root() -> None:
    """A bomb is over before the watch has had time to look; the host's own limit stays as it was."""
    setting = Path("/proc/sys/kernel/pid_max")
    host = setting.read_text("ascii")
    inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    forked = subprocess.run([*inside, sys.executable, "-c", _FORKS, "400"], capture_output=True, text=True, check=True)
    limited = enter._pids_are_limited_by_namespace(os.uname().release)
    assert int(forked.stdout) in (range(380, 416) if limited else range(600, 601))
    assert setting.read_text("ascii") == host


@pytest.mark.parametrize(
    ("release", "limited"), [("6.13.9", False), ("6.14.0-x", True), ("6.18", True), ("7.0.1", True), ("odd", False)]
)
def test_an_older_kernel_has_one_limit_for_all_which_is_left_alone(release: str, limited: bool) -> None:
    assert enter._pids_are_limited_by_namespace(release) is limited


def test_within_its_limits_a_command_is_left_alone(verify: Verify) -> None:
    code = (
        "import os\nheld = b'x' * (40 << 20)\n"
        "for n in range(20):\n    if os.fork() == 0: os._exit(0)\n    os.wait()\n"
        "open('big', 'wb').write(b'x' * (2 << 20)); print('done')"
    )
    rules = {"max_memory_bytes": 128 * MIB, "max_processes": 4, "max_written_bytes": 4 * MIB}
    result = verify(code, sandbox=rules)
    assert (result.ok, result.output) == (True, b"done\n"), result


@pytest.mark.parametrize("place", ["big", "/tmp/big", "/dev/shm/big", "~/big", "/etc/big"])
def test_too_many_bytes_written_anywhere(verify: Verify, place: str) -> None:
    code = (
        "import os, sys\n"
        f"place = {place!r}.replace('~', os.environ['HOME'])\n"
        "try: file = open(place, 'wb', buffering=0)\n"
        "except OSError: place = '/tmp/instead'; file = open(place, 'wb', buffering=0)\n"
        "while True: file.write(b'x' * (1 << 20))\n"
    )
    result = verify(code, sandbox={"max_written_bytes": 32 * MIB})
    assert (result.ok, result.code) == (False, "VERIFY_DISK_LIMIT"), result


def test_bytes_that_stay_when_it_ends_count_too(verify: Verify) -> None:
    """However fast it ends, what it left is looked at."""
    code = "open('big', 'wb').write(b'x' * (48 << 20))"
    assert verify(code, sandbox={"max_written_bytes": 32 * MIB}).code == "VERIFY_DISK_LIMIT"


def test_time_is_limited(verify: Verify) -> None:
    code = "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    result = verify(code, timeout=0.5)
    assert (result.ok, result.code) == (False, "VERIFY_TIMEOUT")


def test_it_may_end_by_itself_when_asked_to(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_TERMINATE_SECONDS", PATIENCE_SECONDS)  # it ends with the command
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (print('asked', flush=True), sys.exit(0)))\nprint('ready', flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    for seconds in (1.0, 6.0, 36.0):  # it has to have started when its time is over
        result = verify(code, timeout=seconds)
        if result.output:
            break
    assert (result.code, result.output) == ("VERIFY_TIMEOUT", b"ready\nasked\n")


def test_output_is_limited(verify: Verify) -> None:
    result = verify("import os\nfor n in range(400): os.write(1, b'x' * 65536)")
    assert result.ok and len(result.output) < 201_000 and b"dropped" in result.output


def test_stop_ends_it(verify: Verify) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    result = verify("while True: pass", stop=stop)
    timer.join()
    assert (result.ok, result.code) == (False, "VERIFY_STOPPED")


def test_a_caller_with_very_many_descriptors_gets_the_same_answer(verify: Verify, level: Level) -> None:
    with many_descriptors():
        result = verify("print('ran')")
        late = verify("import time; time.sleep(600)", timeout=1)
    assert (result.ok, result.details["sandbox"]) == (True, level), result.message
    assert late.code == "VERIFY_TIMEOUT"
