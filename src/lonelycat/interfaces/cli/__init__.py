"""The command line: ``lonelycat [-C WORKSPACE] [--json] COMMAND``.

Invariant: a command parses, calls the service façade once and returns a report; it decides nothing. What it
imports, it imports late: the entry point itself costs next to nothing.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from lonelycat.settings import skip_model_plugins


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (DESIGN section 10).

    Args:
        argv: the arguments after the program's name; those of the process by default.
    """
    # A short command is mostly imports, some 100,000 objects and no garbage: not one search for any in that time.
    gc.set_threshold(200_000, 20, 100)
    skip_model_plugins()
    from lonelycat.interfaces.cli.boundary import run

    return run(list(sys.argv[1:] if argv is None else argv))


def entry() -> NoReturn:
    """The process: run one command and end at once.

    What Python would do at its end, taking some hundred modules apart, is for nothing in a process that goes away;
    everything durable was made durable by then, and the kernel lets go of locks and descriptors.
    """
    from lonelycat.interfaces.cli.late_modules import defer_modules

    defer_modules()
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # said already, or nobody listens any more
            stream.flush()
    os._exit(code)
