"""A change set as the text that is stored, made and read in parts.

Invariant: the parts of a text, put together, are ``ChangeSet.model_dump_json``; where it was cut does not matter to
reading it. Neither the text of a long change set nor the parsed form of it is ever in memory whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from lonelycat.changes.changeset import ChangeSet, FileChange

_CHANGES = '"changes":['
_TOGETHER = 250
"""So many changes to a part: some 120 KiB where contents lie elsewhere."""


def stored_parts(changeset: ChangeSet) -> Iterator[str]:
    """Yield the text of ``changeset``, some changes at a time."""
    empty = changeset.model_copy(update={"changes": ()}).model_dump_json()
    before, mark, after = empty.partition(_CHANGES)
    yield before + mark
    ahead = len(before) + len(mark)
    for start in range(0, len(changeset.changes), _TOGETHER):
        some = changeset.model_copy(update={"changes": changeset.changes[start : start + _TOGETHER]})
        yield ("," if start else "") + some.model_dump_json()[ahead : -len(after)]
    yield after


def from_stored(parts: Iterable[str]) -> ChangeSet:
    """Return the change set whose text consists of ``parts``.

    The changes are read one by one: parsed as one document they would take more memory than as models.

    Raises:
        ValueError: it is none.
    """
    remaining = iter(parts)
    head, mark, text = next(remaining, "").partition(_CHANGES)
    if not mark or '"changes"' in head:
        raise ValueError("no list of changes stands where one is written")
    scan = json.JSONDecoder().raw_decode
    changes: list[FileChange] = []
    position = 0
    while True:
        try:
            end = scan(text, position)[1]
        except ValueError:  # cut within a change; or damaged, which shows when nothing follows
            text, position = text[position:] + _next(remaining), 0
            continue
        changes.append(FileChange.model_validate_json(text[position:end]))
        while end == len(text):
            text, end = _next(remaining), 0
        if text[end] != ",":
            break
        position = end + 1
    rest = json.loads("".join((head, mark, text[end:], *remaining)))
    return ChangeSet.model_validate({**rest, "changes": tuple(changes)})


def _next(remaining: Iterator[str]) -> str:
    for part in remaining:
        return part
    raise ValueError("the text ends within its list of changes")
