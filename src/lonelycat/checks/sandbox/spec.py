"""What LonelyCat tells the launcher, and what the launcher tells back. Standard library only.

Invariants:
- Both travel as JSON through files without a name that no other process can open; paths that are not UTF-8 survive.
- Lists are bounded on the side that writes them.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

MAX_PATHS = 20_000
"""How many written paths one report names; the rest is counted."""
HIDDEN = ("/tmp", "/var/tmp", "/run", "/home", "/root", "/mnt", "/media", "/dev", "/proc", "/sys", "/lost+found")  # noqa: S108 - places, not files
"""Directories of the host that a command does not see; of ``/dev`` and ``/proc`` it gets its own."""

LISTING = "/run/lonelycat-changed-files"
"""Where a command finds the list of changed paths; only there does it exist."""


class Operation(NamedTuple):
    """One file of a change that is put in place before the command runs.

    Attributes:
        path: relative to the workspace.
        offset, size: where its new content stands in the contents file; both 0 for a deletion.
        copied_from: the path whose old content it gets, instead of a place in the contents file, or None.
        mode: permission bits; None for a symbolic link, or a deletion.
        kind: ``file``, ``link`` or ``delete``.
        owner: uid and gid to carry over, or None.
    """

    path: str
    kind: str
    offset: int = 0
    size: int = 0
    copied_from: str | None = None
    mode: int | None = None
    owner: tuple[int, int] | None = None


class Rehearsal(NamedTuple):
    """A change that is put in place before the command runs: operations, and directories that come and go.

    In order: ``early`` deletions, ``rooms`` removed, ``made`` made, ``rest``, ``pruned`` removed where empty.
    """

    early: tuple[Operation, ...]
    rooms: tuple[str, ...]
    made: tuple[str, ...]
    rest: tuple[Operation, ...]
    pruned: tuple[str, ...]
    content_bytes: int


class Spec(NamedTuple):
    """One command in a sandbox.

    Attributes:
        level: ``bubblewrap`` or ``namespaces``.
        bubblewrap: path of ``bwrap``, or empty.
        overlays: whether the workspace and the host's directories are overlays; else a copy, and read-only.
        workspace: the governed tree; writable for the command, at its own path, and never really written to.
        without: entries of the workspace's root that do not exist for the command.
        cwd, executable, argv: the command; its environment is the launcher's own.
        interpreter: the Python that supervises it.
        homes: directories that are empty and private for the command.
        shown: real paths inside hidden directories that are there all the same, read-only.
        links: symbolic links, with their targets, on the way to what is shown.
        masked: paths that are empty for the command.
        host_network: whether the host's network is there.
        listing: what :data:`LISTING` holds: the changed paths, NUL-terminated.
        max_memory_bytes, max_processes, max_written_bytes: limits over the whole tree.
        kept, max_kept_bytes: a file of the workspace to bring out afterwards, relative to it, or empty; its limit.
        rehearsal: the change to put in place first, or None.
    """

    level: str
    bubblewrap: str
    overlays: bool
    workspace: str
    without: tuple[str, ...]
    cwd: str
    executable: str
    argv: tuple[str, ...]
    interpreter: str
    homes: tuple[str, ...]
    shown: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    host_network: bool
    listing: str
    max_memory_bytes: int
    max_processes: int
    max_written_bytes: int
    kept: str = ""
    max_kept_bytes: int = 0
    rehearsal: Rehearsal | None = None


class Written(NamedTuple):
    """What was written in one place: paths by kind of change, and how many more there are than are named."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    more: int = 0


class Kept(NamedTuple):
    """A file that was brought out: its bytes in base64, and when it was last written, in nanoseconds."""

    base64: str
    written_ns: int


class Report(NamedTuple):
    """What the launcher has to say after the command.

    Attributes:
        error: why the sandbox could not be made, or None.
        over: ``memory``, ``processes`` or ``disk`` when that limit was passed, else None.
        workspace: what was written in the workspace, relative to it.
        elsewhere: what was written elsewhere, absolute.
        copied: whether the workspace was copied rather than overlaid.
        kept: the file that was to be brought out, or None when there was none.
    """

    error: str | None = None
    over: str | None = None
    workspace: Written = Written()
    elsewhere: Written = Written()
    copied: bool = False
    kept: Kept | None = None


def encode(message: Spec | Report) -> bytes:
    """Return ``message`` as bytes."""
    return json.dumps(message).encode("ascii")


def decode_spec(data: bytes) -> Spec:
    """Undo :func:`encode`."""
    spec = Spec(*_tuples(json.loads(data)))
    if spec.rehearsal is None:
        return spec
    rehearsal = Rehearsal(*spec.rehearsal)
    early, rest = (tuple(Operation(*each) for each in group) for group in (rehearsal.early, rehearsal.rest))
    return spec._replace(rehearsal=rehearsal._replace(early=early, rest=rest))


def decode_report(data: bytes) -> Report:
    """Undo :func:`encode`; nothing at all stands for a launcher that died without a word."""
    if not data:
        return Report(error="the sandbox ended without a word")
    error, over, workspace, elsewhere, copied, kept = _tuples(json.loads(data))
    return Report(error, over, Written(*workspace), Written(*elsewhere), copied, Kept(*kept) if kept else None)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
