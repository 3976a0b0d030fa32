"""Journals that somebody else wrote: whole frames with right checksums, in which one field says something else."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MAGIC, HASH = b"\x89LCJ", 32
Place = tuple[str | int, ...]
GONE = object()
"""Stands for a field that is not there."""
HOSTILE: tuple[Any, ...] = (
    *(GONE, None, True, False, 0, 1, -1, 7, 0o4755, 2**31, 2**64, 10**400, 0.5, 1.0),
    *("", "a", "x" * 5000, "0" * 64, "f" * 64, "100755", "120000", "040000", "completed", "\ud800", "nul\0byte"),
    *(
        "../outside/victim",
        "/etc/hostname",
        ".git/config",
        ".LonelyCat/keys/gate",
        "kept",
        "kept/",
        "./kept",
        "d/../kept",
    ),
    *([], [[]], ["a"], [None], [0, "kept", None, None, None, None], ["kept", 0o777, 0, 0], {}, {"a": 1}),
)


def frames_of(data: bytes) -> list[dict[str, Any]]:
    """Return what the frames of a journal say."""
    said, at = [], 0
    while at < len(data):
        begin = at + len(MAGIC) + 8
        end = begin + int(data[at + len(MAGIC) : begin], 16)
        said.append(json.loads(data[begin:end]))
        at = end + HASH
    return said


def framed(bodies: list[bytes]) -> bytes:
    """Return a journal whose frames hold ``bodies``, each with the checksum that it has to have."""
    data, previous = b"", b""
    for body in bodies:
        previous = hashlib.sha256(previous + body).digest()
        data += MAGIC + b"%08x" % len(body) + body + previous
    return data


def forge(journal: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Let ``change`` have its way with what the frames say, and write them anew."""
    said = frames_of(journal.read_bytes())
    change(said)
    journal.write_bytes(framed([json.dumps(frame).encode() for frame in said]))


def places(value: object, at: Place = ()) -> Iterator[Place]:
    """Yield every place in a JSON document, the whole of it first."""
    yield at
    if isinstance(value, dict):
        for name, below in value.items():
            yield from places(below, (*at, name))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from places(below, (*at, number))


def with_other(document: Any, place: Place, value: Any) -> Any:
    """Return a copy of ``document`` with another value at ``place``, which is not the whole."""
    other = copy.deepcopy(document)
    within = other
    for step in place[:-1]:
        within = within[step]
    if value is GONE:
        del within[place[-1]]
    else:
        within[place[-1]] = copy.deepcopy(value)
    return other


def rearranged(document: Any) -> Iterator[tuple[Place, Any]]:
    """Yield, with the place, copies of ``document`` in which a list holds an item twice, or two the other way round."""
    for place in places(document):
        found = document
        for step in place:
            found = found[step]
        if place and isinstance(found, list) and found:
            yield place, with_other(document, place, [*found, found[0]])
            if found[::-1] != found:
                yield place, with_other(document, place, found[::-1])
