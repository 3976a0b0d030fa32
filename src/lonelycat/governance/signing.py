"""Ed25519 signatures over JSON statements.

Invariants:
- What is signed is a domain tag followed by the RFC 8785 form of the statement: a LonelyCat signature can
  never be passed off as one over something else, and one statement has exactly one signed form.
- Verification answers yes or no: anything malformed (key, base64, statement) is no, never an exception.
- Pure: keys come in as values. ``records/keys.py`` keeps them on disk.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Protocol

from lonelycat.changes.digest import canonical_json
from lonelycat.errors import InputError
from lonelycat.patterns import late_pattern

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DOMAIN = b"lonelycat signed statement v1\n"
_PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")
"""RFC 8410: what stands before the 32 bytes of an Ed25519 private key in PKCS#8. The library's own PEM reader brings
every cipher and SSH format with it, which costs a short command more than all of its own work."""
_PEM = late_pattern(rb"-----BEGIN PRIVATE KEY-----\s+([A-Za-z0-9+/]{64})\s+-----END PRIVATE KEY-----\s*")


class Signer(Protocol):
    """Something that signs statements in the name of one public key."""

    @property
    def public_key(self) -> str:
        """The base64 of the raw 32-byte Ed25519 public key."""
        ...

    def sign(self, payload: dict[str, object]) -> str:
        """Return the base64 signature over the JSON-compatible ``payload``."""
        ...


class Ed25519Signer:
    """Signs with a private key held in memory."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self._public_key: str | None = None

    @classmethod
    def generate(cls) -> Ed25519Signer:
        """Return a signer with a fresh key from the operating system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, data: bytes) -> Ed25519Signer:
        """Read an unencrypted PKCS#8 PEM as :meth:`to_pem` writes it.

        Raises:
            InputError: ``KEY_MALFORMED``; the message never holds a part of the key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        found = _PEM.fullmatch(data)
        der = b"" if found is None else base64.b64decode(found[1])
        if len(der) != len(_PKCS8_ED25519) + 32 or not der.startswith(_PKCS8_ED25519):
            raise InputError(
                "KEY_MALFORMED",
                "the file does not hold an unencrypted Ed25519 private key in PEM",
                "Make one with LonelyCat, or restore the file from a backup.",
            )
        return cls(Ed25519PrivateKey.from_private_bytes(der[len(_PKCS8_ED25519) :]))

    def to_pem(self) -> bytes:
        """Return the private key as unencrypted PKCS#8 PEM; keep it secret."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public_key(self) -> str:
        """The base64 of the raw 32-byte public key."""
        if self._public_key is None:
            raw = self._private_key.public_key().public_bytes_raw()
            self._public_key = base64.b64encode(raw).decode("ascii")
        return self._public_key

    def sign(self, payload: dict[str, object]) -> str:
        """Return the base64 signature over the JSON-compatible ``payload``.

        Raises:
            rfc8785.CanonicalizationError: ``payload`` has no canonical JSON form; a programming error.
        """
        return base64.b64encode(self._private_key.sign(signed_bytes(payload))).decode("ascii")


def signed_bytes(payload: dict[str, object]) -> bytes:
    """Return the exact bytes that a signature over ``payload`` covers."""
    return canonical_json(payload, DOMAIN)


def verify_signature(public_key: str, payload: dict[str, object], signature: str) -> bool:
    """Tell whether ``signature`` is the one of ``public_key`` over ``payload``.

    Args:
        public_key: base64 of the raw 32 bytes.
        payload: the JSON-compatible statement.
        signature: base64 of the raw 64 bytes; only the canonical spelling is accepted.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from rfc8785 import CanonicalizationError

    key, proof = _decode(public_key, 32), _decode(signature, 64)
    if key is None or proof is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(proof, signed_bytes(payload))
    except (InvalidSignature, ValueError, CanonicalizationError, RecursionError):
        return False
    return True


def _decode(text: str, size: int) -> bytes | None:
    """Return the ``size`` bytes of canonical base64 ``text``, or None for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != size or base64.b64encode(raw).decode("ascii") != text:
        return None
    return raw
