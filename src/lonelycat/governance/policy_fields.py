"""The types of single values in a policy, for all of its models: durations, globs, risks, command lines, days.

Invariant: what is not exactly of its type fails the load; the few other spellings that are taken are named here.
"""

from datetime import date, time
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from lonelycat.changes.model import as_tuple
from lonelycat.changes.plan import Risk

Seconds = Annotated[float, Field(gt=0, le=86_400)]
_UNITS = {"s": 1, "m": 60, "h": 3600}


def _duration(value: object) -> object:
    """Return seconds for ``90s``, ``10m`` or ``2h``; anything else is left to the type to judge."""
    if isinstance(value, str) and value[:-1].isascii() and value[:-1].isdigit() and value[-1] in _UNITS:
        return float(int(value[:-1][:9]) * _UNITS[value[-1]])
    return value


Duration = Annotated[
    Seconds,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400},
                {"type": "string", "pattern": "^[0-9]+[smh]$"},
            ]
        }
    ),
]
"""Seconds, as a number or as ``90s``, ``10m`` or ``2h``; at most a day."""


def as_date(value: object) -> object:
    """Return the day that a text in ISO form names; anything else is left to the type to judge."""
    return date.fromisoformat(value) if isinstance(value, str) else value


def as_time(value: object) -> object:
    """Return the time of day that a text in ISO form names; anything else is left to the type to judge."""
    return time.fromisoformat(value) if isinstance(value, str) else value


Glob = Annotated[str, Field(min_length=1, max_length=500)]
Globs = Annotated[tuple[Glob, ...], BeforeValidator(as_tuple)]
Risks = Annotated[tuple[Risk, ...], BeforeValidator(as_tuple)]
Argv = Annotated[tuple[Annotated[str, Field(max_length=4_000)], ...], BeforeValidator(as_tuple), Field(min_length=1)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
