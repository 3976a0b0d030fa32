"""One call of the command line: what was asked globally, and the streams it may use."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lonelycat.errors import InputError
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.settings import STATE_DIRECTORY

if TYPE_CHECKING:
    from lonelycat.runtime.service import LonelyCat


@dataclass(frozen=True)
class Invocation:
    """What every command is given.

    Attributes:
        workspace: the directory named by ``-C``, or None.
        json_output: whether exactly one JSON object goes to standard output.
    """

    workspace: Path | None = None
    json_output: bool = False

    @cached_property
    def out(self) -> Screen:
        """Standard output, for people."""
        return Screen(sys.stdout)

    @cached_property
    def progress(self) -> Screen | None:
        """Where long work reports: standard output for people; with ``--json`` a terminal on standard error."""
        if not self.json_output:
            return self.out
        return Screen(sys.stderr) if sys.stderr.isatty() else None

    def root(self, *, search: bool = True) -> Path:
        """Return the workspace: ``-C``, else the nearest directory upwards that has state, else the present one.

        Raises:
            InputError: ``WORKSPACE_MISSING``.
        """
        try:
            return self._root(search)
        except (OSError, ValueError) as error:
            raise InputError(
                "WORKSPACE_MISSING",
                f"the workspace cannot be opened: {error}",
                "Name an existing directory with -C.",
            ) from error

    def _root(self, search: bool) -> Path:
        if self.workspace is not None:
            if not self.workspace.is_dir():
                raise InputError(
                    "WORKSPACE_MISSING",
                    f"{self.workspace} is not a directory",
                    "Name an existing directory with -C.",
                )
            return self.workspace.resolve()
        here = Path.cwd()
        if search:
            for candidate in (here, *here.parents):
                if (candidate / STATE_DIRECTORY).is_dir():
                    return candidate
        return here

    def service(self, *, search: bool = True) -> LonelyCat:
        """Open the façade on the workspace."""
        from lonelycat.runtime.service import LonelyCat

        return LonelyCat.open(self.root(search=search))
