"""Signatures as attackers write them: nothing but the signed bytes ever comes out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.artifacts.paths import safe_path
from headrace.errors import InvalidModel
from headrace.models.trust import SIGNATURE_FILE, open_folder
from headrace.models.trust.bundle import MAX_BUNDLE_BYTES, open_bundle, sign
from headrace.models.trust.manifest import digests_in, statement_of
from headrace.models.trust.own_key import SigningKey

DIGESTS = {"MLmodel": "1" * 64, "model.pkl": "2" * 64, "a/b.py": "3" * 64}


@cache
def key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))


@cache
def good() -> bytes:
    return sign(statement_of("model", DIGESTS), key())


def changed(change: Callable[[Any], object], of: bytes = b"") -> bytes:
    """The good bundle, after `change` has been at it."""
    bundle = json.loads(of or good())
    change(bundle)
    return json.dumps(bundle).encode()


def resigned(change: Callable[[Any], object]) -> bytes:
    """A bundle whose statement was changed and then signed: the signer is the attacker."""
    payload = changed(change, statement_of("model", DIGESTS))
    return sign(payload, key())


def read(data: bytes) -> dict[str, str]:
    """All of what opening does with a bundle; {} where it would count as unsigned."""
    payload, signer = open_bundle(data)
    if signer is None:
        return {}
    assert signer == key().public
    return digests_in(payload)


def test_the_good_one_is_read() -> None:
    assert read(good()) == DIGESTS


@settings(max_examples=300)
@given(st.data())
def test_no_mutation_of_bytes_verifies_as_anything_else(data: st.DataObject) -> None:
    bundle = bytearray(good())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(bundle) - 1))
        match data.draw(st.sampled_from(["replace", "delete", "insert", "cut", "repeat"])):
            case "replace":
                bundle[at] = data.draw(st.integers(0, 255))
            case "delete":
                del bundle[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                bundle[at:at] = data.draw(st.binary(max_size=20))
            case "cut":
                del bundle[at:]
            case _:
                bundle[at:at] = bundle[at : at + 200]
        if not bundle:
            break
    with suppress(InvalidModel):
        # A change that does not matter (a space, the key of a field that nobody reads) gives the
        # same files; one to the kind of key makes it unsigned.
        assert read(bytes(bundle)) in (DIGESTS, {})


@settings(max_examples=200)
@given(st.data())
def test_no_mutation_of_what_is_signed_verifies(data: st.DataObject) -> None:
    payload = bytearray(statement_of("model", DIGESTS))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))

    def put(bundle: Any) -> None:
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()

    with pytest.raises(InvalidModel, match="has been changed"):
        read(changed(put))


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_garbage_is_said_to_be_garbage(data: bytes) -> None:
    with pytest.raises(InvalidModel):
        open_bundle(data)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), _json)
def test_other_json_in_any_place_is_no_bundle_of_ours(data: st.DataObject, value: Any) -> None:
    def put(bundle: Any) -> None:
        inner = bundle
        while True:
            place = data.draw(st.sampled_from(list(inner) if isinstance(inner, dict) else [0]))
            if not isinstance(inner[place], dict | list) or data.draw(st.booleans()):
                inner[place] = value
                return
            inner = inner[place]
            if not inner:
                return

    with suppress(InvalidModel):
        assert read(changed(put)) in (DIGESTS, {})
    with suppress(InvalidModel):
        # Whoever signs says what the files are called, but not where they lie.
        for name, digest in read(resigned(put)).items():
            assert safe_path(name) == name
            assert len(bytes.fromhex(digest)) == 32


def test_several_signatures_and_none() -> None:
    def twice(bundle: Any) -> None:
        bundle["dsseEnvelope"]["signatures"] *= 2

    def none(bundle: Any) -> None:
        bundle["dsseEnvelope"]["signatures"] = []

    for change in (twice, none):
        with pytest.raises(InvalidModel, match="signatures; expected one"):
            open_bundle(changed(change))


def test_a_signature_by_another_key_under_this_name() -> None:
    other = SigningKey(Ed25519PrivateKey.from_private_bytes(b"\x08" * 32))
    theirs = json.loads(sign(statement_of("model", DIGESTS), other))

    def keyid(bundle: Any) -> None:
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = other.public.text

    def signature(bundle: Any) -> None:
        bundle["dsseEnvelope"]["signatures"] = theirs["dsseEnvelope"]["signatures"]

    def both(bundle: Any) -> None:
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = theirs["dsseEnvelope"]["signatures"][0][
            "sig"
        ]

    for change, said in (
        (keyid, "names two different keys"),
        (signature, "names two different keys"),
        (both, "has been changed"),
    ):
        with pytest.raises(InvalidModel, match=said):
            open_bundle(changed(change))


def test_signatures_of_other_kinds_are_unsigned_here() -> None:
    def certificate(bundle: Any) -> None:
        bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = ""

    def no_key(bundle: Any) -> None:
        del bundle["dsseEnvelope"]["signatures"][0]["keyid"]

    for change in (certificate, no_key):
        assert open_bundle(changed(change)).signer is None


def test_another_kind_of_document() -> None:
    def media_type(bundle: Any) -> None:
        bundle["mediaType"] = "application/vnd.oci.image.manifest.v1+json"

    def payload_type(bundle: Any) -> None:
        bundle["dsseEnvelope"]["payloadType"] = "application/json"

    for change in (media_type, payload_type):
        with pytest.raises(InvalidModel, match=r"expected application/vnd\.dev\.sigstore\.bundle"):
            open_bundle(changed(change))


def test_a_key_that_is_none() -> None:
    def keyid(bundle: Any) -> None:
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = "ed25519:AAAA"

    with pytest.raises(InvalidModel, match="not a public key"):
        open_bundle(changed(keyid))


def _resource(**values: str) -> Callable[[Any], None]:
    return lambda statement: statement["predicate"]["resources"][0].update(values)


def _set(*place: str, value: Any) -> Callable[[Any], None]:
    def change(statement: Any) -> None:
        for step in place[:-1]:
            statement = statement[step]
        statement[place[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _resource(name="../MLmodel"),
        _resource(name="/etc/passwd"),
        _resource(name="a\\b"),
        _resource(name="a\x00b"),
        _resource(name=""),
        _resource(name="model.sig"),
        _resource(name=".git/config"),
        _resource(name="model.pkl"),
        _resource(algorithm="blake3"),
        _resource(digest="1" * 63),
        _resource(digest="A" * 64),
        _resource(digest="5" * 64),
        _set("subject", value=[]),
        _set("predicateType", value="https://model_signing/signature/v2.0"),
        _set("_type", value="https://in-toto.io/Statement/v0.1"),
        _set("predicate", "serialization", "method", value="shards"),
        _set("predicate", "resources", value=[]),
        _set("subject", value=[{"name": "m", "digest": {"sha512": "1"}}]),
    ],
)
def test_a_signer_may_be_an_attacker(change: Callable[[Any], None]) -> None:
    with pytest.raises(InvalidModel, match=SIGNATURE_FILE):
        read(resigned(change))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe{}",
        b"[" * 2_000_000,
        b'{"mediaType":' * 500_000,
        b'{"x":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
        b'{"mediaType": "\\ud800"}',
    ],
    ids=len,
)
def test_deep_and_broken_json(content: bytes) -> None:
    with pytest.raises(InvalidModel):
        open_bundle(content)
    with pytest.raises(InvalidModel):
        digests_in(content)


def test_an_enormous_signature_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / SIGNATURE_FILE, "wb") as file:
        file.truncate(MAX_BUNDLE_BYTES + 1)
    with pytest.raises(InvalidModel, match="larger than"):
        open_folder(tmp_path)


_parts = st.lists(st.text("aé0 _-", min_size=1, max_size=4), min_size=1, max_size=3)


@given(st.dictionaries(_parts.map("/".join), st.binary(min_size=32, max_size=32).map(bytes.hex)))
def test_every_manifest_is_read_back(digests: dict[str, str]) -> None:
    assert digests_in(statement_of("model", digests)) == digests
