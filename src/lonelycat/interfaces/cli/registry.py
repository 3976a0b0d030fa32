"""Every command, in the order of the help: name, module, panel. A command that is not here does not exist."""

from __future__ import annotations

from typing import NamedTuple

_PACKAGE = "lonelycat.interfaces.cli.commands"


class Entry(NamedTuple):
    """Where a command lives.

    Attributes:
        module: its module, with a function ``command``, or a dictionary ``subcommands`` and a text ``help``.
        panel: the heading it stands under in the help.
    """

    module: str
    panel: str


_PANELS: dict[str, tuple[str, ...]] = {
    "Change": ("init", "check", "propose", "approve", "reject", "execute", "run", "revert"),
    "Look": ("status", "log", "show", "diff", "drift", "health"),
    "Repair": ("doctor", "recover", "unfreeze"),
    "Govern": ("policy", "approver", "audit", "gc"),
    "Learn": ("demo",),
}

COMMANDS: dict[str, Entry] = {
    name: Entry(f"{_PACKAGE}.{name}", panel) for panel, names in _PANELS.items() for name in names
}
