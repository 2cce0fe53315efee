"""The user's own signing key: from `HEADRACE_SIGNING_KEY`, else a file made on first use.

The file is `signing_key.pem` in the folder of keys: PEM, PKCS8, readable by its owner only.
Processes that start together agree on one key: it is written beside its place and linked there,
and the first link wins.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace import settings
from headrace.errors import InvalidRequest, InvalidState
from headrace.models.trust.keys import PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE: Final = "signing_key.pem"
_LARGEST: Final = 64 << 10
_SEED_BYTES: Final = 32
# RFC 8410: version 0, the algorithm 1.3.101.112, and a string in a string; the seed follows.
_PKCS8: Final = bytes.fromhex("302e020100300506032b657004220420")
_PRIVATE_PEM: Final = re.compile(
    rb"-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END PRIVATE KEY-----"
)


class SigningKey:
    """A private key that signs, and the public key it goes with."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature of `message`."""
        return self._private.sign(message)


def keys_folder() -> Path:
    """Where the key and the trusted signers are kept: the setting, else with the user's others."""
    configured = settings.KEYS.get()
    if configured:
        return Path(os.path.abspath(os.path.expanduser(configured)))
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "headrace"


def signing_key() -> SigningKey:
    """The key that signs for this user, made now if there is none.

    Raises InvalidRequest when HEADRACE_SIGNING_KEY holds no Ed25519 key, and InvalidState when the
    user's own cannot be read or made; both say what to do.
    """
    configured = _configured()
    if configured is not None:
        return configured
    path = keys_folder() / KEY_FILE
    try:
        try:
            pem = _read(path)
        except FileNotFoundError:
            _make(path)
            pem = _read(path)
    except OSError as error:
        raise InvalidState(
            f"The key that signs models cannot be kept: {path}: {error.strerror}. Set "
            "HEADRACE_SIGNING_KEY to a PEM file with an Ed25519 key (or to its text), or "
            "HEADRACE_KEYS to a folder that can be written."
        ) from error
    return SigningKey(_private_key(pem, str(path)))


def own_public_keys() -> list[PublicKey]:
    """The public keys of this user: that of HEADRACE_SIGNING_KEY, that of the file; none is made.

    Both, so that one's own models stay trusted when a job is given another key.
    """
    found = []
    configured = _configured()
    if configured is not None:
        found.append(configured.public)
    path = keys_folder() / KEY_FILE
    with suppress(OSError):
        found.append(SigningKey(_private_key(_read(path), str(path))).public)
    return found


def _configured() -> SigningKey | None:
    given = settings.SIGNING_KEY.get()
    if given is None:
        return None
    name = settings.SIGNING_KEY.names[0]
    if "-----BEGIN" in given:
        # Some build systems keep a text of several lines with its line ends written out.
        pem = given.replace("\\n", "\n").encode("utf-8", "replace")
        return SigningKey(_private_key(pem, name))
    path = Path(os.path.expanduser(given))
    try:
        pem = _read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is no file's name"
        # Not the value: what is no file's name may be a secret that was pasted in the wrong form.
        where = f": {path}" if path.is_absolute() else ""
        raise InvalidRequest(
            f"{name} cannot be read{where}: {reason}; expected a PEM file with an Ed25519 key, or "
            "its text."
        ) from error
    return SigningKey(_private_key(pem, f"{name} ({path})"))


def _private_key(pem: bytes, source: str) -> Ed25519PrivateKey:
    """The key in a PEM file; the plain form, ours, is read without the 30 ms of the general way."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    plain = _PRIVATE_PEM.fullmatch(pem.strip())
    if plain:
        with suppress(ValueError):
            der = base64.b64decode(b"".join(plain[1].split()), validate=True)
            if der.startswith(_PKCS8) and len(der) == len(_PKCS8) + _SEED_BYTES:
                return Ed25519PrivateKey.from_private_bytes(der[len(_PKCS8) :])
    return _other_private_key(pem, source)


def _other_private_key(pem: bytes, source: str) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise InvalidRequest(
            f"{source}: the key is encrypted with a passphrase; give it without one."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidRequest(
            f"{source}: there is no private key in PEM form; make one with: "
            "openssl genpkey -algorithm ed25519"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidRequest(
            f"{source}: the key is of another kind; expected Ed25519, such as that of: "
            "openssl genpkey -algorithm ed25519"
        )
    return key


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST)


def _make(path: Path) -> None:
    """Put a new key at `path`, unless another process was quicker."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    body = base64.b64encode(_PKCS8 + Ed25519PrivateKey.generate().private_bytes_raw())
    pem = b"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n" % body
    private_folder(path.parent)
    temp = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(fd)
        with suppress(FileExistsError):
            os.link(temp, path)
    finally:
        os.unlink(temp)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put `content` at `path` in one step: a reader sees all of the old or all of the new."""
    temp = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, with the folders above it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
