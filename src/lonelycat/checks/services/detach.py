"""The small program that starts a service which outlives LonelyCat.

Run as a script by ``launch.py``: ``detach.py STATUS EXECUTABLE ARGV…``. It starts the command as leader of a session
of its own, adopted by the system, and writes one line to the pipe STATUS: ``pid N``, or ``errno N`` when the command
could not be started. The service inherits standard input, output and error, and no other descriptor.
"""

from __future__ import annotations

import os
import signal
import sys


def main(arguments: list[str]) -> None:
    """Start the command described by ``arguments`` and return at once."""
    status = int(arguments[0])
    os.set_inheritable(status, False)
    failure_read, failure_write = os.pipe()
    service = os.fork()
    if service == 0:
        try:
            os.close(failure_read)
            os.setsid()
            for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execv(arguments[1], arguments[2:])  # noqa: S606 - argv list from the policy, no shell by design
        except OSError as error:
            os.write(failure_write, b"%d" % (error.errno or 0))
        finally:
            os._exit(127)
    os.close(failure_write)
    failure = os.read(failure_read, 16)
    os.write(status, b"errno %s\n" % failure if failure else b"pid %d\n" % service)


if __name__ == "__main__":
    main(sys.argv[1:])
