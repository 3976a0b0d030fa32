"""Ways out of a sandbox, each tried by a command that means it: none reaches the host.

Every attempt runs with whatever rights the tests have: as root, the command is the host's root without capabilities.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sandbox.conftest import Verify

from lonelycat.checks.sandbox import landlock

pytestmark = pytest.mark.usefixtures("level")

TRY = (
    "import ctypes, os, pathlib, socket, sys\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "def attempt(what, *arguments, **named):\n"
    "    try:\n"
    "        return what(*arguments, **named)\n"
    "    except OSError as error:\n"
    "        print('refused', error.strerror)\n"
)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host, of the same user."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_through_links_that_lead_out(verify: Verify, workspace: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("host")
    (workspace / "out").symlink_to(target)
    (workspace / "up").symlink_to("../target")
    (workspace / "root").symlink_to("/proc/1/root")
    code = TRY + (
        "for way in ('out', 'up', 'root', '../target', '/proc/self/root', '/proc/1/root', '/proc/1/cwd/..'):\n"
        "    for place in (way, way + sys.argv[1]):\n"
        "        attempt(pathlib.Path(place, 'file').write_text, 'escaped')\n"
        "        attempt(pathlib.Path(place, 'made').write_text, 'escaped')\n"
    )
    assert verify(code, str(target)).ok
    assert {path.name: path.read_text() for path in target.iterdir()} == {"file": "host"}
    assert not (tmp_path / "made").exists() and not Path("/made").exists()


def test_the_live_tree_is_not_reachable_by_any_descriptor(verify: Verify, workspace: Path, untouched: None) -> None:
    code = TRY + (
        "for name in os.listdir('/proc/self/fd'):\n"
        "    for way in ('', '/..', '/kept.txt', '/../kept.txt'):\n"
        "        attempt(lambda: open(f'/proc/self/fd/{name}{way}', 'w').write('escaped'))\n"
        "for pid in os.listdir('/proc'):\n"
        "    if pid.isdigit():\n"
        "        for name in attempt(os.listdir, f'/proc/{pid}/fd') or ():\n"
        "            attempt(lambda: open(f'/proc/{pid}/fd/{name}/kept.txt', 'w').write('escaped'))\n"
        "        attempt(lambda: open(f'/proc/{pid}/root/..' + sys.argv[1] + '/kept.txt', 'w').write('escaped'))\n"
        "print(sorted(os.listdir('/proc/self/fd')))\n"
    )
    result = verify(code, str(workspace))
    assert result.ok, result.output
    assert result.output.splitlines()[-1] == b"['0', '1', '2', '3']"  # the last is that of the listing itself


def test_git_hooks_keys_and_policy_of_the_live_tree_stay_as_they_are(
    verify: Verify, workspace: Path, untouched: None
) -> None:
    code = TRY + (
        "attempt(pathlib.Path('.git/hooks/pre-commit').write_text, 'evil')\n"
        "attempt(os.makedirs, '.lonelycat/keys')\n"
        "attempt(pathlib.Path('.lonelycat/keys/gate.pem').write_text, 'mine')\n"
        "attempt(os.rename, '.git', 'moved'); attempt(os.rename, '.', '../other')\n"
    )
    result = verify(code)
    effects = result.details["effects"]
    assert isinstance(effects, dict)
    assert ".lonelycat/keys/gate.pem" in effects["workspace"]["created"]


def test_hard_links_lead_nowhere(verify: Verify, workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("host")
    code = TRY + (
        "for source in ('/etc/hostname', '/etc/passwd', sys.argv[1]):\n"
        "    attempt(os.link, source, 'linked')\n"
        "    attempt(lambda: open('linked', 'a').write('escaped'))\n"
        "    attempt(os.unlink, 'linked')\n"
        "attempt(os.link, 'kept.txt', '/etc/linked'); attempt(lambda: open('/etc/linked', 'a').write('escaped'))\n"
    )
    passwd = Path("/etc/passwd").read_bytes()
    assert verify(code, str(outside)).ok
    assert (outside.read_text(), outside.stat().st_nlink) == ("host", 1)
    assert Path("/etc/passwd").read_bytes() == passwd and not Path("/etc/linked").exists()
    assert (workspace / "kept.txt").read_text() == "kept\n"


def test_processes_of_the_host_cannot_be_signalled_or_traced(
    verify: Verify, victim: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    code = TRY + (
        "pid = int(sys.argv[1])\n"
        "attempt(os.kill, pid, 9); attempt(os.kill, int(sys.argv[2]), 9)\n"
        "print(libc.ptrace(16, pid, 0, 0), libc.ptrace(16, 1, 0, 0))\n"  # PTRACE_ATTACH
        "attempt(lambda: open(f'/proc/{pid}/mem', 'r+b'))\n"
        "attempt(os.pidfd_open, pid)\n"
        "sys.stdout.flush()\n"
        "if os.fork() == 0:\n"
        "    os.kill(-1, 9)\n"  # all that it may: itself, and what is beside it
        "os.wait()\n"
    )
    result = verify(code, str(victim.pid), str(os.getpid()))
    assert b"-1 " in result.output, result.output
    with pytest.raises(subprocess.TimeoutExpired):
        victim.wait(0.05)


def test_abstract_sockets_of_the_host_are_out_of_reach(verify: Verify) -> None:
    name = f"\0lonelycat-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = TRY + (
            "name = chr(0) + sys.argv[1]\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "attempt(lambda: (s.connect(name), print('reached')))\n"
        )
        result = verify(code, name[1:])
        assert b"reached" not in result.output and b"refused" in result.output
        # Shown the host's network, it would reach them, but for what Landlock adds in Linux 6.12.
        shown = verify(code, name[1:], sandbox={"network": "host"})
        assert (b"refused" in shown.output) is (landlock.version() >= 6)


def test_shared_memory_of_the_host_is_out_of_reach(verify: Verify) -> None:
    made = subprocess.run(["ipcmk", "-M", "4096"], capture_output=True, text=True, check=True)
    number = made.stdout.split()[-1]
    try:
        code = TRY + (
            f"if libc.shmat({number}, None, 0o10000) == -1: print('refused', ctypes.get_errno())\n"
            "print(len(open('/proc/sysvipc/shm').readlines()) - 1, 'segments')\n"
        )
        output = verify(code).output.decode()
        assert "refused" in output and "0 segments" in output, output
    finally:
        subprocess.run(["ipcrm", "-m", number], check=True)


def test_sockets_with_a_name_are_out_of_reach(verify: Verify, workspace: Path, tmp_path: Path) -> None:
    """Even in the workspace: an overlay has inodes of its own, and a socket is bound to an inode."""
    places = [workspace / "s", tmp_path / "s"]
    servers = []
    before = os.getcwd()
    for place in places:
        os.chdir(place.parent)  # the path of a socket may be too long otherwise
        server = socket.socket(socket.AF_UNIX)
        server.bind("s")
        server.listen()
        servers.append(server)
    os.chdir(before)
    code = TRY + (
        "for directory in ('.', '..'):\n"
        "    os.chdir(directory)\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    attempt(lambda: (s.connect('s'), print('reached')))\n"
    )
    result = verify(code)
    for server in servers:
        server.close()
    assert b"reached" not in result.output and result.output.count(b"refused ") == 2, result.output


def test_nothing_can_be_mounted_and_no_namespace_made(verify: Verify) -> None:
    code = TRY + (
        "print('mount', libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))\n"
        "print('remount', libc.mount(None, b'/', None, 0x20 | 0x1000, None))\n"
        "print('unmount', libc.umount2(os.getcwd().encode(), 2), libc.umount2(b'/etc', 2), libc.umount2(b'/proc', 2))\n"
        "for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x10020000):\n"
        "    print('unshare', libc.unshare(flag))\n"
        "print('chroot', libc.chroot(b'/tmp'), libc.syscall(155, b'/', b'/tmp'))\n"
    )
    result = verify(code)
    assert result.ok
    for line in result.output.decode().splitlines():
        assert set(line.split()[1:]) == {"-1"}, result.output


def test_no_privilege_comes_back(verify: Verify, workspace: Path) -> None:
    """A setuid program and a device file are made, and mean nothing."""
    code = TRY + (
        "attempt(os.mknod, 'disk', 0o600 | 0o060000, os.makedev(8, 0))\n"
        "attempt(os.mknod, '/dev/disk', 0o600 | 0o060000, os.makedev(254, 0))\n"
        "attempt(lambda: print('opened', open('disk', 'rb').read(1)))\n"
        "attempt(lambda: print('opened', open('/dev/disk', 'rb').read(1)))\n"
        "data = open('/bin/cat', 'rb').read(); f = open('cat', 'wb'); f.write(data); f.close()\n"
        "attempt(os.chmod, 'cat', 0o6755)\n"
        "for line in open('/proc/self/status'):\n"
        "    if line.startswith(('CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs')): print(line.split()[1])\n"
        "pid = os.fork()\n"
        "if pid == 0: os.execv('./cat', ['cat', '/proc/self/status'])\n"
        "os.waitpid(pid, 0)\n"
        "attempt(os.setuid, 0) if os.getuid() else None\n"
        "attempt(os.sethostname, 'escaped') if hasattr(os, 'sethostname') else print(libc.sethostname(b'x', 1))\n"
        "def write(path, text):\n"
        "    with open(path, 'w') as file: file.write(text)\n"
        "    print('written', path)\n"
        "attempt(write, '/proc/sys/kernel/hostname', 'escaped')\n"
        "attempt(write, '/proc/sys/vm/drop_caches', '1')\n"
        "attempt(write, '/proc/sysrq-trigger', 'h')\n"
    )
    result = verify(code)
    assert result.ok, result.output
    lines = result.output.decode().splitlines()
    assert b"opened" not in result.output and b"written" not in result.output
    assert lines.count("0000000000000000") >= 3  # the bounding set is among them, or nothing of it can be had
    assert "1" in lines, "setuid bits and file capabilities mean nothing"
    inner = [line for line in lines if line.startswith("CapEff")]
    assert inner == ["CapEff:\t0000000000000000"]
    assert os.uname().nodename != "escaped"


def test_no_setting_of_the_kernel_can_be_written(verify: Verify) -> None:
    """A user without capabilities may still own the files there: a core pattern, say, names a program of the host."""
    code = TRY + (
        "for directory, _, names in os.walk('/proc/sys'):\n"
        "    for name in names:\n"
        "        try: os.close(os.open(f'{directory}/{name}', os.O_WRONLY)); print('writable', directory, name)\n"
        "        except OSError: pass\n"
        "for name in os.listdir('/proc'):\n"
        "    if not name.isdigit() and os.path.isfile(f'/proc/{name}') and not os.path.islink(f'/proc/{name}'):\n"
        "        try: os.close(os.open(f'/proc/{name}', os.O_WRONLY)); print('writable', name)\n"
        "        except OSError: pass\n"
        "print('looked')\n"
    )
    result = verify(code)
    assert result.output == b"looked\n", result.output


def test_the_environment_of_lonelycat_is_out_of_reach(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "secret")
    code = TRY + (
        "for pid in os.listdir('/proc'):\n"
        "    if pid.isdigit():\n"
        "        print(attempt(lambda: open(f'/proc/{pid}/environ', 'rb').read()))\n"
    )
    assert b"SECRET_OF_THE_PARENT" not in verify(code).output


def test_the_supervisor_cannot_be_killed_from_inside(verify: Verify) -> None:
    """A signal to process 1 of a namespace from inside it does nothing, whatever the user."""
    result = verify("import os, time\nfor s in (9, 15, 19, 2): os.kill(1, s)\ntime.sleep(0.1); print('still here')")
    assert (result.ok, result.output) == (True, b"still here\n")


FORGE = TRY + (
    "def forge(name):\n"
    "    with open(f'/proc/1/fd/{name}', 'wb', buffering=0) as file:\n"
    "        file.write(b'exit 0\\n')\n"
    "for name in attempt(os.listdir, '/proc/1/fd') or range(64):\n"
    "    attempt(forge, name)\n"
    "attempt(open, '/proc/1/mem', 'r+b')\n"
    "supervisor = os.pidfd_open(1)\n"
    "for number in range(64):\n"
    "    copy = libc.syscall(438, supervisor, number, 0)\n"
    "    if copy >= 0:\n"
    "        attempt(os.write, copy, b'exit 0\\n')\n"
    "print('ptrace', libc.ptrace(16, 1, 0, 0))\n"
    "sys.exit(3)\n"
)
"""Says in the supervisor's place that it ended well: through its descriptors, its memory, or as its debugger."""


def test_how_it_ended_cannot_be_forged(verify: Verify) -> None:
    result = verify(FORGE)
    assert (result.code, result.details["exit_code"]) == ("VERIFY_FAILED", 3), result.output
    assert b"ptrace -1" in result.output


def test_the_terminal_of_the_caller_is_out_of_reach(verify: Verify) -> None:
    result = verify(TRY + "attempt(lambda: open('/dev/tty', 'w').write('x')); print(os.isatty(0), os.isatty(1))")
    assert result.output.splitlines()[-1] == b"False False"
    assert b"refused" in result.output


def test_the_kernel_log_and_the_memory_of_the_host_are_out_of_reach(verify: Verify) -> None:
    code = TRY + (
        "for path in ('/proc/kcore', '/dev/mem', '/dev/kmsg', '/sys/kernel/debug', '/sys/fs/cgroup', '/boot/grub'):\n"
        "    attempt(lambda: print('read', path, open(path, 'rb').read(8)))\n"
    )
    assert b"read" not in verify(code).output


def test_a_signal_at_the_process_group_stays_inside(verify: Verify) -> None:
    result = verify(
        "import os, signal; signal.signal(15, signal.SIG_IGN); os.kill(0, 15); os.killpg(0, 15); print('x')"
    )
    assert result.output == b"x\n"
    assert signal.getsignal(signal.SIGTERM) is not None
