"""JSON of long documents, encoded some items at a time.

Invariant: the parts together are what the encoder makes of the whole. An encoder that is given a list of tens of
thousands has every text in it in memory once more before it joins them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import islice

_ITEMS = 1000


class Rows:
    """A long list whose items are made while they are written, each time anew; a member of a document.

    Args:
        make: returns the items; the same ones at every call.
    """

    def __init__(self, make: Callable[[], Iterable[object]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[object]:
        return iter(self._make())


def json_parts(value: object, encode: Callable[[object], bytes], *, sort: bool = False) -> Iterator[bytes]:
    """Yield ``encode(value)``, in parts where it is long.

    Args:
        encode: returns the JSON of a value, of one member or of some items of it, in UTF-8 and without white space.
        sort: whether ``encode`` sorts keys.
    """
    if isinstance(value, dict) and _is_long(value) and all(type(key) is str for key in value):
        before = b"{"
        for key in sorted(value) if sort else value:
            yield before + encode(key) + b":"
            yield from json_parts(value[key], encode, sort=sort)
            before = b","
        yield b"}"
    elif isinstance(value, Rows) or (isinstance(value, list) and len(value) > _ITEMS):
        before, remaining = b"[", iter(value)
        while some := list(islice(remaining, _ITEMS)):
            yield before + encode(some)[1:-1]
            before = b","
        yield b"]" if before == b"," else b"[]"
    else:
        yield encode(value)


def put_together(parts: Iterable[bytes]) -> bytes:
    """Return ``parts`` in one; unlike a join, it does not hold them all beside what it returns."""
    whole = BytesIO()
    whole.writelines(parts)
    return whole.getvalue()


def _is_long(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_is_long, value.values()))
    return isinstance(value, Rows) or (isinstance(value, list) and len(value) > _ITEMS)
