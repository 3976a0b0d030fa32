"""A process that has more descriptors open than ``select`` can name, as a busy server has."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_NAMEABLE = 1024
"""FD_SETSIZE: what ``select`` refuses from here on."""


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Let every descriptor that is made in the block have a number over what ``select`` can name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _NAMEABLE + 200
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"only {hard} descriptors may be had here"
    with ExitStack() as stack:
        if soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        descriptor = 0
        while descriptor < _NAMEABLE:
            descriptor = os.open(os.devnull, os.O_RDONLY)
            stack.callback(os.close, descriptor)
        yield
