"""YAML that everybody reads alike, as a tree that knows where each value is written; nothing is constructed.

Invariants:
- One document of plain data, or nothing: anchors, aliases, tags, merge keys, duplicate keys, directives and second
  documents are what two readers can disagree about.
- Bounded depth; an alias is never expanded.
- What is written outside of values and is no comment is structure, and structure is what the tree holds: two texts
  with the same tree and the same comments say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

MAX_DEPTH = 20

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")


class Scalar(NamedTuple):
    """A value as it is written.

    Attributes:
        line, start, end: line from 0, and columns; ``end`` is a column of the line on which it ends.
        text: the value's text.
        written: how it stands in the file, quotes and all.
    """

    line: int
    start: int
    end: int
    text: str
    written: str

    @property
    def is_plain(self) -> bool:
        """Whether it is written without quotes and on one line."""
        return self.written == self.text

    @property
    def is_block(self) -> bool:
        """Whether it is written over several lines."""
        return "\n" in self.written


Node: TypeAlias = "Scalar | list[Any] | dict[str, Any]"


class Document(NamedTuple):
    """The root of a document, and its comments by the line on which they stand."""

    root: Node
    comments: dict[int, str]


class NotPlainError(Exception):
    """The file is not plain enough for everybody to read it alike."""


def read_plain(text: str) -> Document:
    """Return what ``text`` says.

    Raises:
        NotPlainError: when it is not one document of plain YAML.
    """
    import yaml

    try:
        return _Reader(yaml.parse(text, Loader=yaml.CSafeLoader), text).document()
    except (yaml.YAMLError, ValueError) as problem:
        raise NotPlainError from problem


class _Reader:
    """Builds the tree from parser events, and blanks out each value so that comments are left."""

    def __init__(self, events: Iterator[Any], text: str) -> None:
        self._events = events
        self._text = text
        self._masked: list[str] = []
        self._at = 0

    def document(self) -> Document:
        self._next("StreamStartEvent")
        start = self._next("DocumentStartEvent")
        if start.version or start.tags:
            raise NotPlainError
        root = self._node(self._event(), 0)
        self._next("DocumentEndEvent")
        self._next("StreamEndEvent")
        self._masked.append(self._text[self._at :])
        lines = "".join(self._masked).split("\n")
        comments = {number: found[0] for number, line in enumerate(lines) if (found := _COMMENT.search(line))}
        return Document(root, comments)

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

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event).__name__
        if kind == "AliasEvent" or event.anchor is not None or event.tag is not None or depth > MAX_DEPTH:
            raise NotPlainError
        if kind == "ScalarEvent":
            return self._scalar(event)
        if kind == "SequenceStartEvent":
            items: list[Node] = []
            while type(item := self._event()).__name__ != "SequenceEndEvent":
                items.append(self._node(item, depth + 1))
            return items
        return self._mapping(depth)

    def _mapping(self, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while type(key := self._event()).__name__ != "MappingEndEvent":
            if type(key).__name__ != "ScalarEvent":
                raise NotPlainError
            name = self._node(key, depth)
            assert isinstance(name, Scalar)  # noqa: S101  # narrows the type
            if name.text in found or name.text == "<<" or name.is_block:
                raise NotPlainError
            found[name.text] = self._node(self._event(), depth + 1)
        return found

    def _scalar(self, event: Any) -> Scalar:
        start, end = event.start_mark, event.end_mark
        written = self._text[start.index : end.index]
        self._masked.append(self._text[self._at : start.index])
        self._masked.append(re.sub(r"[^\n]", "\0", written))
        self._at = end.index
        return Scalar(start.line, start.column, end.column, event.value, written)
