"""Signatures: what verifies, and everything near it that must not."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonelycat.changes.digest import canonical_json
from lonelycat.errors import InputError
from lonelycat.governance.signing import DOMAIN, Ed25519Signer, signed_bytes, verify_signature

SIGNER = Ed25519Signer.generate()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
).flatmap(lambda value: st.just({"value": value}))


@given(JSON, JSON)
def test_a_signature_verifies_over_its_own_statement_only(payload: dict[str, object], other: dict[str, object]) -> None:
    signature = SIGNER.sign(payload)
    assert verify_signature(SIGNER.public_key, payload, signature)
    same = canonical_json(payload) == canonical_json(other)
    assert verify_signature(SIGNER.public_key, other, signature) is same


def test_key_order_does_not_matter_and_the_key_does() -> None:
    signature = SIGNER.sign({"a": 1, "b": 2})
    assert verify_signature(SIGNER.public_key, {"b": 2, "a": 1}, signature)
    assert not verify_signature(Ed25519Signer.generate().public_key, {"a": 1, "b": 2}, signature)


def test_the_signed_bytes_carry_the_domain_tag() -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    payload: dict[str, object] = {"a": 1}
    assert signed_bytes(payload) == DOMAIN + b'{"a":1}'
    raw = Ed25519PublicKey.from_public_bytes(base64.b64decode(SIGNER.public_key))
    raw.verify(base64.b64decode(SIGNER.sign(payload)), DOMAIN + b'{"a":1}')
    with pytest.raises(InvalidSignature):
        raw.verify(base64.b64decode(SIGNER.sign(payload)), b'{"a":1}')


@given(st.integers(0, 511))
def test_any_flipped_bit_of_the_signature_fails(bit: int) -> None:
    raw = bytearray(base64.b64decode(SIGNER.sign({"a": 1})))
    raw[bit // 8] ^= 1 << bit % 8
    assert not verify_signature(SIGNER.public_key, {"a": 1}, base64.b64encode(bytes(raw)).decode())


@pytest.mark.parametrize(
    "spoil", [lambda s: s + "\n", lambda s: s + "=", lambda s: s[:-4], lambda s: "", lambda s: "é" + s]
)
def test_malformed_signatures_and_keys_are_no_and_not_an_exception(spoil) -> None:  # type: ignore[no-untyped-def]
    signature = SIGNER.sign({"a": 1})
    assert not verify_signature(SIGNER.public_key, {"a": 1}, spoil(signature))
    assert not verify_signature(spoil(SIGNER.public_key), {"a": 1}, signature)


def test_only_the_canonical_base64_spelling_is_accepted() -> None:
    signature = SIGNER.sign({"a": 1})
    twin = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="
    assert base64.b64decode(twin) == base64.b64decode(signature)
    assert not verify_signature(SIGNER.public_key, {"a": 1}, twin)


def test_a_statement_without_canonical_form_is_no() -> None:
    signature = SIGNER.sign({"a": 1})
    assert not verify_signature(SIGNER.public_key, {"a": float("nan")}, signature)
    assert not verify_signature(SIGNER.public_key, {"a": 2**60}, signature)


def test_keys_survive_pem() -> None:
    again = Ed25519Signer.from_pem(SIGNER.to_pem())
    assert again.public_key == SIGNER.public_key
    assert len(base64.b64decode(SIGNER.public_key)) == 32
    assert verify_signature(SIGNER.public_key, {"a": 1}, again.sign({"a": 1}))


def _other_kind() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", SIGNER.to_pem()[:60], _other_kind()], ids=["empty", "nonsense", "cut", "other kind"]
)
def test_what_is_no_ed25519_key_is_refused_without_repeating_it(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        Ed25519Signer.from_pem(data)
    assert caught.value.code == "KEY_MALFORMED"
    assert "PRIVATE KEY" not in str(caught.value)


def test_importing_the_module_does_not_import_cryptography() -> None:
    code = "import sys, lonelycat.governance.signing; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
