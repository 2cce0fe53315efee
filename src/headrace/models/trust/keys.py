"""Ed25519 public keys: the forms people pass them on in, and a fingerprint to compare by eye.

A public key is 32 bytes (RFC 8032). As text it is `ed25519:` and their base64; as PEM it is the
SubjectPublicKeyInfo of RFC 8410, which differs from key to key in those 32 bytes only. So both are
read and written here without `cryptography`, which takes 30 ms to import and is needed only to
check a signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from headrace.errors import InvalidRequest

PREFIX: Final = "ed25519:"
PUBLIC_PEM: Final = re.compile(
    r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]*)-----END PUBLIC KEY-----"
)
_KEY_BYTES: Final = 32
# RFC 8410: a SEQUENCE of the algorithm 1.3.101.112 and a bit string; the key follows.
_SPKI: Final = bytes.fromhex("302a300506032b6570032100")
_FINGERPRINT_BYTES: Final = 15
_LARGEST_TEXT: Final = 10_000


@dataclass(frozen=True)
class PublicKey:
    """A public key, by its 32 bytes."""

    raw: bytes = field(repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """24 letters and digits in six groups, such as `mzxw-6ytb-…`: 120 bits of a SHA-256.

        Nobody can make a key for a given fingerprint; people compare it over the telephone.
        """
        digest = bytes.fromhex(self.hint)[:_FINGERPRINT_BYTES]
        letters = base64.b32encode(digest).decode().lower()
        return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))

    @cached_property
    def text(self) -> str:
        """`ed25519:` and the key in base64: one word that can be pasted anywhere."""
        return PREFIX + base64.b64encode(self.raw).decode()

    @cached_property
    def pem(self) -> str:
        """The key as a PEM file."""
        body = base64.b64encode(_SPKI + self.raw).decode()
        return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"

    @cached_property
    def hint(self) -> str:
        """The SHA-256 of the PEM file, in hex: how a model-signing bundle names a key."""
        return hashlib.sha256(self.pem.encode()).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key's owner signed `message`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_public_key(text: str) -> PublicKey:
    """The key in `ed25519:BASE64`, plain base64 (of the key or of its DER form) or PEM.

    Raises InvalidRequest for anything else, such as a private key or a key of another kind.
    """
    given = text.strip()
    if "PRIVATE KEY" in given:
        raise InvalidRequest(
            "This is a private key: keep it to yourself. Give the public one, which "
            "headrace trust show prints."
        )
    block = PUBLIC_PEM.fullmatch(given)
    body = "".join(block[1].split()) if block else given.removeprefix(PREFIX)
    data = b""
    if len(body) <= _LARGEST_TEXT:
        with suppress(binascii.Error, ValueError):
            data = base64.b64decode(body, validate=True)
    raw = data.removeprefix(_SPKI)
    if len(raw) != _KEY_BYTES:
        kind = "a public key of another kind than Ed25519" if block else "not a public key"
        raise InvalidRequest(
            f"{shown(given, 80)} is {kind}; expected {PREFIX} and 44 letters, as headrace trust "
            "show prints it, or a PEM file with an Ed25519 key."
        )
    return PublicKey(raw)


def shown(text: object, most: int = 200) -> str:
    """A text in quotes for a message: short, and nothing in it that could steer a terminal."""
    whole = str(text)
    short = whole if len(whole) <= most else f"{whole[: most - 1]}…"
    if short.isprintable():
        return f"'{short}'"
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return f"'{''.join(escaped)}'"
