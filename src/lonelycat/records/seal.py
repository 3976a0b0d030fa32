"""Seals: what makes an edited database row detectable when it is read again.

A row's digest is taken over all of its values; its seal is the gate's signature over table, key and digest. Without
the gate's key no row can be altered, moved to another table or given another key unnoticed.
"""

from __future__ import annotations

import hashlib

from lonelycat.governance.signing import Signer, verify_signature

STATEMENT = "lonelycat.row.v1"


def digest_of(*values: str | None) -> str:
    """Return the SHA-256 over the values, each with its length, so that no two lists share a digest."""
    state = hashlib.sha256()
    for value in values:
        data = b"" if value is None else value.encode("utf-8", "surrogatepass")
        state.update(b"-" if value is None else b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()


def seal(signer: Signer, table: str, key: str, digest: str) -> str:
    """Return the gate's signature over one row's digest."""
    return signer.sign(_statement(table, key, digest))


def is_sealed(public_key: str, table: str, key: str, digest: str, signature: str) -> bool:
    """Tell whether the row with this digest was written with the gate's key."""
    return verify_signature(public_key, _statement(table, key, digest), signature)


def _statement(table: str, key: str, digest: str) -> dict[str, object]:
    return {"statement": STATEMENT, "table": table, "key": key, "digest": digest}
