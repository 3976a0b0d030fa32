"""Where two documents of plain YAML differ, place by place.

Invariants:
- Every value of either document is in exactly one pair, or below a place that is one.
- Keys keep their order and lists their length, or the pair is the whole mapping or list; a list of mere values is
  always one pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lonelycat.governance.bumps.plain_yaml import Node, Scalar

Place = tuple[str | int, ...]
"""Keys and numbers of items on the way to a value."""
ANY, ITEM = "*", 0
"""In a pattern: any key; any item of a list."""


class Pair(NamedTuple):
    """What stands at one place before and after; None where nothing does."""

    place: Place
    old: Node | None
    new: Node | None

    @property
    def differs(self) -> bool:
        """Whether another value stands there; how it is quoted does not count where all readers take it for text."""
        return not _says_the_same(self.old, self.new)

    def is_at(self, *pattern: str | int) -> bool:
        """Tell whether the place is one that ``pattern`` means (:data:`ANY`, :data:`ITEM`)."""
        return len(self.place) == len(pattern) and all(
            isinstance(part, int) if want == ITEM else isinstance(part, str) and want in (ANY, part)
            for part, want in zip(self.place, pattern, strict=True)
        )


def pairs(old: Node, new: Node, place: Place = ()) -> Iterator[Pair]:
    """Yield what stands at each place before and after."""
    if isinstance(old, dict) and isinstance(new, dict) and [k for k in old if k in new] == [k for k in new if k in old]:
        for key in (*old, *(key for key in new if key not in old)):
            if key in old and key in new:
                yield from pairs(old[key], new[key], (*place, key))
            else:
                yield Pair((*place, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and not _is_flat(old, new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from pairs(before, after, (*place, number))
    else:
        yield Pair(place, old, new)


def at(root: Node, *place: str | int) -> Node | None:
    """Return what stands at ``place``, or None."""
    node: Node | None = root
    for part in place:
        if isinstance(node, dict) and isinstance(part, str):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            return None
    return node


def scalars(node: Node, place: Place = ()) -> Iterator[tuple[Place, Scalar]]:
    """Yield every value below ``node`` with its place."""
    if isinstance(node, Scalar):
        yield place, node
    else:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from scalars(value, (*place, key))


def _is_flat(*lists: list[Node]) -> bool:
    return all(isinstance(item, Scalar) for items in lists for item in items)


def _says_the_same(old: Node | None, new: Node | None) -> bool:
    if isinstance(old, Scalar) and isinstance(new, Scalar):
        alike = old.written.rstrip() == new.written.rstrip()
        return old.text == new.text and (alike or (_is_text(old) and _is_text(new)))
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_says_the_same, old, new))
    return old is None and new is None if old is None or new is None else type(old) is type(new) and old == new


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _is_text(scalar: Scalar) -> bool:
    """Tell whether every reader takes it for text, quoted or not, whatever version of YAML it knows."""
    text = scalar.text
    if scalar.is_block or "\\" in scalar.written:
        return False
    return bool(text) and text[0].isascii() and text[0].isalpha() and text.isprintable() and text.lower() not in _WORDS
