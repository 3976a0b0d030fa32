"""What holds while a parser has the input: bounded time, nothing written, nothing started.

The hook and the clock are the process's own, so that no path around them is forgotten: every opening for writing,
every change of a name and every new process is an audit event of the interpreter, whatever library asks for it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CPU_SECONDS = 4.0
"""How long one input of at most some kilobytes may keep the processor, with coverage being counted."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = frozenset(
    {
        "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.link", "os.mkdir", "os.posix_spawn",
        "os.putenv",
        "os.remove", "os.rename", "os.rmdir", "os.setxattr", "os.spawn", "os.symlink", "os.system", "os.truncate",
        "os.utime", "shutil.copyfile", "shutil.move", "shutil.rmtree", "socket.bind", "socket.connect",
        "subprocess.Popen", "tempfile.mkdtemp", "tempfile.mkstemp",
    }
)  # fmt: skip
_active = False


class Violation(BaseException):
    """A parser did what it must not; no handler of ordinary errors in the code under test can swallow it."""


@contextmanager
def guarded(seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Raise :class:`Violation` where the block writes, starts something, or takes over ``seconds`` of processor."""
    global _active
    previous = signal.signal(signal.SIGVTALRM, _too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    _active = True
    try:
        yield
    finally:
        _active = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _too_slow(number: int, frame: object) -> None:
    raise Violation(f"took more than {CPU_SECONDS} s of processor time")


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _active:
        return
    writes = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
    if writes or event in _FORBIDDEN:
        raise Violation(f"{event} {arguments!r:.200}")


sys.dont_write_bytecode = True  # a module that is imported late would be compiled into a file
sys.addaudithook(_audit)
