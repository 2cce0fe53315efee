"""The file `model.sig`: a signed statement in a DSSE envelope in a Sigstore bundle, as JSON.

Formats: Sigstore bundle v0.3 (`publicKey` as the material to verify with), DSSE v1. The signature
is over DSSE's PAE of the payload. The bundle names the key by the SHA-256 of its PEM form; the key
itself stands in the envelope's free field `keyid`, so that a signature can be checked, and its
signer be named, before anybody trusts it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.trust.covered import SIGNATURE_FILE
from headrace.models.trust.keys import PREFIX, PublicKey, parse_public_key, shown
from headrace.models.trust.own_key import SigningKey

MAX_BUNDLE_BYTES: Final = 32 << 20
"""Room for the names and digests of more than 100,000 files."""

_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_MEDIA_TYPES: Final = "application/vnd.dev.sigstore.bundle"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


class _Hint(msgspec.Struct):
    hint: str | None = None


class _Material(msgspec.Struct, rename="camel"):
    public_key: _Hint | None = None
    tlog_entries: msgspec.Raw = msgspec.Raw(b"[]")


class _Signature(msgspec.Struct):
    sig: bytes
    keyid: str = ""


class _Envelope(msgspec.Struct, rename="camel"):
    payload: bytes
    payload_type: str
    signatures: list[_Signature]


class _Bundle(msgspec.Struct, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


_decoder = msgspec.json.Decoder(_Bundle)


class Signed(NamedTuple):
    """A payload, and who signed it; None where the signature is of a kind not checked here."""

    payload: bytes
    signer: PublicKey | None


def sign(payload: bytes, key: SigningKey) -> bytes:
    """The bundle that holds `payload`, signed with `key`."""
    signature = _Signature(key.sign(_signed_bytes(payload)), key.public.text)
    return msgspec.json.encode(
        _Bundle(
            _MEDIA_TYPE,
            _Material(_Hint(key.public.hint)),
            _Envelope(payload, _PAYLOAD_TYPE, [signature]),
        )
    )


def open_bundle(data: bytes) -> Signed:
    """What a bundle holds, once its signature has been checked against the key it names.

    Whether that key is anybody's whom one trusts is not asked here. Signatures by certificates,
    Sigstore identities and other kinds of keys are not checked: then `signer` is None, and the
    payload worth nothing. Raises InvalidModel for what is no bundle, and for a wrong signature.
    """
    try:
        bundle = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"{SIGNATURE_FILE} is no Sigstore bundle: {error}.") from error
    envelope = bundle.dsse_envelope
    if not bundle.media_type.startswith(_MEDIA_TYPES) or envelope.payload_type != _PAYLOAD_TYPE:
        raise InvalidModel(
            f"{SIGNATURE_FILE} is {shown(bundle.media_type)} with {shown(envelope.payload_type)}; "
            f"expected {_MEDIA_TYPE} with {_PAYLOAD_TYPE}."
        )
    if len(envelope.signatures) != 1:
        raise InvalidModel(
            f"{SIGNATURE_FILE} has {len(envelope.signatures)} signatures; expected one."
        )
    [signature] = envelope.signatures
    if not signature.keyid.startswith(PREFIX):
        return Signed(envelope.payload, None)
    try:
        signer = parse_public_key(signature.keyid)
    except InvalidRequest as error:
        raise InvalidModel(f"{SIGNATURE_FILE}: {error.message}") from error
    named = bundle.verification_material.public_key
    if named is not None and named.hint not in (None, "", signer.hint):
        raise InvalidModel(f"{SIGNATURE_FILE} names two different keys.")
    if not signer.verifies(signature.sig, _signed_bytes(envelope.payload)):
        raise InvalidModel(
            f"{SIGNATURE_FILE} has been changed: its signature is not that of {signer.fingerprint}."
        )
    return Signed(envelope.payload, signer)


def _signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (
        len(_PAYLOAD_TYPE),
        _PAYLOAD_TYPE.encode(),
        len(payload),
        payload,
    )
