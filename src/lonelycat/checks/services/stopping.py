"""Stops a running service: asks, waits, then kills; only ever the process that was meant.

Invariant: a signal goes only to a process whose identity was confirmed while a pidfd was held on it, so a number that
was given to another process meanwhile is never hit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from lonelycat.checks.identity import Identity, identify, stat_fields
from lonelycat.clock import Clock

_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0


def stop_service(leader: Identity, number: signal.Signals, grace_seconds: float, clock: Clock) -> bool:
    """Stop ``leader`` and what is left of the session it leads; return whether all of them are gone.

    Args:
        number: the signal that asks.
        grace_seconds: how long to wait before SIGKILL.
    """
    members = _session_of(leader)
    until = clock.monotonic() + grace_seconds
    _stop([leader], number, until, clock)
    return _stop([member for member in members if member.alive()], number, until, clock) and not leader.alive()


def send_signal(target: Identity, number: signal.Signals) -> None:
    """Send ``number`` to ``target`` if it still is the same process."""
    with contextlib.suppress(ProcessLookupError):
        if sys.platform != "linux":
            if target.alive():
                os.kill(target.pid, number)
            return
        handle = os.pidfd_open(target.pid)
        try:
            if target.alive():
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _stop(targets: list[Identity], number: signal.Signals, until: float, clock: Clock) -> bool:
    for target in targets:
        send_signal(target, number)
    if _gone(targets, until, clock):
        return True
    for target in targets:
        send_signal(target, signal.SIGKILL)
    return _gone(targets, clock.monotonic() + _KILL_SECONDS, clock)


def _gone(targets: list[Identity], until: float, clock: Clock) -> bool:
    while any(target.alive() for target in targets):
        if clock.monotonic() >= until:
            return False
        clock.sleep(_POLL_SECONDS)
    return True


def _session_of(leader: Identity) -> list[Identity]:
    """Return the other processes of the session that ``leader`` leads; none when it leads none."""
    if sys.platform != "linux":
        return []
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != leader.pid:
            fields = stat_fields(int(entry.name))
            if fields is not None and fields[3] == str(leader.pid):
                found = identify(int(entry.name))
                if found is not None:
                    members.append(found)
    return members
