"""``lonelycat --version``."""

from __future__ import annotations

from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.report import Report
from lonelycat.version import __version__


def command(_call: Invocation) -> Report:
    """Print the version."""
    return Report(
        Exit.DONE, {"version": __version__}, lambda screen: screen.line(f"lonelycat {__version__}"), message=__version__
    )
