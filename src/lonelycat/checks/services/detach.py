"""The small program that starts a service which outlives LonelyCat.

Run as a script by ``launch.py``: ``detach.py STATUS PID_FILE EXECUTABLE ARGV…``; the standard library only. It starts
the command as leader of a session of its own, adopted by the system, and writes one line to the pipe STATUS: ``pid N``,
or ``errno N`` when the command could not be started. The service inherits standard input, output and error, and no
other descriptor.

Invariant: on Linux PID_FILE names the service before it is one, so that none runs which nobody knows, whoever ends
LonelyCat or this program in the middle of a start.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Start the command described by ``arguments`` and return at once."""
    status, pid_file = int(arguments[0]), Path(arguments[1])
    os.set_inheritable(status, False)
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from lonelycat.checks.identity import identify
    from lonelycat.checks.pidfile import write_pid_file

    failure_read, failure_write = os.pipe()
    service = os.fork()
    if service == 0:
        try:
            os.close(failure_read)
            os.setsid()
            for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            own = identify(os.getpid()) if sys.platform == "linux" else None  # elsewhere it takes psutil
            if own is not None:
                write_pid_file(pid_file, own)
            os.execv(arguments[2], arguments[3:])  # noqa: S606 - argv list from the policy, no shell by design
        except OSError as error:
            with suppress(OSError):
                pid_file.unlink()  # it names nobody
            os.write(failure_write, b"%d" % (error.errno or 0))
        finally:
            os._exit(127)
    os.close(failure_write)
    failure = os.read(failure_read, 16)
    os.write(status, b"errno %s\n" % failure if failure else b"pid %d\n" % service)


if __name__ == "__main__":
    main(sys.argv[1:])
