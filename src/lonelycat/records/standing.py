"""What stands until somebody lifts it: a failed change in quarantine, a restart that is due, a confirmation asked for.

Invariants:
- A row is sealed by the gate, and every change to it, its removal included, is an audit record that names its digest:
  one that was edited is refused, one that was deleted by hand is found by ``audit verify``.
- One kind and key stands once; putting it again takes the place of what stood there.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from lonelycat.changes.digest import canonical_json
from lonelycat.errors import StateError
from lonelycat.governance.signing import Signer
from lonelycat.records.seal import digest_of, is_sealed, seal
from lonelycat.records.tables import standing

TABLE = "standing"
_OF_KIND = standing.c.kind == bindparam("of_kind")
_EVERY = select(standing).where(_OF_KIND).order_by(standing.c.key)
_DELETE = delete(standing).where(_OF_KIND, standing.c.key == bindparam("of_key"))


class Standing(StrEnum):
    """The kinds."""

    FAILED_CHANGE = "failed_change"
    PENDING_RESTART = "pending_restart"
    CONFIRMATION = "confirmation"


def put(connection: Connection, signer: Signer, kind: Standing, key: str, body: dict[str, Any]) -> dict[str, object]:
    """Write ``body`` under ``kind`` and ``key``; return the facts for the audit record that goes with it."""
    document = canonical_json(body).decode("utf-8")
    digest = _digest(kind, key, document)
    remove(connection, kind, key)
    connection.execute(
        standing.insert(),
        {
            "kind": str(kind),
            "key": key,
            "document": document,
            "digest": digest,
            "seal": seal(signer, TABLE, _name(kind, key), digest),
        },
    )
    return _facts(kind, key, digest)


def remove(connection: Connection, kind: Standing, key: str) -> dict[str, object] | None:
    """Remove what stands; return the facts for the audit record that goes with it, None when nothing stood."""
    gone = connection.execute(_DELETE, {"of_kind": str(kind), "of_key": key}).rowcount
    return _facts(kind, key, None) if gone else None


def get(connection: Connection, public_key: str, kind: Standing, key: str) -> dict[str, Any] | None:
    """Return what stands under ``kind`` and ``key``, or None.

    Raises:
        StateError: ``STANDING_TAMPERED``.
    """
    row = connection.execute(select(standing).where(standing.c.kind == str(kind), standing.c.key == key)).first()
    return None if row is None else _checked(row, public_key)


def stands(connection: Connection, kind: Standing, key: str) -> bool:
    """Tell whether anything stands under ``kind`` and ``key``, unchecked."""
    query = select(standing.c.key).where(standing.c.kind == str(kind), standing.c.key == key)
    return connection.execute(query).first() is not None


def every(connection: Connection, public_key: str, kind: Standing) -> dict[str, dict[str, Any]]:
    """Return all that stands of ``kind``, by key, in order of key.

    Raises:
        StateError: ``STANDING_TAMPERED``.
    """
    rows = connection.execute(_EVERY, {"of_kind": str(kind)})
    return {str(row.key): _checked(row, public_key) for row in list(rows)}


def is_intact(row: Any, public_key: str) -> bool:
    """Tell whether a row is as the gate sealed it."""
    try:
        digest = _digest(row.kind, row.key, row.document)
    except (AttributeError, TypeError):  # a column of another type than text
        return False
    return digest == row.digest and is_sealed(public_key, TABLE, _name(row.kind, row.key), digest, str(row.seal))


def _checked(row: Any, public_key: str) -> dict[str, Any]:
    if not is_intact(row, public_key):
        raise StateError(
            "STANDING_TAMPERED",
            f"the {str(row.kind).replace('_', ' ')} of {row.key} was edited in the database",
            "Run `lonelycat audit verify`, then restore the database from a backup.",
        )
    body: dict[str, Any] = json.loads(row.document)
    return body


def _facts(kind: Standing, key: str, digest: str | None) -> dict[str, object]:
    return {"kind": "standing", "of": str(kind), "key": key, "digest": digest}


def _digest(kind: str, key: str, document: str) -> str:
    return digest_of(str(kind), key, document)


def _name(kind: str, key: str) -> str:
    return f"{kind} {key}"
