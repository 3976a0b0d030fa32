"""YAML as a policy may use it: one document of plain data whose meaning no two readers can disagree about.

Invariants:
- No anchors, aliases, tags, merge keys, duplicate keys or second document; bounded size and depth.
- Scalars resolve as in JSON: ``true``, ``false``, ``null``, JSON numbers; all else is text. What YAML 1.1 readers
  take for something else (``no``, ``0777``, ``22:22``, ``1_000``) must be quoted or written as meant.
- Every error names line and column, and every value keeps its place for errors that are found later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from lonelycat.errors import PolicyError
from lonelycat.patterns import late_pattern

MAX_DEPTH = 20

_NUMBER = late_pattern(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?")
_SURPRISE = late_pattern(
    r"""(?ix) y|n|yes|no|on|off|true|false|null|~
    | [-+]?0[0-9_]+ | [-+]?0o?[0-7_]+ | [-+]?0x[0-9a-f_]+ | [-+]?0b[01_]+       # octal, hexadecimal, binary
    | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?                          # base 60
    | [-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:e[-+]?[0-9]+)? | [-+]?\.inf | \.nan
    """
)
_FORBIDDEN_CHARACTERS = late_pattern("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")

Location = tuple[str | int, ...]


class Place(NamedTuple):
    """A line and a column, both from 1."""

    line: int
    column: int


class Document(NamedTuple):
    """A parsed document: the value, and where each part of it stands."""

    value: Any
    places: dict[Location, Place]

    def place(self, location: Location) -> Place:
        """Return where ``location`` stands, or the nearest part around it that is there."""
        while location and location not in self.places:
            location = location[:-1]
        return self.places.get(location, Place(1, 1))


def parse(text: str, source: str) -> Document:
    """Parse ``text`` as one document.

    Args:
        source: how to name the document in messages.

    Raises:
        PolicyError: ``POLICY_…`` with ``source:line:column``.
    """
    import yaml

    hidden = None if text.isascii() else _FORBIDDEN_CHARACTERS.search(text)
    if hidden:
        line = text.count("\n", 0, hidden.start()) + 1
        place = Place(line, hidden.start() - text.rfind("\n", 0, hidden.start()))
        raise error("POLICY_HIDDEN_TEXT", source, place, "a character that does not show", "Remove the character.")
    try:
        return _Reader(yaml.parse(text, Loader=yaml.CSafeLoader), source).document()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        why = problem.problem or "cannot be parsed"
        raise error("POLICY_MALFORMED", source, place, f"not YAML: {why}", "Check indentation and quotes.") from problem
    except yaml.YAMLError as problem:
        raise error(
            "POLICY_MALFORMED", source, Place(1, 1), f"not YAML: {problem}", "Save it as plain UTF-8 text."
        ) from problem


def error(code: str, source: str, place: Place, what: str, hint: str) -> PolicyError:
    """Return a :class:`PolicyError` whose message starts with ``source:line:column``."""
    return PolicyError(
        code,
        f"{source}:{place.line}:{place.column}: {what}",
        hint,
        details={"source": source, "line": place.line, "column": place.column},
    )


class _Reader:
    """Builds values from parser events, so that nothing is constructed before it was judged."""

    def __init__(self, events: Iterator[Any], source: str) -> None:
        self._events = events
        self._source = source
        self._places: dict[Location, Place] = {}

    def document(self) -> Document:
        self._next()  # stream start
        event = self._next()
        if type(event).__name__ == "StreamEndEvent":
            return Document(None, self._places)
        value = self._value(self._next(), ())
        self._next()  # document end
        event = self._next()
        if type(event).__name__ != "StreamEndEvent":
            raise self._error(event, "POLICY_DOCUMENTS", "a second document", "A policy is one document; remove '---'.")
        return Document(value, self._places)

    def _next(self) -> Any:
        return next(self._events)

    def _error(self, event: Any, code: str, what: str, hint: str) -> PolicyError:
        return error(code, self._source, _place(event), what, hint)

    def _value(self, event: Any, location: Location) -> Any:
        self._places.setdefault(location, _place(event))
        kind = type(event).__name__
        if kind == "AliasEvent" or event.anchor is not None:
            raise self._error(event, "POLICY_ALIAS", "an anchor or alias", "Write the value out.")
        if event.tag is not None:
            raise self._error(event, "POLICY_TAG", f"the tag {event.tag!r:.60}", "Remove the tag; quote text.")
        if len(location) > MAX_DEPTH:
            raise self._error(event, "POLICY_TOO_DEEP", f"nested over {MAX_DEPTH} levels", "Flatten it.")
        if kind == "ScalarEvent":
            return self._scalar(event)
        return self._mapping(location) if kind == "MappingStartEvent" else self._sequence(location)

    def _sequence(self, location: Location) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()).__name__ != "SequenceEndEvent":
            items.append(self._value(event, (*location, len(items))))
        return items

    def _mapping(self, location: Location) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while type(event := self._next()).__name__ != "MappingEndEvent":
            key = self._key(event)
            if key in items:
                first = self._places[(*location, key)]
                what = f"the key {key!r:.60} stands twice, first on line {first.line}"
                raise self._error(event, "POLICY_DUPLICATE_KEY", what, "Keep one of the two.")
            self._places[(*location, key)] = _place(event)
            items[key] = self._value(self._next(), (*location, key))
        return items

    def _key(self, event: Any) -> str:
        if type(event).__name__ != "ScalarEvent" or event.anchor is not None or event.tag is not None:
            raise self._error(event, "POLICY_BAD_KEY", "a key that is not plain text", "Keys are plain text.")
        if event.implicit[0] and event.value == "<<":
            raise self._error(event, "POLICY_MERGE_KEY", "a merge key", "Write the values out.")
        key = self._scalar(event)
        if not isinstance(key, str):
            raise self._error(event, "POLICY_BAD_KEY", f"the key {event.value!r:.60} is not text", "Quote the key.")
        return key

    def _scalar(self, event: Any) -> str | int | float | bool | None:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _NUMBER.fullmatch(text):
            return float(text) if set(text) & set(".eE") else int(text)
        if text == "" or _SURPRISE.fullmatch(text):
            what = f"{text!r:.60} is not the same to every YAML reader" if text else "a value is missing"
            hint = "Write true, false, null or a decimal number, or quote it as text."
            raise self._error(event, "POLICY_AMBIGUOUS_SCALAR", what, hint)
        return text


_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
