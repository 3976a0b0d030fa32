"""Where in a workflow, an action or pre-commit's configuration a pin stands, read from YAML without loading it.

Invariants:
- One document of plain data, or nothing: anchors, aliases, tags, merge keys, duplicate keys, directives and second
  documents are what two readers can disagree about.
- Bounded depth; nothing is constructed, and an alias is never expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_DEPTH = 20

_FLOAT = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_REPOSITORY = re.compile(r"https://[A-Za-z0-9.-]+/[A-Za-z0-9_./-]+")

Place = tuple[str | int, ...]
"""Keys on the way to a value; :data:`ITEM` for any item of a list, :data:`ANY` for any key."""
ANY, ITEM = "*", 0


class Pin(NamedTuple):
    """A pin and where it stands: line from 0, its columns, and its text ("" when it is no text)."""

    line: int
    start: int
    end: int
    text: str


class NotPlainError(Exception):
    """The file is not plain enough for everybody to read it alike."""


def pins_in(text: str, places: tuple[Place, ...]) -> dict[int, Pin]:
    """Return the pins of ``text`` by their line; a line that holds two is no plain one.

    Raises:
        NotPlainError: when it is not one document of plain YAML.
    """
    import yaml

    found: dict[int, Pin] = {}
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        for pin in _Walk(events, places).pins():
            if pin.line in found:
                raise NotPlainError
            found[pin.line] = pin
    except (yaml.YAMLError, ValueError) as problem:
        raise NotPlainError from problem
    return found


class _Walk:
    """Reads parser events and gives out the scalars at the places that are asked for."""

    def __init__(self, events: Iterator[Any], places: tuple[Place, ...]) -> None:
        self._events = events
        self._places = places

    def pins(self) -> Iterator[Pin]:
        self._next("StreamStartEvent")
        start = self._next("DocumentStartEvent")
        if start.version or start.tags:
            raise NotPlainError
        yield from self._value(self._event(), ())
        self._next("DocumentEndEvent")
        self._next("StreamEndEvent")

    def _event(self) -> Any:
        event = next(self._events, None)
        if event is None:
            raise NotPlainError
        return event

    def _next(self, kind: str) -> Any:
        event = self._event()
        if type(event).__name__ != kind:
            raise NotPlainError
        return event

    def _value(self, event: Any, place: Place) -> Iterator[Pin]:
        kind = type(event).__name__
        if kind == "AliasEvent" or event.anchor is not None or event.tag is not None or len(place) > MAX_DEPTH:
            raise NotPlainError
        if kind == "ScalarEvent":
            if any(_is_at(place, wanted) for wanted in self._places):
                yield _pin(event)
        elif kind == "SequenceStartEvent":
            while type(item := self._event()).__name__ != "SequenceEndEvent":
                yield from self._value(item, (*place, ITEM))
        else:
            yield from self._mapping(place)

    def _mapping(self, place: Place) -> Iterator[Pin]:
        seen: set[str] = set()
        pins: list[Pin] = []
        repository = None
        while type(key := self._event()).__name__ != "MappingEndEvent":
            plain = type(key).__name__ == "ScalarEvent" and key.anchor is None and key.tag is None
            if not plain or key.value in seen or key.value == "<<":
                raise NotPlainError
            seen.add(key.value)
            value = self._event()
            if key.value == "repo" and type(value).__name__ == "ScalarEvent":
                repository = value.value
            pins.extend(self._value(value, (*place, key.value)))
        if place == ("repos", ITEM) and (repository is None or not _REPOSITORY.fullmatch(repository)):
            pins.clear()
        yield from pins


def _pin(event: Any) -> Pin:
    """Return a scalar as a pin; one that is read as a number is none and gets no text."""
    start, end = event.start_mark, event.end_mark
    number = event.style in (None, "") and _FLOAT.fullmatch(event.value)
    return Pin(start.line, start.column, end.column, "" if number else event.value)


def _is_at(place: Place, wanted: Place) -> bool:
    return len(place) == len(wanted) and all(
        want == part or (want == ANY and isinstance(part, str)) for part, want in zip(place, wanted, strict=True)
    )
