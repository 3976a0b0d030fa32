"""Seals: what makes an edited database row detectable when it is read again.

A row's digest is taken over all of its values; its seal is the gate's signature over table, key and digest. Without
the gate's key no row can be altered, moved to another table or given another key unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lonelycat.governance.signing import Signer, verify_signature

STATEMENT = "lonelycat.row.v1"
_PART = 1 << 16


def digest_of(*values: str | None) -> str:
    """Return the SHA-256 over the values, each with its length, so that no two lists share a digest."""
    state = hashlib.sha256()
    for value in values:
        if value is None:
            state.update(b"-")
            continue
        state.update(b"%d:" % sum(map(len, _encoded(value))))
        for part in _encoded(value):
            state.update(part)
    return state.hexdigest()


def _encoded(value: str) -> Iterator[bytes]:
    """Yield ``value`` as bytes, in parts: a change set of many files is not to be in memory once more."""
    for start in range(0, len(value), _PART):
        yield value[start : start + _PART].encode("utf-8", "surrogatepass")


def seal(signer: Signer, table: str, key: str, digest: str) -> str:
    """Return the gate's signature over one row's digest."""
    return signer.sign(_statement(table, key, digest))


def is_sealed(public_key: str, table: str, key: str, digest: str, signature: str) -> bool:
    """Tell whether the row with this digest was written with the gate's key."""
    return verify_signature(public_key, _statement(table, key, digest), signature)


def _statement(table: str, key: str, digest: str) -> dict[str, object]:
    return {"statement": STATEMENT, "table": table, "key": key, "digest": digest}
