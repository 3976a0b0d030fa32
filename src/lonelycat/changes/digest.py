"""Hashes and the canonical JSON form that they are taken over.

Invariant: every digest in LonelyCat is lower-case hexadecimal SHA-256, of raw bytes or of the RFC 8785 form.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import partial
from itertools import chain, islice
from types import NoneType

from pydantic_core import to_json

from lonelycat.changes.long_json import Rows, json_parts, put_together
from lonelycat.patterns import late_pattern

_EXACT = 2**53
_ROWS = 1000
_FLAT = frozenset({str, NoneType})

HASH_PATTERN = late_pattern(r"[0-9a-f]{64}", re.ASCII)


class FlatRows(list[dict[str, str | None]]):
    """Rows whose keys are ASCII and sorted, and whose values are text or None: in their canonical form already."""


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: object, before: bytes = b"") -> bytes:
    """Return the RFC 8785 (JSON Canonicalization Scheme) form of a JSON-compatible ``value``, after ``before``."""
    try:
        return put_together(chain((before,), json_parts(_plain(value), to_json)))
    except (TypeError, ValueError):
        pass  # not in the plain subset; the whole of the RFC, and its errors, are rfc8785's
    import rfc8785

    if isinstance(value, dict):
        value = {key: list(member) if isinstance(member, Rows) else member for key, member in value.items()}
    return before + rfc8785.dumps(value)  # type: ignore[arg-type]  # its recursive alias does not accept object


def plain_json(value: object) -> bytes:
    """Return the RFC 8785 form of ``value``, where pydantic's encoder writes it.

    Raises:
        TypeError, ValueError: it does not; see :func:`_plain`.
    """
    return to_json(_plain(value))


def _plain(value: object) -> object:
    """Return ``value`` as pydantic's encoder writes it in the RFC 8785 form, twenty times as fast: with sorted keys.

    The two differ in the order of keys beyond ASCII, in integers beyond 2**53, and in numbers whose ECMAScript form is
    not Python's ``repr``: those raise TypeError.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is FlatRows:
        return value
    if kind is dict:
        items: dict[str, object] = value  # type: ignore[assignment]  # keys are checked next
        if not "".join(items).isascii():  # the join refuses keys that are not text, with a TypeError
            raise TypeError("a key that is not ASCII")
        if (keys := list(items)) != (in_order := sorted(keys)):
            items = {key: items[key] for key in in_order}
        if _FLAT.issuperset(map(type, items.values())):
            return items
        return {key: each if type(each) is str or each is None else _plain(each) for key, each in items.items()}
    if kind is list or kind is tuple:
        members: list[object] = value  # type: ignore[assignment]  # a list or a tuple
        return [each if type(each) is str or each is None else _plain(each) for each in members]
    if kind is int and -_EXACT < value < _EXACT:  # type: ignore[operator]  # an int
        return value
    if kind is float and (value == 0 or 1e-4 <= abs(value) < _EXACT):  # type: ignore[arg-type]  # a float
        number: float = value  # type: ignore[assignment]  # a float
        return int(number) if number.is_integer() else number
    if isinstance(value, Rows):
        return Rows(partial(map, _plain, value))
    raise TypeError(f"{kind.__name__} has no plain form")


def flat_digest(rows: Iterable[dict[str, str | None]]) -> str:
    """Return :func:`canonical_digest` of rows that :class:`FlatRows` could hold.

    Some are written at a time: of a long list neither all rows nor their text is in memory at once.
    """
    state = hashlib.sha256(b"[")
    remaining = iter(rows)
    between = b""
    while some := list(islice(remaining, _ROWS)):
        state.update(between + to_json(some)[1:-1])
        between = b","
    state.update(b"]")
    return state.hexdigest()


def canonical_digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON form of ``value``."""
    return sha256_hex(canonical_json(value))
