"""Executions in a process of their own that dies where a test puts :func:`die`."""

from __future__ import annotations

import os
from collections.abc import Callable

_DEATH = 9


def die(*_: object) -> None:
    """End the process at once, as a kill does: nothing is cleaned up."""
    os._exit(_DEATH)


def assert_dies(execute: Callable[[], object]) -> None:
    """Call ``execute`` in a fork, which has to die of :func:`die`."""
    child = os.fork()
    if child == 0:
        try:
            execute()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _DEATH
