"""The text of a stored change set: in the proposal's row, or in parts beside it where it is long.

Invariants:
- Beside a row lies a text only where the row's column names its SHA-256. The row's digest covers that name, and a text
  that does not have the hash is refused like an edited row: parts that were changed, cut, swapped or added.
- What is parsed is what was hashed: both see the same reading of the parts.
- SQLite takes two copies of a value while it stores it; of a text in parts nobody holds more than one part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing

from sqlalchemy import Connection, delete, select

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.stored_form import from_stored, stored_parts
from lonelycat.records.tables import changeset_parts

_IN_PARTS = "in parts, sha256 "


def column_text(changeset: ChangeSet) -> str:
    """Return what a proposal's row says of its change set: the text, or the hash of one that goes beside the row."""
    if not changeset.is_long:
        return changeset.model_dump_json()
    state = hashlib.sha256()
    for part in stored_parts(changeset):
        state.update(part.encode())
    return _IN_PARTS + state.hexdigest()


def lies_beside(column: str) -> bool:
    """Tell whether a row's ``column`` says that the text lies beside the row."""
    return column.startswith(_IN_PARTS)


def write_parts(connection: Connection, plan_id: str, changeset: ChangeSet) -> None:
    """Put the text of ``changeset`` beside the row of ``plan_id``, in place of what lies there."""
    remove_parts(connection, (plan_id,))
    for position, text in enumerate(stored_parts(changeset)):
        connection.execute(changeset_parts.insert(), {"plan_id": plan_id, "position": position, "text": text})


def remove_parts(connection: Connection, plan_ids: Iterable[str]) -> None:
    """Remove what lies beside the rows of ``plan_ids``."""
    connection.execute(delete(changeset_parts).where(changeset_parts.c.plan_id.in_(tuple(plan_ids))))


def is_whole(connection: Connection, plan_id: str, column: str) -> bool:
    """Tell whether the text of the row with ``column`` is there as it was written."""
    if not lies_beside(column):
        return True
    parts = _Hashed(_stored_parts(connection, plan_id))
    for _ in parts:
        pass
    return parts.are_named(column)


def load(connection: Connection, plan_id: str, column: str) -> ChangeSet:
    """Return the change set whose row has ``column``.

    Raises:
        ValueError, TypeError: its text is not what the row says, or not that of a change set.
    """
    if not lies_beside(column):
        return from_stored((column,))
    parts = _Hashed(_stored_parts(connection, plan_id))
    changeset = from_stored(parts)
    if not parts.are_named(column):
        raise ValueError("the text beside the row is not the one that the row names")
    return changeset


class _Hashed:
    """Parts that are hashed as they are read."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._state = hashlib.sha256()

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            self._state.update(part.encode())
            yield part

    def are_named(self, column: str) -> bool:
        """Tell whether ``column`` names what was read."""
        return column == _IN_PARTS + self._state.hexdigest()


def _stored_parts(connection: Connection, plan_id: str) -> Iterator[str]:
    t = changeset_parts.c
    with closing(connection.execute(select(t.text).where(t.plan_id == plan_id).order_by(t.position))) as found:
        for row in found:
            if not isinstance(row.text, str):
                raise TypeError("a part of a change set is not text")
            yield row.text
