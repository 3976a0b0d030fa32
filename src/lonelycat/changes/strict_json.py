"""JSON as LonelyCat accepts it: no duplicate keys, no NaN, no lone surrogates, bounded size and depth.

Two readers that disagree about a document are how an approved text becomes another executed one, so whatever
RFC 8259 leaves to the reader is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from lonelycat.errors import InputError
from lonelycat.patterns import late_pattern
from lonelycat.settings import Limits

_SURROGATE = late_pattern("[\ud800-\udfff]")
_MAX_NUMBER_DIGITS = 64


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InputError(
                    "JSON_DUPLICATE_KEY", f"the key {key!r} stands twice in one object", "Keep one of the two."
                )
            seen.add(key)
    return result


def _number(kind: Callable[[str], int | float]) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        value = kind(text) if len(text) <= _MAX_NUMBER_DIGITS else math.inf
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) > 2**53 - 1):
            raise InputError(
                "JSON_NUMBER", f"the number {text[:40]} is too large", "Numbers must fit a double exactly."
            )
        return value

    return parse


def _constant(name: str) -> NoReturn:
    raise InputError("JSON_NUMBER", f"{name} is not a JSON number", "Use a finite number or null.")


def _check_depth(text: str, limit: int) -> None:
    depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', text, re.DOTALL):
        char = token[0]
        if char in "[{":
            depth += 1
            if depth > limit:
                raise InputError("JSON_TOO_DEEP", f"nested over {limit} levels deep", "Flatten the document.")
        elif char in "]}":
            depth -= 1


def _check_text(value: object) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if not item.isascii() and _SURROGATE.search(item):
                raise InputError("JSON_LONE_SURROGATE", "a string contains a lone surrogate", "Write it as UTF-8.")
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())


def loads(data: bytes, *, what: str = "document", limits: Limits | None = None) -> Any:
    """Parse ``data`` as one strict JSON document.

    Args:
        data: UTF-8 bytes, without a byte order mark.
        what: how to name the document in messages.
        limits: size and depth caps.

    Raises:
        InputError: ``JSON_…`` with the place (line and column) where the parser knows it.
    """
    caps = limits or Limits()
    if len(data) > caps.max_input_bytes:
        raise InputError("JSON_TOO_LARGE", f"the {what} is over {caps.max_input_bytes} bytes", "Split the change set.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            "JSON_NOT_UTF8", f"the {what} is not UTF-8 at byte {error.start}", "Save it as UTF-8."
        ) from error
    _check_depth(text, caps.max_json_depth)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_number(float),
            parse_int=_number(int),
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise InputError(
            "JSON_MALFORMED",
            f"the {what} is not JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            "Check the document with a JSON formatter.",
        ) from error
    _check_text(value)
    return value
