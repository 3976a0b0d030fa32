"""The small program between LonelyCat and a command: starts it, waits, and leaves nothing of it alive.

Run as a script by ``process.py`` with the standard library only: ``supervisor.py MODE CONTROL STATUS EXECUTABLE
ARGV…``. Invariants:

- CONTROL is a pipe that only LonelyCat holds the other end of. Its end of file means that LonelyCat is gone or
  wants an end: everything is killed. The byte ``T`` asks the command to terminate.
- STATUS gets one line: ``exit N``, ``signal N``, or ``errno N`` when the command could not be started.
- MODE ``namespace``: this is process 1 of its own pid namespace, so the kernel kills all others when it ends.
  MODE ``adopt``: this is a child subreaper; whatever daemonises becomes its child and is killed until none is left.
- The command is never process 1 itself: it keeps normal signal behaviour and its orphans are reaped.
- The command cannot open this process's descriptors or memory, though of the same user: nobody else says how it ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> NoReturn:
    """Supervise one command as told by ``arguments``; ends this process."""
    mode, control, status = arguments[0], int(arguments[1]), int(arguments[2])
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    _process_control(_PR_SET_DUMPABLE, 0)  # the command is dumpable again as soon as it is executed
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    adopt = mode == "adopt"
    if not adopt:  # process 1 of a namespace gets from inside only the signals that it handles, and Python handles this
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    else:
        signal.signal(signal.SIGTERM, lambda *_: _finish(status, b"signal 9\n", adopt))
        _become_subreaper()
    command = os.fork()
    if command == 0:
        _become_command(status, arguments[3], arguments[4:])
    _watch(command, control, status, wake_read, adopt)


def _watch(command: int, control: int, status: int, wake: int, adopt: bool) -> NoReturn:
    watched = select.poll()  # not select, which cannot name the descriptors of a caller that has very many
    for descriptor in (control, wake):
        watched.register(descriptor, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in watched.poll()]
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
        ended = _reap(command)
        if ended is not None:
            code = os.waitstatus_to_exitcode(ended)
            _finish(status, b"exit %d\n" % code if code >= 0 else b"signal %d\n" % -code, adopt)
        if control in ready:
            if not os.read(control, 1):
                _finish(status, b"signal 9\n", adopt)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(command, signal.SIGTERM)


def _become_command(status: int, executable: str, argv: list[str]) -> NoReturn:
    """Turn this forked child into the command, in a process group of its own."""
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execv(executable, argv)  # noqa: S606 - argv list from the policy, no shell by design
    except OSError as error:
        os.write(status, b"errno %d\n" % (error.errno or 0))
    finally:
        os._exit(127)


def _reap(command: int) -> int | None:
    """Collect every dead child; return the wait status of ``command`` if it was among them."""
    ended = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == command:
                ended = status
    return ended


def _finish(status: int, line: bytes, adopt: bool) -> NoReturn:
    if adopt:
        _kill_descendants()
    with contextlib.suppress(OSError):
        os.write(status, line)
    os._exit(0)


def _kill_descendants() -> None:
    """SIGKILL every descendant and wait, again and again, until this process has no children."""
    while True:
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _descendants(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double this program's start-up time
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                parents[int(name)] = int(file.read().rsplit(b")", 1)[1].split()[1])
    found: set[int] = set()
    fresh = {root}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh and pid not in found}
        found |= fresh
    return found


def _become_subreaper() -> None:
    """Adopt orphaned descendants, and get SIGTERM should the starting thread of LonelyCat die."""
    _process_control(_PR_SET_CHILD_SUBREAPER, 1)
    _process_control(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _process_control(option: int, value: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    main(sys.argv[1:])
