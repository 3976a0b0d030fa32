"""Landlock, where the kernel has it: a second lock on the same doors. Standard library only.

:func:`restrict` says once more what the mounts say already: write here and nowhere else. :func:`keep_inside` adds what
they cannot say: that nothing reaches the abstract sockets of the host, even where its network is shown (Linux 6.12).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from lonelycat.checks.sandbox import kernel

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


def writable() -> tuple[str, ...]:
    """Return the places of the tree in which anything may be written: what is written there reaches nobody."""
    return tuple(f"/{name}" for name in sorted(os.listdir("/")) if name != "sys" and os.path.isdir(f"/{name}"))


def keep_inside() -> None:
    """Let this process, and all that come of it, connect to abstract sockets and signal processes of their own only.

    Unlike :func:`restrict` it leaves mounting alone, which bubblewrap has still to do.

    Raises:
        OSError: the kernel cannot do that.
    """
    if version() < _SCOPES_FROM:
        raise OSError(95, "Landlock has no scopes")
    _enforce(_Ruleset(0, 0, _SCOPES), ())


def restrict(writable_places: tuple[str, ...]) -> None:
    """Let this process, and all that come of it, read everything and write below ``writable_places`` only.

    Raises:
        OSError: the kernel has no Landlock.
    """
    found = version()
    if found < 1:
        raise OSError(95, "no Landlock")
    write = sum(bits for since, bits in _WRITE_BY_VERSION.items() if since <= found)
    rules = [("/", _READ), *((place, _READ | write) for place in writable_places)]
    _enforce(_Ruleset(_READ | write, 0, 0), rules)


def _enforce(ruleset: _Ruleset, rules: Iterable[tuple[str, int]]) -> None:
    size = ctypes.sizeof(ruleset) if ruleset.scoped else 8  # older kernels know the first field only
    handle = kernel.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for place, access in rules:
            _allow(handle, place, access)
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
