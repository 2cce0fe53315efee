from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidRequest
from headrace.models.trust.keys import PublicKey, parse_public_key, shown

# RFC 8032, section 7.1, test 2.
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
MESSAGE = b"\x72"
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_a_signature_of_the_standards_is_verified() -> None:
    key = PublicKey(PUBLIC)
    assert key.verifies(SIGNATURE, MESSAGE)
    assert not key.verifies(SIGNATURE, MESSAGE + b"x")
    assert not key.verifies(SIGNATURE[:-1], MESSAGE)
    assert not PublicKey(bytes(32)).verifies(SIGNATURE, MESSAGE)


def test_the_fingerprint_is_short_and_does_not_change_between_releases() -> None:
    assert PublicKey(PUBLIC).fingerprint == "x4az-yrk7-axtv-zz2m-uavf-ljfy"


@given(st.binary(min_size=32, max_size=32))
def test_every_form_of_a_key_is_read_back(raw: bytes) -> None:
    key = PublicKey(raw)
    der = base64.b64decode("".join(key.pem.splitlines()[1:-1]))
    for form in (
        key.text,
        key.text.removeprefix("ed25519:"),
        key.pem,
        key.pem.replace("\n", "\r\n"),
        base64.b64encode(der).decode(),
        f"  {key.text}\n",
    ):
        assert parse_public_key(form) == key
    assert re.fullmatch(r"([a-z2-7]{4}-){5}[a-z2-7]{4}", key.fingerprint)


def test_pem_is_that_of_other_tools() -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = other.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key = parse_public_key(pem.decode())
    assert key.raw == other.public_bytes_raw()
    assert key.pem.encode() == pem


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ed25519:",
        "ed25519:AAAA",
        "ed25519:" + "A" * 100_000,
        "ed25519:" + base64.b64encode(bytes(33)).decode(),
        "ed25519:\N{KELVIN SIGN}" + "A" * 42 + "=",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    ],
)
def test_what_is_no_key_is_said(text: str) -> None:
    with pytest.raises(InvalidRequest, match="expected ed25519:") as caught:
        parse_public_key(text)
    assert len(caught.value.message) < 400


def test_a_key_of_another_kind_is_named_as_that() -> None:
    pem = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(InvalidRequest, match="another kind than Ed25519"):
        parse_public_key(pem.decode())


def test_a_private_key_is_not_echoed() -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(InvalidRequest, match="keep it to yourself") as caught:
        parse_public_key(pem.decode())
    assert pem.splitlines()[1].decode() not in caught.value.message


def test_names_cannot_steer_a_terminal() -> None:
    assert shown("a\x1b[31m\u202eb") == "'a\\x1b[31m\\u202eb'"
    assert len(shown("x" * 10_000)) < 210
