"""Landlock, where the kernel has it: a second lock on the same doors. Standard library only.

It says once more what the mounts say already (write here and nowhere else), and adds what they cannot: that nothing
reaches the abstract sockets or the processes of the host, from kernel 6.12 on, even where its network is shown.
"""

from __future__ import annotations

import ctypes
import os

from lonelycat.checks.sandbox import kernel
from lonelycat.checks.sandbox.spec import Spec

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_RULE_PATH_BENEATH = 1
_READ = (1 << 0) | (1 << 2) | (1 << 3)  # execute, read a file, read a directory
_WRITE_BY_VERSION = {1: 0x1FFF & ~_READ, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_SCOPES = 0b11  # abstract sockets, signals
_SCOPES_FROM = 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Return the version of the interface, 0 where there is none."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def writable(spec: Spec) -> tuple[str, ...]:
    """Return the places of the tree that may be written to: all that is not the host's own."""
    return tuple(f"/{name}" for name in sorted(os.listdir("/")) if os.path.isdir(f"/{name}")) or (spec.workspace,)


def restrict(writable_places: tuple[str, ...]) -> None:
    """Let this process, and all that come of it, read everything and write below ``writable_places`` only.

    Raises:
        OSError: the kernel has no Landlock.
    """
    found = version()
    if found < 1:
        raise OSError(95, "no Landlock")
    write = sum(bits for since, bits in _WRITE_BY_VERSION.items() if since <= found)
    ruleset = _Ruleset(_READ | write, 0, _SCOPES if found >= _SCOPES_FROM else 0)
    size = ctypes.sizeof(ruleset) if found >= _SCOPES_FROM else 16 if found >= 4 else 8
    handle = kernel.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        _allow(handle, "/", _READ)
        for place in writable_places:
            _allow(handle, place, _READ | write)
        kernel.syscall(_RESTRICT_SELF, ctypes.c_int(handle), ctypes.c_uint32(0))
    finally:
        os.close(handle)


def _allow(handle: int, place: str, access: int) -> None:
    descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(access, descriptor)
        kernel.syscall(
            _ADD_RULE, ctypes.c_int(handle), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        )
    finally:
        os.close(descriptor)
