"""Hashes and the canonical JSON form that they are taken over.

Invariant: every digest in LonelyCat is lower-case hexadecimal SHA-256, of raw bytes or of the RFC 8785 form.
"""

from __future__ import annotations

import hashlib
import re

HASH_PATTERN = re.compile(r"[0-9a-f]{64}", re.ASCII)


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return the RFC 8785 (JSON Canonicalization Scheme) form of a JSON-compatible ``value``."""
    import rfc8785

    return rfc8785.dumps(value)  # type: ignore[arg-type]  # its recursive alias does not accept object


def canonical_digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON form of ``value``."""
    return sha256_hex(canonical_json(value))
