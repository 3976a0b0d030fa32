"""JSON pointers (RFC 6901) and equality as JSON means it: ``true`` is not ``1``."""

from __future__ import annotations

from typing import Final

MISSING: Final = object()
"""What :func:`look_up` returns for a place that is not there."""


def look_up(document: object, pointer: str) -> object:
    """Return the value at ``pointer`` in ``document``, or :data:`MISSING`; never raises."""
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 10:
            index = int(key)
            value = value[index] if index < len(value) and str(index) == key else MISSING
        else:
            return MISSING
    return value


def same_json(left: object, right: object) -> bool:
    """Whether two JSON values are equal; numbers by value, booleans only to booleans."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same_json, left, right))
    return left == right
