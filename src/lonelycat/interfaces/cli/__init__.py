"""The command line: ``lonelycat [-C WORKSPACE] [--json] COMMAND``.

Invariant: a command parses, calls the service façade once and returns a report; it decides nothing. What it
imports, it imports late: the entry point itself costs next to nothing.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from lonelycat.settings import skip_model_plugins


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (DESIGN section 10).

    Args:
        argv: the arguments after the program's name; those of the process by default.
    """
    # Most of a short command is imports, which make many objects and no garbage: look for it less often.
    gc.set_threshold(50_000, 20, 100)
    skip_model_plugins()
    from lonelycat.interfaces.cli.boundary import run

    return run(list(sys.argv[1:] if argv is None else argv))
